//! Whether a backend's certificate is the one that policy asks for: the chain, then the names. Errors say what was
//! expected and what was there. It asks no revocation list.

use super::{
    names::{CertificateNames, covers},
    provider,
};
use portolan_translate::snapshot::SubjectAltName;
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    time::ASN1Time,
};

/// A backend's certificate is for somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, certificate has {presented}")]
pub struct BadName {
    /// The name, or the names of which one would do.
    pub expected: String,
    /// What the certificate has.
    pub presented: CertificateNames,
}

/// Verifies certificates of one backend.
#[derive(Debug)]
pub(super) struct BackendVerifier {
    roots: RootCertStore,
    /// The certificates behind `roots`, where they were given one by one.
    given: Arc<[CertificateDer<'static>]>,
    /// Empty: the server name decides.
    subject_alt_names: Box<[SubjectAltName]>,
}

// === impl BackendVerifier ===

impl BackendVerifier {
    pub(super) fn new(
        roots: RootCertStore,
        given: Arc<[CertificateDer<'static>]>,
        subject_alt_names: &[SubjectAltName],
    ) -> Self {
        Self { roots, given, subject_alt_names: subject_alt_names.into() }
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // A self-signed certificate may be given as its own authority. Path building refuses it if it is marked as an
        // authority; trust in this very certificate needs no path.
        if self.given.contains(end_entity) {
            return verify_time(end_entity, now).map_err(Error::InvalidCertificate);
        }
        let algorithms = provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(parsed, &self.roots, intermediates, now, algorithms)
    }

    fn verify_names(
        &self,
        end_entity: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        server_name: &ServerName<'_>,
    ) -> Result<(), BadName> {
        let presented = CertificateNames::of(end_entity);
        let expected = if self.subject_alt_names.is_empty() {
            if verify_server_name(parsed, server_name).is_ok() {
                return Ok(());
            }
            format!("name {}", server_name.to_str())
        } else {
            if self.subject_alt_names.iter().any(|name| has(&presented, name)) {
                return Ok(());
            }
            let texts: Vec<_> = self.subject_alt_names.iter().map(text).collect();
            format!("one of the names {}", texts.join(", "))
        };
        Err(BadName { expected, presented })
    }
}

impl ServerCertVerifier for BackendVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        self.verify_chain(end_entity, &parsed, intermediates, now)?;
        self.verify_names(end_entity, &parsed, server_name)
            .map_err(|bad| CertificateError::Other(OtherError(Arc::new(bad))))?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate has a name that policy asks for. Where policy has a wildcard, the same wildcard in the
/// certificate will do, and any name that it covers.
fn has(presented: &CertificateNames, wanted: &SubjectAltName) -> bool {
    match wanted {
        SubjectAltName::Uri(uri) => presented.uri.iter().any(|name| **name == **uri),
        SubjectAltName::Dns(name) => {
            let name = name.to_ascii_lowercase();
            presented.dns.iter().any(|pattern| covers(pattern, &name) || **pattern == *name || covers(&name, pattern))
        }
    }
}

fn text(name: &SubjectAltName) -> &str {
    match name {
        SubjectAltName::Dns(name) | SubjectAltName::Uri(name) => name,
    }
}

fn verify_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let seconds = i64::try_from(now.as_secs()).map_err(|_| CertificateError::Expired)?;
    let now = ASN1Time::from_timestamp(seconds).map_err(|_| CertificateError::Expired)?;
    match (now < parsed.validity().not_before, now > parsed.validity().not_after) {
        (true, _) => Err(CertificateError::NotValidYet),
        (_, true) => Err(CertificateError::Expired),
        _ => Ok(()),
    }
}
