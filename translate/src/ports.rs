//! The ports of a snapshot: listeners that share a port, at the addresses of their Gateway, and the ports of Services.
//! What did not change keeps its `Arc`.

use crate::{
    edges::{ClientPort, Edges},
    gateway::{Gateways, ListenerEntry, Protocol},
    mesh::Frontends,
    objects::ObjectName,
    route::tables::{self, Entry, HttpTable},
    snapshot::{
        HostMap, HttpListener, HttpPort, L4Rule, ListenerId, ParentId, Port, PortKind, TlsAction, TlsListener, TlsPort,
        TlsRoutes, Transport,
    },
    statuses::{Note, Severity},
};
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

/// What is kept from translation to translation.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortMemo {
    tables: HashMap<ListenerId, Arc<HttpTable>>,
    http: HashMap<ListenerId, Arc<HttpListener>>,
    tls: HashMap<ListenerId, Arc<TlsListener>>,
    ports: HashMap<(SocketAddr, Transport), Arc<Port>>,
}

/// All ports.
#[derive(Default)]
pub(crate) struct Ports {
    pub(crate) list: Vec<Arc<Port>>,
    pub(crate) memo: PortMemo,
    pub(crate) notes: Vec<Note>,
}

/// What a listener does with its connections.
enum Content {
    Http(Arc<HttpListener>),
    Tls(Arc<TlsListener>),
    L4(Option<Arc<L4Rule>>),
}

/// Builds all ports. `entries` are the routes of each listener, by age.
pub(crate) fn ports(
    gateways: &Gateways,
    edges: &Edges,
    entries: &[Vec<Entry<'_>>],
    frontends: &Frontends,
    last: Option<&PortMemo>,
) -> Ports {
    let mut builder = Builder { edges, last, made: BTreeMap::new(), memo: PortMemo::default(), notes: Vec::new() };
    for (at, gateway) in gateways.gateways.iter().enumerate() {
        let of_sets = gateway.sets.iter().flat_map(|set| &gateways.sets[*set].listeners);
        let served = gateway.listeners.iter().chain(of_sets).filter(|one| gateways.listeners[**one].served());
        let mut shared: BTreeMap<(u16, Transport), Vec<(&ListenerEntry, Content)>> = BTreeMap::new();
        for position in served {
            let listener = &gateways.listeners[*position];
            debug_assert_eq!(listener.gateway, at, "a listener is listed by its own Gateway");
            let content = builder.content(listener, &entries[*position]);
            shared.entry((listener.spec.port, listener.transport())).or_default().push((listener, content));
        }
        for ((number, transport), listeners) in shared {
            for ip in &gateway.addresses {
                let parent = ParentId::Gateway(gateway.name.clone());
                let place = Place { declared: SocketAddr::new(*ip, number), transport, parent, http3: gateway.http3 };
                builder.gateway_port(place, &listeners);
            }
        }
    }
    for (service, declared, transport, frontend) in &frontends.ports {
        let parent = ParentId::Service(service.clone());
        let place = Place { declared: *declared, transport: *transport, parent, http3: false };
        builder.add(place, |_| PortKind::Frontend(frontend.clone()));
    }
    let mut memo = builder.memo;
    memo.ports = builder.made.iter().map(|(key, port)| (*key, port.clone())).collect();
    Ports { list: builder.made.into_values().collect(), memo, notes: builder.notes }
}

/// Where a port is, and whose.
struct Place {
    declared: SocketAddr,
    transport: Transport,
    parent: ParentId,
    http3: bool,
}

struct Builder<'a> {
    edges: &'a Edges,
    last: Option<&'a PortMemo>,
    made: BTreeMap<(SocketAddr, Transport), Arc<Port>>,
    memo: PortMemo,
    notes: Vec<Note>,
}

// === impl Builder ===

