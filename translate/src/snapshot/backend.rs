//! Backends and their endpoints. Endpoints are a subtree of their own: a change of them touches no route.

use crate::objects::ObjectName;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, ServerName};
use std::{net::SocketAddr, sync::Arc};

/// Position of a backend in a snapshot; stable across translations for as long as the backend exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendIndex(pub u32);

/// What distinguishes backends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendKey {
    /// The Service.
    pub service: ObjectName,
    /// Port of the Service.
    pub port: u16,
    /// The Gateway whose client certificate is presented, where there is one and the backend speaks TLS.
    pub client: Option<ObjectName>,
    /// Protocol over the protocol of the Service's port, where a GRPCRoute asks for HTTP/2.
    pub protocol: BackendProtocol,
}

/// What a backend speaks inside its (possible) TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub enum BackendProtocol {
    /// HTTP/1.1; over TLS, what ALPN chooses.
    Http,
    /// HTTP/2 alone (`kubernetes.io/h2c`, gRPC).
    Http2,
    /// HTTP/1.1 with WebSocket (`kubernetes.io/ws`, `kubernetes.io/wss`).
    WebSocket,
    /// Bytes as they come, never in TLS of ours.
    Tcp,
    /// Bytes, put into TLS where a BackendTLSPolicy asks for it (TLSRoute, Terminate).
    Tls,
    /// Datagrams.
    Udp,
}

/// A port of a Service, as one kind of client speaks to it.
#[derive(Clone, Debug)]
pub struct Backend {
    /// What distinguishes it.
    pub key: BackendKey,
    /// TLS towards its endpoints.
    pub tls: Option<Arc<BackendTls>>,
}

/// TLS towards a backend.
#[derive(Clone, Debug)]
pub struct BackendTls {
    /// SNI, and the name that the certificate must have unless `subject_alt_names` are given.
    pub server_name: ServerName<'static>,
    /// Who signed the certificate.
    pub roots: Roots,
    /// Names of which the certificate must have one; empty means `server_name`.
    pub subject_alt_names: Box<[SubjectAltName]>,
    /// The certificate that is presented.
    pub client_certificate: Option<Arc<CertifiedKey>>,
}

/// Certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The bundled ones.
    System,
    /// These.
    Certificates(Arc<[CertificateDer<'static>]>),
}

/// A name that a certificate may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectAltName {
    /// A DNS name; may be a wildcard.
    Dns(Arc<str>),
    /// A URI.
    Uri(Arc<str>),
}

/// The endpoints of one backend that may take traffic, sorted by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Those that are ready; where none is, those that end but still serve.
    pub list: Box<[Endpoint]>,
}

/// One endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its pod, where it is one.
    pub pod: Option<Arc<str>>,
    /// Its zone.
    pub zone: Option<Arc<str>>,
    /// Opaque identity for session persistence; the same in every process.
    pub id: u64,
}
