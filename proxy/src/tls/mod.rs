//! TLS: configurations from what a snapshot says, what a finished handshake tells, and the server name of a connection
//! that is not ended here. It opens no connection and decides no route.

mod backend_verifier;
mod client;
mod client_auth;
mod hello;
mod info;
mod names;
mod peek;
mod quic;
mod replay;
mod resolver;
mod server;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use backend_verifier::BadName;
pub use client::{client_config, describe_failure};
pub use hello::{Hello, PeekError, parse_client_hello};
pub use info::{Alpn, ClientCertificate, NegotiatedVersion, TlsInfo};
pub use names::CertificateNames;
pub use peek::{ReadHelloError, read_client_hello};
pub use quic::{QuicTls, quic_port_config, quic_server_config};
pub use replay::Replay;
pub use server::{ServerTls, server_config};

use rustls::{RootCertStore, crypto::CryptoProvider};
use rustls_pki_types::CertificateDer;
use std::sync::{Arc, LazyLock};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// A server needs a certificate.
    #[error("there is no certificate to present")]
    NoCertificate,
    /// A certificate authority cannot be read.
    #[error("certificate authority number {number} cannot be read: {source}")]
    Root {
        /// Position among the certificate authorities, from 1.
        number: usize,
        /// Why.
        source: rustls::Error,
    },
    /// There is no certificate authority.
    #[error("there is no certificate authority to trust")]
    NoRoots,
    /// The library refuses the certificate authorities.
    #[error("certificate authorities are of no use: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The library refuses the settings.
    #[error("TLS cannot be configured: {0}")]
    Settings(#[from] rustls::Error),
    /// QUIC cannot be served with these settings.
    #[error("TLS for QUIC cannot be configured: {0}")]
    Quic(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// The implementation of cryptography that the whole engine uses.
pub fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    &PROVIDER
}

/// Certificate authorities as the library keeps them. All must be readable: one that were left out would refuse peers
/// for no visible reason.
fn root_store(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsConfigError> {
    let mut store = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates) {
        store.add(certificate.clone()).map_err(|source| TlsConfigError::Root { number, source })?;
    }
    if store.is_empty() { Err(TlsConfigError::NoRoots) } else { Ok(store) }
}
