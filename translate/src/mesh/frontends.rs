//! The ports of Services, with the routes that apply to clients of each namespace.

use super::{addresses, is_udp, number, service_ports};
use crate::{
    conditions::{Refusal, refusal},
    objects::{ObjectName, Objects},
    refs::{backends::Backends, resolver::is_external},
    route::{
        Compiled, Outcome, ParentTarget,
        tables::{self, Entry, HttpTable},
    },
    snapshot::{
        BackendIndex, BackendKey, BackendProtocol, Frontend, FrontendRoutes, HttpListener, L4Rule, ListenerId,
        RouteKind, RuleId, Target, Transport,
    },
};
use k8s_openapi::api::core::v1::ServicePort;
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

/// A port of a Service.
type PortKey = (ObjectName, u16, Transport);
/// The routes of one level: of a consumer's namespace, or (`None`) of the producer.
type Level = Option<Arc<str>>;

/// What is kept from translation to translation.
#[derive(Clone, Debug, Default)]
pub(crate) struct FrontendMemo {
    tables: HashMap<(PortKey, Level), Arc<HttpTable>>,
    frontends: HashMap<PortKey, Arc<Frontend>>,
}

/// All ports of Services.
#[derive(Default)]
pub(crate) struct Frontends {
    /// Service, declared address, what listens there.
    pub(crate) ports: Vec<(ObjectName, SocketAddr, Transport, Arc<Frontend>)>,
    /// Backends to which traffic without a route is forwarded.
    pub(crate) forwards: Vec<BackendIndex>,
    pub(crate) memo: FrontendMemo,
    lost: HashMap<(usize, usize), Vec<(u16, Refusal)>>,
}

/// A route at a port: positions of the route and of its parent, and what it compiled to.
#[derive(Clone, Copy)]
struct AtPort<'a> {
    route: usize,
    parent: usize,
    outcome: &'a Outcome,
    compiled: &'a Arc<Compiled>,
}

/// Builds the ports of all Services. `by_age` are the positions of the routes by age.
pub(crate) fn frontends(
    objects: &Objects,
    outcomes: &[Arc<Outcome>],
    by_age: &[usize],
    backends: &mut Backends,
    last: Option<&FrontendMemo>,
) -> Frontends {
    let mut all = Frontends::default();
    let routes = routes_by_port(outcomes, by_age);
    for (name, service) in &objects.services {
        // Without an address there is nothing to listen on.
        if is_external(service) || addresses(service).next().is_none() {
            continue;
        }
        for port in service_ports(service) {
            let Some(number) = number(port) else { continue };
            let transport = if is_udp(port) { Transport::Udp } else { Transport::Tcp };
            let key = (name.clone(), number, transport);
            let levels = routes.get(&key);
            let frontend = all.frontend(key, port, levels, backends, last);
            let declared = addresses(service).map(|ip| SocketAddr::new(ip, number));
            all.ports.extend(declared.map(|address| (name.clone(), address, transport, frontend.clone())));
        }
    }
    all
}

fn routes_by_port<'a>(
    outcomes: &'a [Arc<Outcome>],
    by_age: &[usize],
) -> HashMap<PortKey, BTreeMap<Level, Vec<AtPort<'a>>>> {
    let mut routes: HashMap<PortKey, BTreeMap<Level, Vec<AtPort<'a>>>> = HashMap::new();
    for route in by_age {
        let outcome = &*outcomes[*route];
        for (at, parent) in outcome.parents.iter().enumerate() {
            let ParentTarget::Service(service, ports) = &parent.target else { continue };
            let level = (outcome.name.namespace != service.namespace).then(|| outcome.name.namespace.clone());
            let transport = if outcome.kind == RouteKind::UDPRoute { Transport::Udp } else { Transport::Tcp };
            for port in ports {
                let here = routes.entry((service.clone(), *port, transport)).or_default();
                let own = here.entry(level.clone()).or_default();
                if !own.iter().any(|other| other.route == *route) {
                    own.push(AtPort { route: *route, parent: at, outcome, compiled: &parent.compiled });
                }
            }
        }
    }
    routes
}

// === impl Frontends ===

impl Frontends {
    fn frontend(
        &mut self,
        key: PortKey,
        port: &ServicePort,
        levels: Option<&BTreeMap<Level, Vec<AtPort<'_>>>>,
        backends: &mut Backends,
        last: Option<&FrontendMemo>,
    ) -> Arc<Frontend> {
        let name = port.name.as_deref().filter(|name| !name.is_empty());
        let name: Arc<str> = name.map_or_else(|| key.1.to_string().into(), Into::into);
        let id = ListenerId { owner: key.0.clone(), kind: "Service", name };
        let before = last.and_then(|last| last.frontends.get(&key)).filter(|before| before.id == id);
        let mut producer = None;
        let mut consumer = BTreeMap::new();
        for (level, routes) in levels.into_iter().flatten() {
            let place = (key.clone(), level.clone());
            let last_routes = before.and_then(|before| match level {
                None => Some(&before.producer),
                Some(namespace) => before.consumer.get(namespace),
            });
            let made = self.level(&id, place, routes, last, last_routes);
            match level {
                None => producer = Some(made),
                Some(namespace) => {
                    consumer.insert(namespace.clone(), made);
                }
            }
        }
        let producer = producer.unwrap_or_else(|| self.forward(&key, backends, before));
        let now = Frontend { id, consumer, producer };
        let frontend = match before {
            Some(before) if same(before, &now) => before.clone(),
            _ => Arc::new(now),
        };
        self.memo.frontends.insert(key, frontend.clone());
        frontend
    }

