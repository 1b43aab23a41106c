//! Certificates and keys out of Secrets, certificate authorities out of ConfigMaps: read, and checked as far as can be
//! done without a clock (an expired certificate is served, and its clients say so).

use super::grants::{Grants, Referent, Referrer};
use crate::{
    changes::Changes,
    conditions::{Refusal, refusal, shown_kind},
    edges::Edges,
    objects::{ObjectName, Objects},
    references::Reference,
};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use portolan_crds::common::SecretObjectReference;
use rustls::{crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{collections::HashMap, sync::Arc};

/// Certificates by the Secret that holds them, kept from translation to translation: reading keys is slow, and a
/// certificate that did not change must keep its `Arc`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    read: HashMap<ObjectName, Result<Arc<CertifiedKey>, String>>,
    /// By the Secret as it was: the same object gives the same certificate.
    last: HashMap<ObjectName, (Arc<Secret>, Arc<CertifiedKey>)>,
}

/// Why a reference to a Secret does not give a certificate.
pub(crate) enum CertificateError {
    /// There is no grant.
    NotPermitted(String),
    /// It is absent, or of another kind, or holds no certificate with its key; with the one that it held last.
    Invalid(String, Option<Arc<CertifiedKey>>),
}

// === impl Certificates ===

impl Certificates {
    /// Forgets the certificates of Secrets that changed.
    pub(crate) fn since(last: Option<&Self>, changes: &Changes) -> Self {
        let mut read = last.map(|last| last.read.clone()).unwrap_or_default();
        read.retain(|name, _| !changes.secrets.has(name));
        Self { read, last: last.map(|last| last.last.clone()).unwrap_or_default() }
    }

    /// The certificate that a reference names; notes in `read` what was looked up.
    pub(crate) fn resolve(
        &mut self,
        objects: &Objects,
        edges: &Edges,
        grants: &Grants,
        from: Referrer<'_>,
        reference: &SecretObjectReference,
        read: &mut Vec<Reference>,
    ) -> Result<Arc<CertifiedKey>, CertificateError> {
        if (reference.group(), reference.kind()) != ("", "Secret") {
            let shown = format!("{} {}", shown_kind(reference.group(), reference.kind()), reference.name);
            let why = format!("{shown}: only a Secret (group \"\") can hold a certificate");
            return Err(CertificateError::Invalid(why, None));
        }
        let namespace = reference.namespace.as_deref().unwrap_or(from.namespace);
        let name = ObjectName::new(namespace, reference.name.as_str());
        let to = Referent::core("Secret", &name);
        if !grants.allow(from, to) {
            return Err(CertificateError::NotPermitted(to.not_permitted(from)));
        }
        let looked_for = Reference::Secret(name.clone());
        let absence = || CertificateError::Invalid(edges.absence(&looked_for), None);
        let secret = objects.secrets.get(&name).ok_or_else(absence);
        read.push(looked_for);
        let secret = secret?;
        let read = self.read.entry(name.clone()).or_insert_with(|| certified_key(secret).map(Arc::new));
        read.clone().map_err(|why| {
            let last = self.last_valid(&name, edges);
            let note = if last.is_some() { " (the certificate that it held before is served on)" } else { "" };
            CertificateError::Invalid(format!("Secret {name}: {why}{note}"), last)
        })
    }

    /// The certificate that a Secret held when it last held a valid one, as far as the edges know.
    fn last_valid(&mut self, name: &ObjectName, edges: &Edges) -> Option<Arc<CertifiedKey>> {
        let secret = edges.last_certificates.get(name)?;
        if let Some((known, certificate)) = self.last.get(name)
            && Arc::ptr_eq(known, secret)
        {
            return Some(certificate.clone());
        }
        let certificate = Arc::new(certified_key(secret).ok()?);
        self.last.insert(name.clone(), (secret.clone(), certificate.clone()));
        Some(certificate)
    }
}

/// Whether a Secret holds a certificate with its key; else what is wrong with it.
pub(crate) fn check_certificate(secret: &Secret) -> Result<(), String> {
    certified_key(secret).map(drop)
}

/// Reads a Secret of the type `kubernetes.io/tls`.
fn certified_key(secret: &Secret) -> Result<CertifiedKey, String> {
    if let Some(other) = secret.type_.as_deref().filter(|kind| *kind != "kubernetes.io/tls") {
        return Err(format!("its type is {other}, not kubernetes.io/tls"));
    }
    let chain = certificates(secret_value(secret, "tls.crt").ok_or("key tls.crt is missing")?)
        .map_err(|why| format!("tls.crt {why}"))?;
    let key = secret_value(secret, "tls.key").ok_or("key tls.key is missing")?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "tls.key holds no private key in PEM")?;
    let key = any_supported_type(&key).map_err(|_| "tls.key holds a key of an unsupported type or size")?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        // A key that cannot tell its public part is not known to differ.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(pair),
        Err(_) => Err("the key in tls.key does not belong to the certificate in tls.crt".to_owned()),
    }
}

/// A value of a Secret; `stringData` counts as the API server counts it.
pub(crate) fn secret_value<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    let text = secret.string_data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
    text.or_else(|| secret.data.as_ref()?.get(key).map(|ByteString(bytes)| bytes.as_slice()))
}

/// Certificates in PEM, at least one, each well formed.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| "is no valid PEM".to_owned())?;
    if all.is_empty() {
        return Err("holds no certificate in PEM".to_owned());
    }
    match all.iter().all(|der| x509_parser::parse_x509_certificate(der).is_ok()) {
        true => Ok(all),
        false => Err("holds a certificate that is malformed".to_owned()),
    }
}

/// The authorities in the ConfigMap `name`, key `ca.crt`.
pub(crate) fn authorities(
    objects: &Objects,
    edges: &Edges,
    name: &ObjectName,
) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    const INVALID: &str = "InvalidCACertificateRef";
    let invalid = |why: &str| refusal(INVALID, format!("ConfigMap {name} {why}"));
    let absent = || refusal(INVALID, edges.absence(&Reference::ConfigMap(name.clone())));
    let map = objects.config_maps.get(name).ok_or_else(absent)?;
    let text = map.data.as_ref().and_then(|data| data.get("ca.crt")).map(String::as_bytes);
    let bytes = || map.binary_data.as_ref()?.get("ca.crt").map(|ByteString(bytes)| bytes.as_slice());
    let pem = text.or_else(bytes).ok_or_else(|| invalid("has no key ca.crt"))?;
    certificates(pem).map_err(|why| invalid(&format!("key ca.crt {why}")))
}
