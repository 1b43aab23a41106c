//! TLS of listeners: the certificates that they present, and the clients' certificates that they ask for.

use super::listener::{ListenerEntry, Protocol};
use crate::{
    conditions::{Refusal, refusal, shown_kind},
    edges::Edges,
    objects::{ObjectName, Objects},
    references::Reference,
    refs::{
        certificates::{CertificateError, Certificates, authorities},
        grants::{Grants, Referent, Referrer},
    },
    snapshot::{ClientAuth, ClientAuthMode, TlsServer},
};
use portolan_crds::{
    Gateway,
    common::ObjectReference,
    gateway::{FrontendTLSValidation, FrontendValidationMode},
};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// How a listener ends TLS.
#[derive(Clone, Debug)]
pub(crate) enum ListenerTls {
    /// It does not, or cannot.
    None,
    /// With these certificates.
    Server(Arc<TlsServer>),
}

/// What TLS needs to know.
pub(super) struct TlsInputs<'a> {
    pub(super) objects: &'a Objects,
    pub(super) edges: &'a Edges,
    pub(super) grants: &'a Grants,
    pub(super) certificates: &'a mut Certificates,
}

// === impl TlsInputs ===

impl TlsInputs<'_> {
    /// Resolves what a listener that ends TLS needs; what is wrong is noted in it.
    pub(super) fn resolve(&mut self, listener: &mut ListenerEntry, gateway: &ObjectName, object: &Gateway) {
        let Some(protocol) = listener.protocol.filter(|protocol| protocol.ends_tls()) else { return };
        let certificates = self.certificates(listener);
        let client_auth = match validation(object, protocol, listener.spec.port) {
            Some(validation) => match self.client_auth(listener, gateway, validation) {
                Ok(auth) => Some(auth),
                Err(why) => {
                    listener.refused.get_or_insert(why);
                    return;
                }
            },
            None => None,
        };
        if !certificates.is_empty() {
            let http = protocol == Protocol::Https;
            listener.tls = ListenerTls::Server(Arc::new(TlsServer { certificates, client_auth, http }));
        }
    }

    fn certificates(&mut self, listener: &mut ListenerEntry) -> Box<[Arc<CertifiedKey>]> {
        let references = listener.spec.tls.as_ref().map_or(&[][..], |tls| &tls.certificate_refs);
        let from = Referrer { kind: listener.id.kind, namespace: &listener.id.owner.namespace };
        let (mut found, mut unresolved) = (Vec::new(), Vec::new());
        for (at, reference) in references.iter().enumerate() {
            let place = format!("tls.certificateRefs[{at}]");
            let read = &mut listener.references;
            match self.certificates.resolve(self.objects, self.edges, self.grants, from, reference, read) {
                Ok(certificate) => found.push(certificate),
                Err(CertificateError::NotPermitted(why)) => {
                    unresolved.push(refusal("RefNotPermitted", format!("{place}: {why}")));
                }
                Err(CertificateError::Invalid(why, last)) => {
                    found.extend(last);
                    unresolved.push(refusal("InvalidCertificateRef", format!("{place}: {why}")));
                }
            }
        }
        if references.is_empty() {
            unresolved.push(refusal("InvalidCertificateRef", "tls.certificateRefs: a certificate must be given"));
        }
        // What keeps the listener from being served comes before what only narrows it.
        unresolved.append(&mut listener.unresolved);
        listener.unresolved = unresolved;
        found.into()
    }

    fn client_auth(
        &self,
        listener: &mut ListenerEntry,
        gateway: &ObjectName,
        validation: &FrontendTLSValidation,
    ) -> Result<ClientAuth, Refusal> {
        let mut roots = Vec::new();
        for (at, reference) in validation.ca_certificate_refs.iter().enumerate() {
            match self.authorities(gateway, reference, &mut listener.references) {
                Ok(found) => roots.extend(found),
                Err(why) => {
                    let place = format!("the Gateway's tls.frontend caCertificateRefs[{at}]");
                    listener.unresolved.push(refusal(why.reason, format!("{place}: {}", why.message)));
                }
            }
        }
        if roots.is_empty() {
            return Err(refusal("NoValidCACertificate", "no caCertificateRef of the Gateway's tls.frontend is valid"));
        }
        let mode = match validation.mode.unwrap_or_default() {
            FrontendValidationMode::AllowValidOnly => ClientAuthMode::Required,
            FrontendValidationMode::AllowInsecureFallback => ClientAuthMode::InsecureFallback,
        };
        Ok(ClientAuth { roots: roots.into(), mode })
    }

    fn authorities(
        &self,
        gateway: &ObjectName,
        reference: &ObjectReference,
        read: &mut Vec<Reference>,
    ) -> Result<Vec<rustls_pki_types::CertificateDer<'static>>, Refusal> {
        if (reference.group.as_str(), reference.kind.as_str()) != ("", "ConfigMap") {
            let kind = shown_kind(&reference.group, &reference.kind);
            return Err(refusal("InvalidCACertificateKind", format!("{kind} is not supported, only ConfigMap is")));
        }
        let namespace = reference.namespace.as_deref().unwrap_or(&gateway.namespace);
        let name = ObjectName::new(namespace, reference.name.as_str());
        let from = Referrer { kind: "Gateway", namespace: &gateway.namespace };
        let to = Referent::core("ConfigMap", &name);
        if !self.grants.allow(from, to) {
            return Err(refusal("RefNotPermitted", to.not_permitted(from)));
        }
        read.push(Reference::ConfigMap(name.clone()));
        authorities(self.objects, self.edges, &name)
    }

    /// The certificate that a Gateway presents to backends, and why there is none though it asks for one; notes in `read`
    /// what was looked up.
    pub(super) fn client_certificate(
        &mut self,
        name: &ObjectName,
        object: &Gateway,
        read: &mut Vec<Reference>,
    ) -> (Option<Arc<CertifiedKey>>, Option<Refusal>) {
        let backend = object.spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
        let Some(reference) = backend.and_then(|backend| backend.client_certificate_ref.as_ref()) else {
            return (None, None);
        };
        let from = Referrer { kind: "Gateway", namespace: &name.namespace };
        let resolved = self.certificates.resolve(self.objects, self.edges, self.grants, from, reference, read);
        let (reason, why) = match resolved {
            Ok(certificate) => return (Some(certificate), None),
            Err(CertificateError::NotPermitted(why)) => ("RefNotPermitted", why),
            Err(CertificateError::Invalid(why, last)) => {
                let why =
                    refusal("InvalidClientCertificateRef", format!("spec.tls.backend.clientCertificateRef: {why}"));
                return (last, Some(why));
            }
        };
        (None, Some(refusal(reason, format!("spec.tls.backend.clientCertificateRef: {why}"))))
    }
}

