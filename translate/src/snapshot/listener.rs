//! What is listened on: ports of Gateways with their listeners, and ports of Services (GAMMA) with their routes.

use super::{
    hosts::{HostMap, Hostname},
    rule::L4Rule,
    table::RouteTable,
};
use crate::objects::ObjectName;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc};

/// One port at one address.
#[derive(Clone, Debug)]
pub struct Port {
    /// Where the engine listens.
    pub bind: SocketAddr,
    /// What it listens for.
    pub transport: Transport,
    /// The address and port as the objects name them (a Gateway's or a Service's).
    pub declared: SocketAddr,
    /// The port that clients use, for redirects and Alt-Svc.
    pub client_port: u16,
    /// The Gateway or Service.
    pub parent: ParentId,
    /// Whether HTTP/3 may be served beside HTTPS.
    pub http3: bool,
    /// What happens to connections.
    pub kind: PortKind,
}

/// What a port listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub enum Transport {
    /// TCP (and QUIC beside it, where HTTPS is served).
    Tcp,
    /// UDP.
    Udp,
}

/// A Gateway or a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParentId {
    /// A Gateway.
    Gateway(ObjectName),
    /// A Service.
    Service(ObjectName),
}

/// What happens to connections of a port.
#[derive(Clone, Debug)]
pub enum PortKind {
    /// HTTP listeners.
    Http(Arc<HttpPort>),
    /// HTTPS and TLS listeners.
    Tls(Arc<TlsPort>),
    /// A TCP listener; without a route, connections are closed.
    Tcp(ListenerId, Option<Arc<L4Rule>>),
    /// A UDP listener; without a route, datagrams are dropped.
    Udp(ListenerId, Option<Arc<L4Rule>>),
    /// A port of a Service.
    Frontend(Arc<Frontend>),
}

/// A listener of a Gateway or of a ListenerSet, or a port of a Service: what logs and metrics name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId {
    /// The Gateway, ListenerSet or Service.
    pub owner: ObjectName,
    /// The kind of the owner.
    pub kind: &'static str,
    /// The listener's or port's name.
    pub name: Arc<str>,
}

/// The HTTP listeners of one port. A request belongs to the listener with the most specific host name alone.
#[derive(Clone, Debug, Default)]
pub struct HttpPort {
    /// Listeners by host name.
    pub listeners: HostMap<Arc<HttpListener>>,
}

/// An HTTP listener, or an HTTPS listener inside its TLS.
#[derive(Clone, Debug)]
pub struct HttpListener {
    /// Which one.
    pub id: ListenerId,
    /// Its host name.
    pub hostname: Option<Hostname>,
    /// Its routes.
    pub routes: Arc<RouteTable>,
}

/// The HTTPS and TLS listeners of one port. A connection belongs to the most specific server name alone.
#[derive(Clone, Debug, Default)]
pub struct TlsPort {
    /// Listeners by server name.
    pub listeners: HostMap<Arc<TlsListener>>,
}

/// An HTTPS or TLS listener.
#[derive(Clone, Debug)]
pub struct TlsListener {
    /// Which one.
    pub id: ListenerId,
    /// Its host name.
    pub hostname: Option<Hostname>,
    /// What happens to its connections.
    pub action: TlsAction,
}

/// What happens to TLS connections.
#[derive(Clone, Debug)]
pub enum TlsAction {
    /// TLS ends here, HTTP inside (HTTPS).
    Http(Arc<TlsServer>, Arc<HttpListener>),
    /// TLS ends here, bytes inside (TLS, Terminate).
    Terminate(Arc<TlsServer>, Arc<TlsRoutes>),
    /// TLS goes through (TLS, Passthrough).
    Passthrough(Arc<TlsRoutes>),
}

/// Rules of TLSRoutes by server name.
pub type TlsRoutes = HostMap<Arc<L4Rule>>;

/// How TLS is ended.
#[derive(Debug)]
pub struct TlsServer {
    /// Certificates; the first that has the server name is presented, else the first.
    pub certificates: Box<[Arc<CertifiedKey>]>,
    /// Client certificates.
    pub client_auth: Option<ClientAuth>,
    /// Whether HTTP/2 and HTTP/1.1 are offered (ALPN).
    pub http: bool,
}

/// How client certificates are validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Who may have signed them.
    pub roots: Arc<[CertificateDer<'static>]>,
    /// What happens to clients without a valid one.
    pub mode: ClientAuthMode,
}

/// What happens to clients without a valid certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// They are refused.
    Required,
    /// They are served all the same.
    InsecureFallback,
}

/// A port of a Service, at its cluster IP (GAMMA).
#[derive(Clone, Debug)]
pub struct Frontend {
    /// Which one.
    pub id: ListenerId,
    /// Consumer routes by the namespace of the client: they alone apply there.
    pub consumer: BTreeMap<Arc<str>, FrontendRoutes>,
    /// For all other clients.
    pub producer: FrontendRoutes,
}

/// What happens to connections to a Service's port.
#[derive(Clone, Debug)]
pub enum FrontendRoutes {
    /// HTTPRoutes or GRPCRoutes.
    Http(Arc<HttpListener>),
    /// TLSRoutes, by server name.
    Tls(Arc<TlsRoutes>),
    /// A TCPRoute or UDPRoute, or no route at all: forwarded to the Service's endpoints.
    L4(Arc<L4Rule>),
}

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.owner, self.name)
    }
}

impl fmt::Display for ParentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(name) => write!(f, "Gateway {name}"),
            Self::Service(name) => write!(f, "Service {name}"),
        }
    }
}