impl Builder<'_> {
    fn content(&mut self, listener: &ListenerEntry, entries: &[Entry<'_>]) -> Content {
        match listener.protocol {
            Some(Protocol::Http) => Content::Http(self.http(listener, entries)),
            Some(Protocol::Https | Protocol::TlsTerminate | Protocol::TlsPassthrough) => {
                Content::Tls(self.tls(listener, entries))
            }
            Some(Protocol::Tcp | Protocol::Udp) | None => Content::L4(tables::l4(entries)),
        }
    }

    fn http(&mut self, listener: &ListenerEntry, entries: &[Entry<'_>]) -> Arc<HttpListener> {
        let id = &listener.id;
        let table = tables::http(self.last.and_then(|last| last.tables.get(id)), entries);
        let before = self.last.and_then(|last| last.http.get(id));
        let same =
            |one: &&Arc<HttpListener>| Arc::ptr_eq(&one.routes, &table.table) && one.hostname == listener.hostname;
        let made = before.filter(same).cloned().unwrap_or_else(|| {
            let hostname = listener.hostname.clone();
            Arc::new(HttpListener { id: id.clone(), hostname, routes: table.table.clone() })
        });
        self.memo.tables.insert(id.clone(), table);
        self.memo.http.insert(id.clone(), made.clone());
        made
    }

    fn tls(&mut self, listener: &ListenerEntry, entries: &[Entry<'_>]) -> Arc<TlsListener> {
        let before = self.last.and_then(|last| last.tls.get(&listener.id));
        let routes_before = before.and_then(|before| match &before.action {
            TlsAction::Terminate(_, routes) | TlsAction::Passthrough(routes) => Some(routes),
            TlsAction::Http(..) => None,
        });
        let routes = |entries| -> Arc<TlsRoutes> { tables::tls(routes_before, entries) };
        let action = match (&listener.protocol, &listener.tls) {
            (Some(Protocol::Https), crate::gateway::ListenerTls::Server(server)) => {
                TlsAction::Http(server.clone(), self.http(listener, entries))
            }
            (_, crate::gateway::ListenerTls::Server(server)) => TlsAction::Terminate(server.clone(), routes(entries)),
            (_, crate::gateway::ListenerTls::None) => TlsAction::Passthrough(routes(entries)),
        };
        let same = |one: &&Arc<TlsListener>| one.hostname == listener.hostname && same_action(&one.action, &action);
        let made = before.filter(same).cloned().unwrap_or_else(|| {
            Arc::new(TlsListener { id: listener.id.clone(), hostname: listener.hostname.clone(), action })
        });
        self.memo.tls.insert(listener.id.clone(), made.clone());
        made
    }

    fn gateway_port(&mut self, place: Place, listeners: &[(&ListenerEntry, Content)]) {
        let [(first, content), ..] = listeners else { return };
        let (id, transport) = (first.id.clone(), place.transport);
        self.add(place, |before| match content {
            Content::L4(rule) if transport == Transport::Udp => PortKind::Udp(id, rule.clone()),
            Content::L4(rule) => PortKind::Tcp(id, rule.clone()),
            Content::Http(_) => {
                let mut map = HostMap::default();
                for (listener, content) in listeners {
                    if let Content::Http(one) = content {
                        map.insert(listener.hostname.as_ref(), one.clone());
                    }
                }
                match before {
                    Some(PortKind::Http(before)) if before.listeners.same(&map, Arc::ptr_eq) => {
                        PortKind::Http(before.clone())
                    }
                    _ => PortKind::Http(Arc::new(HttpPort { listeners: map })),
                }
            }
            Content::Tls(_) => {
                let mut map = HostMap::default();
                for (listener, content) in listeners {
                    if let Content::Tls(one) = content {
                        map.insert(listener.hostname.as_ref(), one.clone());
                    }
                }
                match before {
                    Some(PortKind::Tls(before)) if before.listeners.same(&map, Arc::ptr_eq) => {
                        PortKind::Tls(before.clone())
                    }
                    _ => PortKind::Tls(Arc::new(TlsPort { listeners: map })),
                }
            }
        });
    }

    /// Adds a port where none is yet; what else wants the address is told so.
    fn add(&mut self, place: Place, kind: impl FnOnce(Option<&PortKind>) -> PortKind) {
        let Place { declared, transport, parent, http3 } = place;
        let bind = self.edges.bind(declared, transport);
        let key = (bind, transport);
        if let Some(owner) = self.made.get(&key) {
            self.notes.push(taken(&parent, bind, &owner.parent));
            return;
        }
        let client_port = match self.edges.client_port {
            ClientPort::Bound => bind.port(),
            ClientPort::Declared => declared.port(),
        };
        let before = self.last.and_then(|last| last.ports.get(&key));
        let kind = kind(before.map(|port| &port.kind));
        let now = Port { bind, transport, declared, client_port, parent, http3, kind };
        let port = match before {
            Some(before) if same_port(before, &now) => before.clone(),
            _ => Arc::new(now),
        };
        self.made.insert(key, port);
    }
}

fn taken(parent: &ParentId, bind: SocketAddr, owner: &ParentId) -> Note {
    let (kind, object): (_, &ObjectName) = match parent {
        ParentId::Gateway(name) => ("Gateway", name),
        ParentId::Service(name) => ("Service", name),
    };
    let message = format!("{bind} is taken by {owner}");
    Note { kind, object: object.clone(), severity: Severity::Problem, message }
}

fn same_action(a: &TlsAction, b: &TlsAction) -> bool {
    match (a, b) {
        (TlsAction::Http(s, a), TlsAction::Http(t, b)) => Arc::ptr_eq(s, t) && Arc::ptr_eq(a, b),
        (TlsAction::Terminate(s, a), TlsAction::Terminate(t, b)) => Arc::ptr_eq(s, t) && Arc::ptr_eq(a, b),
        (TlsAction::Passthrough(a), TlsAction::Passthrough(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}

fn same_port(a: &Port, b: &Port) -> bool {
    let rule = |a: &Option<Arc<L4Rule>>, b: &Option<Arc<L4Rule>>| match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    };
    let kind = match (&a.kind, &b.kind) {
        (PortKind::Http(a), PortKind::Http(b)) => Arc::ptr_eq(a, b),
        (PortKind::Tls(a), PortKind::Tls(b)) => Arc::ptr_eq(a, b),
        (PortKind::Tcp(n, a), PortKind::Tcp(m, b)) | (PortKind::Udp(n, a), PortKind::Udp(m, b)) => n == m && rule(a, b),
        (PortKind::Frontend(a), PortKind::Frontend(b)) => Arc::ptr_eq(a, b),
        _ => false,
    };
    let place = |port: &Port| (port.declared, port.client_port, port.http3);
    kind && place(a) == place(b) && a.parent == b.parent
}
