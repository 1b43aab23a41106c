//! The TLS configuration of an echo pod, from what the local CA issued. Holds no key itself.

use crate::ca::Issued;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use std::sync::Arc;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate or key can be read from the PEM.
    #[error("cannot read the PEM: {0}")]
    Pem(#[from] pem::Error),
    /// The certificate and key, or the CA of the clients, cannot be used.
    #[error("cannot use the certificate: {0}")]
    Certificate(#[from] rustls::Error),
    /// Nothing can be verified with the CA of the clients.
    #[error("cannot verify clients: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1 by ALPN. With `client_ca_pem` every client must show a certificate that
/// one of these CAs issued.
pub fn server_config(issued: &Issued, client_ca_pem: Option<&str>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match client_ca_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(certificate?)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_slice_iter(issued.certificate_pem.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes())?;
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