    /// The routes of one level: those of the kind of highest precedence; others are in conflict with them.
    fn level(
        &mut self,
        id: &ListenerId,
        place: (PortKey, Level),
        routes: &[AtPort<'_>],
        last: Option<&FrontendMemo>,
        last_routes: Option<&FrontendRoutes>,
    ) -> FrontendRoutes {
        let winner = routes.iter().map(|one| one.outcome.kind).min_by_key(|kind| precedence(*kind));
        let winner = winner.expect("a level exists where a route is");
        for loser in routes.iter().filter(|one| one.outcome.kind != winner) {
            let message =
                format!("port {} of Service {} has {winner}s of the same level, which go first", place.0.1, place.0.0);
            let lost = self.lost.entry((loser.route, loser.parent)).or_default();
            lost.push((place.0.1, refusal("Conflicted", message)));
        }
        let winners: Vec<_> = routes.iter().filter(|one| one.outcome.kind == winner).collect();
        let any: Vec<_> = winners.iter().map(|one| Entry { hosts: &[None], compiled: one.compiled }).collect();
        match winner {
            RouteKind::HTTPRoute | RouteKind::GRPCRoute => {
                let table = tables::http(last.and_then(|last| last.tables.get(&place)), &any);
                let routes = table.table.clone();
                self.memo.tables.insert(place, table);
                match last_routes {
                    Some(FrontendRoutes::Http(before)) if Arc::ptr_eq(&before.routes, &routes) => {
                        FrontendRoutes::Http(before.clone())
                    }
                    _ => FrontendRoutes::Http(Arc::new(HttpListener { id: id.clone(), hostname: None, routes })),
                }
            }
            RouteKind::TLSRoute => {
                let names = |one: &&AtPort<'_>| one.outcome.hostnames.iter().cloned().map(Some).collect();
                let names: Vec<Box<[_]>> = winners.iter().map(names).collect();
                let pairs = any.iter().zip(&names);
                let entries: Vec<_> = pairs.map(|(any, hosts)| Entry { hosts, compiled: any.compiled }).collect();
                let before = match last_routes {
                    Some(FrontendRoutes::Tls(before)) => Some(before),
                    _ => None,
                };
                FrontendRoutes::Tls(tables::tls(before, &entries))
            }
            _ => {
                let rule = tables::l4(&any).expect("a route that is attached has its rule");
                FrontendRoutes::L4(rule)
            }
        }
    }

    /// Traffic that no route changes goes to the Service's endpoints, byte by byte.
    fn forward(&mut self, key: &PortKey, backends: &mut Backends, before: Option<&Arc<Frontend>>) -> FrontendRoutes {
        let (service, port, transport) = key;
        let protocol = match transport {
            Transport::Tcp => BackendProtocol::Tcp,
            Transport::Udp => BackendProtocol::Udp,
        };
        let index = backends.intern(BackendKey { service: service.clone(), port: *port, client: None, protocol });
        self.forwards.push(index);
        if let Some(FrontendRoutes::L4(rule)) = before.map(|before| &before.producer)
            && rule.id.kind == RouteKind::Service
            && rule.backends.iter().any(|(_, target)| matches!(target, Target::Backend(same) if *same == index))
        {
            return FrontendRoutes::L4(rule.clone());
        }
        let id = RuleId { kind: RouteKind::Service, route: service.clone(), rule: 0, name: None };
        let backends = crate::snapshot::Backends::new([(1, Target::Backend(index))]);
        FrontendRoutes::L4(Arc::new(L4Rule { id, backends }))
    }

    /// Whether a route lost at a port of a Service.
    pub(crate) fn has_lost(&self) -> impl Iterator<Item = usize> + '_ {
        self.lost.keys().map(|(route, _)| *route)
    }

    /// Why nothing is left of a route under one of its parents.
    pub(crate) fn lost_under(&self, route: usize, at: usize, target: &ParentTarget) -> Option<Refusal> {
        let ParentTarget::Service(_, ports) = target else { return None };
        let lost = self.lost.get(&(route, at))?;
        let all = ports.iter().all(|port| lost.iter().any(|(other, _)| other == port));
        all.then(|| lost[0].1.clone())
    }
}

/// Which kind of route has a port that several want; lower goes first.
fn precedence(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::GRPCRoute => 0,
        RouteKind::HTTPRoute => 1,
        RouteKind::TLSRoute => 2,
        RouteKind::TCPRoute => 3,
        RouteKind::UDPRoute | RouteKind::Service => 4,
    }
}

fn same(a: &Frontend, b: &Frontend) -> bool {
    let consumers = a.consumer.len() == b.consumer.len()
        && a.consumer.iter().zip(&b.consumer).all(|((n, a), (m, b))| n == m && same_routes(a, b));
    consumers && same_routes(&a.producer, &b.producer)
}

fn same_routes(a: &FrontendRoutes, b: &FrontendRoutes) -> bool {
    match (a, b) {
        (FrontendRoutes::Http(a), FrontendRoutes::Http(b)) => Arc::ptr_eq(a, b),
        (FrontendRoutes::Tls(a), FrontendRoutes::Tls(b)) => Arc::ptr_eq(a, b),
        (FrontendRoutes::L4(a), FrontendRoutes::L4(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
