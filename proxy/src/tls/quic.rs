//! TLS inside QUIC, for HTTP/3: TLS 1.3 alone, ALPN `h3`. A QUIC endpoint has one configuration, so that of a port
//! holds the certificates of all its HTTPS listeners.

use super::{
    TlsConfigError, TlsInfo,
    client_auth::ClientValidation,
    info::{Handshake, NegotiatedVersion},
    resolver::CertificateResolver,
    server::{build, shared_client_auth},
};
use portolan_translate::snapshot::{HostMap, TlsAction, TlsPort, TlsServer};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;

const H3_ALPN: &[u8] = b"h3";

/// TLS of a QUIC endpoint.
#[derive(Clone)]
pub struct QuicTls {
    /// For quinn.
    pub config: Arc<QuicServerConfig>,
    validation: Option<ClientValidation>,
}

/// Certificates of the HTTPS listeners of a port by their host names. For a name that belongs to another kind of
/// listener, or to none, there is no certificate: the handshake fails and the client stays with TCP.
#[derive(Debug)]
struct PortResolver(HostMap<Option<CertificateResolver>>);

/// TLS 1.3 as one server asks.
///
/// # Errors
/// Without certificate, or with certificate authorities that cannot be used.
pub fn quic_server_config(server: &TlsServer) -> Result<QuicTls, TlsConfigError> {
    let resolver = CertificateResolver::new(&server.certificates)?;
    let validation = server.client_auth.as_ref().map(ClientValidation::new).transpose()?;
    QuicTls::new(Arc::new(resolver), validation)
}

/// TLS 1.3 for all HTTPS listeners of a port; `None` where there are none, or where they judge client certificates
/// differently, which one QUIC endpoint cannot.
///
/// # Errors
/// Without certificate, or with certificate authorities that cannot be used.
pub fn quic_port_config(port: &TlsPort) -> Result<Option<QuicTls>, TlsConfigError> {
    let servers = port.listeners.iter().filter_map(|(_, listener)| https(&listener.action));
    let Some(client_auth) = shared_client_auth(servers.map(|server| &**server)) else { return Ok(None) };
    let mut resolvers = HostMap::default();
    for (hostname, listener) in port.listeners.iter() {
        let server = https(&listener.action);
        let resolver = server.map(|server| CertificateResolver::new(&server.certificates)).transpose()?;
        resolvers.insert(hostname.as_ref(), resolver);
    }
    let validation = client_auth.map(ClientValidation::new).transpose()?;
    QuicTls::new(Arc::new(PortResolver(resolvers)), validation).map(Some)
}

fn https(action: &TlsAction) -> Option<&Arc<TlsServer>> {
    match action {
        TlsAction::Http(server, _) => Some(server),
        TlsAction::Terminate(..) | TlsAction::Passthrough(_) => None,
    }
}

// === impl QuicTls ===

impl QuicTls {
    fn new(
        resolver: Arc<dyn ResolvesServerCert>,
        validation: Option<ClientValidation>,
    ) -> Result<Self, TlsConfigError> {
        let config = build(resolver, validation.as_ref(), &[&TLS13], &[H3_ALPN])?;
        Ok(Self { config: Arc::new(QuicServerConfig::try_from(config)?), validation })
    }

    /// What a finished handshake told. QUIC does not tell the cipher suite.
    pub fn info(&self, connection: &quinn::Connection) -> TlsInfo {
        let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let identity = connection.peer_identity();
        let chain = identity.and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
        TlsInfo::new(
            Handshake {
                server_name: data.as_ref().and_then(|data| data.server_name.as_deref()),
                alpn: data.as_ref().and_then(|data| data.protocol.as_deref()),
                version: NegotiatedVersion::Tls13,
                cipher: None,
                certificates: chain.as_ref().map_or(&[], |chain| chain.as_slice()),
            },
            self.validation.as_ref(),
        )
    }
}

impl std::fmt::Debug for QuicTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuicTls").field("validation", &self.validation).finish_non_exhaustive()
    }
}

// === impl PortResolver ===

impl ResolvesServerCert for PortResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        let resolver = self.0.get(name.unwrap_or_default())?.as_ref()?;
        Some(resolver.choose(name, hello.signature_schemes()).clone())
    }
}
