//! TLS towards clients, ended here: versions, certificates, ALPN, tickets, client certificates. No 0-RTT: what it
//! carries can be replayed.

use super::{
    TlsConfigError, TlsInfo,
    client_auth::ClientValidation,
    info::{Handshake, NegotiatedVersion},
    provider,
    resolver::CertificateResolver,
};
use portolan_translate::snapshot::{ClientAuth, TlsServer};
use rustls::{
    ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::aws_lc_rs::Ticketer,
    server::{NoServerSessionStorage, ResolvesServerCert},
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// Tickets per full handshake with TLS 1.3. Clients that open connections one after another need one, and each costs
/// an encryption and a piece of the first flight.
const TICKETS_PER_HANDSHAKE: usize = 1;

/// ALPN of HTTPS over TCP, the preferred one first.
const HTTP_ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// TLS as one server ends it. Build it once per `TlsServer` and share it among workers: its key for session tickets
/// is its own, so a session is resumed by any worker but never under the settings of another server.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For rustls.
    pub config: Arc<ServerConfig>,
    validation: Option<ClientValidation>,
}

/// The library's configuration for connections over TCP.
///
/// # Errors
/// Without certificate, or with certificate authorities that cannot be used.
pub fn server_config(server: &TlsServer) -> Result<Arc<ServerConfig>, TlsConfigError> {
    ServerTls::new(server).map(|tls| tls.config)
}

// === impl ServerTls ===

impl ServerTls {
    /// TLS 1.2 and 1.3 as `server` asks.
    ///
    /// # Errors
    /// Without certificate, or with certificate authorities that cannot be used.
    pub fn new(server: &TlsServer) -> Result<Self, TlsConfigError> {
        let resolver = Arc::new(CertificateResolver::new(&server.certificates)?);
        let alpn = if server.http { &HTTP_ALPN[..] } else { &[] };
        let validation = server.client_auth.as_ref().map(ClientValidation::new).transpose()?;
        let config = build(resolver, validation.as_ref(), &[&TLS13, &TLS12], alpn)?;
        Ok(Self { config: Arc::new(config), validation })
    }

    /// What a finished handshake told.
    pub fn info(&self, connection: &ServerConnection) -> TlsInfo {
        TlsInfo::new(
            Handshake {
                server_name: connection.server_name(),
                alpn: connection.alpn_protocol(),
                version: NegotiatedVersion::of(connection.protocol_version()),
                cipher: connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()),
                certificates: connection.peer_certificates().unwrap_or_default(),
            },
            self.validation.as_ref(),
        )
    }
}

/// A server's configuration with a key for session tickets of its own.
pub(super) fn build(
    resolver: Arc<dyn ResolvesServerCert>,
    validation: Option<&ClientValidation>,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> Result<ServerConfig, TlsConfigError> {
    let builder = ServerConfig::builder_with_provider(provider().clone()).with_protocol_versions(versions)?;
    let builder = match validation {
        None => builder.with_no_client_auth(),
        Some(validation) => builder.with_client_cert_verifier(validation.verifier()),
    };
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    // Sessions live in tickets alone: a store would be a lock that all workers share.
    config.ticketer = Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = TICKETS_PER_HANDSHAKE;
    config.max_early_data_size = 0;
    Ok(config)
}

/// The judgement of client certificates that all of some servers share, if they do.
pub(super) fn shared_client_auth<'a>(
    mut servers: impl Iterator<Item = &'a TlsServer>,
) -> Option<Option<&'a ClientAuth>> {
    let first = servers.next()?.client_auth.as_ref();
    servers.all(|server| server.client_auth.as_ref() == first).then_some(first)
}
