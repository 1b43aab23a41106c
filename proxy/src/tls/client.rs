//! TLS towards backends: whom to trust, what to present, what to speak inside.

use super::{TlsConfigError, backend_verifier::BackendVerifier, provider, root_store};
use portolan_translate::snapshot::{BackendProtocol, BackendTls, Roots};
use rustls::{
    CertificateError, ClientConfig, Error, RootCertStore, SignatureScheme,
    client::ResolvesClientCert,
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{io, sync::Arc};

/// Presents one certificate to whoever asks.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

/// The library's configuration for connections to a backend. Connections are opened with `tls.server_name`.
///
/// # Errors
/// With certificate authorities that cannot be used.
pub fn client_config(tls: &BackendTls, protocol: BackendProtocol) -> Result<Arc<ClientConfig>, TlsConfigError> {
    let (roots, given) = match &tls.roots {
        Roots::System => (webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect::<RootCertStore>(), Arc::default()),
        Roots::Certificates(given) => (root_store(given)?, given.clone()),
    };
    let verifier = BackendVerifier::new(roots, given, &tls.subject_alt_names);
    let builder = ClientConfig::builder_with_provider(provider().clone())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.client_certificate {
        Some(key) => builder.with_client_cert_resolver(Arc::new(OneCertificate(key.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn(protocol).iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// Why TLS with a backend failed, in the words of who configures it.
pub fn describe_failure(error: &io::Error) -> String {
    match error.get_ref().and_then(|source| source.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(bad)) => format!("bad certificate of backend: {}", describe_certificate(bad)),
        Some(Error::AlertReceived(alert)) => format!("backend ended the TLS handshake: {alert:?}"),
        Some(Error::InvalidMessage(_)) => format!("backend does not speak TLS: {error}"),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => "backend closed during the TLS handshake".to_owned(),
        _ => format!("TLS with backend failed: {error}"),
    }
}

fn describe_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(bad) => bad.to_string(),
        CertificateError::UnknownIssuer => {
            "it is signed by none of the certificate authorities of the policy".to_owned()
        }
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::NotValidYet => "it is not valid yet".to_owned(),
        other => other.to_string(),
    }
}

fn alpn(protocol: BackendProtocol) -> &'static [&'static [u8]] {
    match protocol {
        BackendProtocol::Http | BackendProtocol::WebSocket => &[b"http/1.1"],
        BackendProtocol::Http2 => &[b"h2"],
        BackendProtocol::Tls | BackendProtocol::Tcp | BackendProtocol::Udp => &[],
    }
}

// === impl OneCertificate ===

impl ResolvesClientCert for OneCertificate {
    /// The authorities that a server names are hints, and often wrong: the server judges.
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
