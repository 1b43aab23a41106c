//! TLS settings: whom to trust and who we are. Resumes no session, so that each connection shows the certificate
//! in force. Never opens a connection.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// Whose signature on a server's certificate is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The public roots and the directory's CA.
    #[default]
    Known,
    /// The certificates of this PEM file alone.
    File(PathBuf),
    /// The certificates of this PEM text alone.
    Pem(String),
    /// Anyone's: the certificate is not checked.
    Anyone,
}

/// The certificate that we present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM file of the chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file of the key.
    pub key: PathBuf,
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A PEM file cannot be used.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A PEM text cannot be used.
    #[error("the CA given is unusable: {0}")]
    Ca(String),
    /// Certificate and key do not serve together.
    #[error("{} and {} do not make a client certificate: {cause}", certificate.display(), key.display())]
    Identity {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        cause: rustls::Error,
    },
}

/// The settings for all connections of a client; ALPN is set by each.
pub(crate) fn config(
    trust: &Trust,
    known_ca: Option<&str>,
    identity: Option<&ClientIdentity>,
) -> Result<ClientConfig, TlsSetupError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions");
    let builder = match trust {
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(NoCheck(provider))),
        _ => builder.with_root_certificates(roots(trust, known_ca)?),
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificate)?;
            let key = PrivateKeyDer::from_pem_file(&identity.key).map_err(|cause| file(&identity.key, &cause))?;
            builder.with_client_auth_cert(chain, key).map_err(|cause| TlsSetupError::Identity {
                certificate: identity.certificate.clone(),
                key: identity.key.clone(),
                cause,
            })?
        }
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn roots(trust: &Trust, known_ca: Option<&str>) -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Anyone => {}
        Trust::File(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|cause| file(path, &cause))?;
            }
        }
        Trust::Pem(pem) => add_pem(&mut roots, pem)?,
        Trust::Known => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            known_ca.map(|pem| add_pem(&mut roots, pem)).transpose()?;
        }
    }
    Ok(roots)
}

fn add_pem(roots: &mut RootCertStore, pem: &str) -> Result<(), TlsSetupError> {
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|cause| TlsSetupError::Ca(cause.to_string()))?;
        roots.add(certificate).map_err(|cause| TlsSetupError::Ca(cause.to_string()))?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|cause| file(path, &cause))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|cause| file(path, &cause))?;
    if found.is_empty() {
        let cause = "holds no certificate in PEM form".to_owned();
        return Err(TlsSetupError::File { path: path.to_owned(), cause });
    }
    Ok(found)
}

fn file(path: &Path, cause: &dyn std::fmt::Display) -> TlsSetupError {
    TlsSetupError::File { path: path.to_owned(), cause: cause.to_string() }
}

/// Accepts any certificate, but only from a peer that holds its key.
#[derive(Debug)]
struct NoCheck(Arc<CryptoProvider>);

impl ServerCertVerifier for NoCheck {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
