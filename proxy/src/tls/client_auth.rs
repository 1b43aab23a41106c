//! Certificates of clients: required and valid, or asked for and accepted in any case. Whether one is valid is asked
//! again where the connection is served, since a verifier cannot say so about one connection.

use super::{TlsConfigError, provider, root_store};
use portolan_translate::snapshot::{ClientAuth, ClientAuthMode};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::sync::Arc;

/// How the certificates of a server's clients are judged.
#[derive(Clone, Debug)]
pub(super) struct ClientValidation {
    strict: Arc<dyn ClientCertVerifier>,
    mode: ClientAuthMode,
}

/// Accepts any certificate, and none. The client must still prove that it holds the key of the one that it presents.
#[derive(Debug)]
struct AnyCertificate(Arc<dyn ClientCertVerifier>);

// === impl ClientValidation ===

impl ClientValidation {
    pub(super) fn new(auth: &ClientAuth) -> Result<Self, TlsConfigError> {
        let roots = Arc::new(root_store(&auth.roots)?);
        let strict = WebPkiClientVerifier::builder_with_provider(roots, provider().clone()).build()?;
        Ok(Self { strict, mode: auth.mode })
    }

    /// What the handshake uses.
    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        match self.mode {
            ClientAuthMode::Required => self.strict.clone(),
            ClientAuthMode::InsecureFallback => Arc::new(AnyCertificate(self.strict.clone())),
        }
    }

    /// Whether a chain that a handshake let pass is valid.
    pub(super) fn is_valid(&self, chain: &[CertificateDer<'_>]) -> bool {
        match (self.mode, chain) {
            (_, []) => false,
            (ClientAuthMode::Required, _) => true,
            (ClientAuthMode::InsecureFallback, [end_entity, intermediates @ ..]) => {
                self.strict.verify_client_cert(end_entity, intermediates, UnixTime::now()).is_ok()
            }
        }
    }
}

// === impl AnyCertificate ===

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match readable(certificate) {
            true => self.0.verify_tls12_signature(message, certificate, signature),
            false => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match readable(certificate) {
            true => self.0.verify_tls13_signature(message, certificate, signature),
            false => Ok(HandshakeSignatureValid::assertion()),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whether a certificate is of a form that can be verified at all. One that is not (X.509 version 1, for instance) is
/// never valid afterwards either, so nothing is lost when its signature is not looked at.
fn readable(certificate: &CertificateDer<'_>) -> bool {
    ParsedCertificate::try_from(certificate).is_ok()
}
