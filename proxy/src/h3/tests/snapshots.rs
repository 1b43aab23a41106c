//! Snapshots made by hand.

use http::StatusCode;
use portolan_translate::{
    ObjectName, Snapshot,
    snapshot::{
        Backend, BackendIndex, BackendKey, BackendProtocol, Backends, Candidate, Endpoint, Endpoints, Filter, HostMap,
        Hostname, HttpBackend, HttpListener, ListenerId, Matcher, ParentId, PathMatch, Port, PortKind, Redirect,
        RouteKind, RouteTable, Rule, RuleId, Target, Timeouts, TlsAction, TlsListener, TlsPort, TlsServer, Transport,
    },
};
use rustls::sign::CertifiedKey;
use std::{net::SocketAddr, sync::Arc};

/// Protocols of the backends, by their index.
pub const BACKENDS: [BackendProtocol; 2] = [BackendProtocol::Http, BackendProtocol::Http2];

/// A port of a Gateway.
pub fn port(bind: SocketAddr, transport: Transport, kind: PortKind) -> Port {
    let parent = ParentId::Gateway(ObjectName::new("default", "gateway"));
    Port { bind, transport, declared: bind, client_port: 443, parent, http3: true, kind }
}

fn listener_id(name: &str) -> ListenerId {
    ListenerId { owner: ObjectName::new("default", "gateway"), kind: "Gateway", name: name.into() }
}

/// A listener for one name, with a redirect for `/old`, and backends that speak HTTP/2 (`/h2`) and HTTP/1.1 (all else).
pub fn tls_listener(name: &str, certificate: &Arc<CertifiedKey>) -> Arc<TlsListener> {
    let hostname = Some(Hostname::new(name));
    let server = TlsServer { certificates: [certificate.clone()].into(), client_auth: None, http: true };
    let routes = Arc::new(routes(name));
    let http = HttpListener { id: listener_id(name), hostname: hostname.clone(), routes };
    let action = TlsAction::Http(Arc::new(server), Arc::new(http));
    Arc::new(TlsListener { id: listener_id(name), hostname, action })
}

fn routes(name: &str) -> RouteTable {
    let redirect = Redirect {
        scheme: None,
        hostname: Some(format!("new.{name}").into()),
        path: None,
        port: None,
        status: StatusCode::FOUND,
    };
    let backend = |index| {
        Backends::new([(1, HttpBackend { target: Target::Backend(BackendIndex(index)), filters: Box::default() })])
    };
    let candidates = vec![
        candidate(0, PathMatch::Exact("/old".into()), [Filter::Redirect(redirect)].into(), Backends::new([])),
        candidate(1, PathMatch::Prefix("/h2".into()), Box::default(), backend(1)),
        candidate(2, PathMatch::Prefix("".into()), Box::default(), backend(0)),
    ];
    let mut hosts = HostMap::default();
    hosts.insert(None, candidates);
    RouteTable::new(hosts)
}

fn candidate(rule: u16, path: PathMatch, filters: Box<[Filter]>, backends: Backends<HttpBackend>) -> Candidate {
    let id = RuleId { kind: RouteKind::HTTPRoute, route: ObjectName::new("default", "route"), rule, name: None };
    let rule = Rule { id, filters, backends, timeouts: Timeouts::default(), retry: None, session: None };
    let matcher = Matcher { path, method: None, headers: Box::default(), query: Box::default() };
    Candidate { matcher, rule: Arc::new(rule) }
}

/// Two HTTPS listeners on one port, with the same certificate and the same backends.
pub fn snapshot(bind: SocketAddr, upstreams: [SocketAddr; 2], certificate: &Arc<CertifiedKey>) -> Snapshot {
    let mut tls = TlsPort::default();
    for name in ["a.example", "b.example"] {
        tls.listeners.insert(Some(&Hostname::new(name)), tls_listener(name, certificate));
    }
    let backend = |protocol| {
        let service = ObjectName::new("default", "backend");
        Some(Arc::new(Backend { key: BackendKey { service, port: 80, client: None, protocol }, tls: None }))
    };
    let endpoints = |address| {
        let endpoint = Endpoint { address, pod: None, zone: None, id: 1 };
        Arc::new(Endpoints { list: [endpoint].into() })
    };
    Snapshot {
        ports: vec![Arc::new(port(bind, Transport::Tcp, PortKind::Tls(Arc::new(tls))))],
        backends: BACKENDS.map(backend).into(),
        endpoints: upstreams.map(endpoints).into(),
        ..Snapshot::default()
    }
}