/// How clients are validated on a port: a port's own setting stands in place of the default, also where it asks for
/// nothing. The setting is for HTTPS alone.
fn validation(gateway: &Gateway, protocol: Protocol, port: u16) -> Option<&FrontendTLSValidation> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref().filter(|_| protocol == Protocol::Https)?;
    let own = frontend.per_port.iter().find(|entry| entry.port == port).map(|entry| &entry.tls);
    own.unwrap_or(&frontend.default).validation.as_ref()
}

/// Whether some port of a Gateway serves clients without a valid certificate.
pub(super) fn insecure_fallback(gateway: &Gateway) -> bool {
    let Some(frontend) = gateway.spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else { return false };
    let all = std::iter::once(&frontend.default).chain(frontend.per_port.iter().map(|entry| &entry.tls));
    all.filter_map(|tls| tls.validation.as_ref())
        .any(|validation| validation.mode == Some(FrontendValidationMode::AllowInsecureFallback))
}

/// The server of before, if nothing of it changed: what hangs on it (session tickets) lives on.
pub(super) fn keep(before: Option<&ListenerEntry>, now: &mut ListenerEntry) {
    let (Some(ListenerTls::Server(before)), ListenerTls::Server(server)) = (before.map(|entry| &entry.tls), &now.tls)
    else {
        return;
    };
    let certificates = before.certificates.len() == server.certificates.len()
        && before.certificates.iter().zip(&server.certificates).all(|(a, b)| Arc::ptr_eq(a, b));
    if certificates && before.client_auth == server.client_auth && before.http == server.http {
        now.tls = ListenerTls::Server(before.clone());
    }
}
