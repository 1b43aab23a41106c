//! The phases of a translation in their order. Nothing here decides what an object means; the modules that are called do.

use crate::{
    changes::{Changed, Changes},
    edges::Edges,
    gateway::{self, Gateways, class_statuses, gateway_status, listener_set_status},
    mesh::{FrontendMemo, Frontends, frontends},
    objects::{Objects, Store},
    policy_status::policy_statuses,
    ports::{PortMemo, Ports, ports},
    recent::Recent,
    references::references,
    refs::{
        backends::{Backends, ClientTls},
        certificates::Certificates,
        endpoints::{self, SliceServices},
        grants::Grants,
        policies::Policies,
        resolver::Resolver,
    },
    route::{
        Attachment, Compiler, Outcome, Route,
        attach::Attacher,
        exclusive::{Lost, exclusive},
        tables::Entry,
    },
    snapshot::{Backend, BackendIndex, RouteKind, Snapshot, WasmFilter},
    statuses::{Note, Severity, StatusMap, Statuses},
    translation::{Memo, Translation, all_notes, clients_of, endpoints_of},
    wasm_filters::WasmFilters,
};
use portolan_crds::common::RouteStatus;
use std::{
    cell::RefCell,
    cmp::Ordering,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// What a change of endpoints leaves as it is.
#[derive(Debug)]
pub(crate) struct Kept {
    certificates: Certificates,
    policies: Policies,
    filters: WasmFilters,
    gateways: Arc<Gateways>,
    /// By kind, then by name.
    outcomes: Vec<Arc<Outcome>>,
    backends: Backends,
    client_tls: ClientTls,
    ports: PortMemo,
    frontends: FrontendMemo,
    /// Notes that are not about endpoints.
    pub(crate) notes: Vec<Note>,
}

/// One translation in full.
pub(crate) struct Pass<'a> {
    objects: &'a Objects,
    edges: &'a Edges,
    previous: Option<&'a Translation>,
    last: Option<&'a Kept>,
    changes: Changes,
}

// === impl Pass ===

impl<'a> Pass<'a> {
    pub(crate) fn new(
        objects: &'a Objects,
        edges: &'a Edges,
        previous: Option<&'a Translation>,
        changes: Changes,
    ) -> Self {
        let last = previous.map(|previous| &*previous.memo.kept);
        Self { objects, edges, previous, last, changes }
    }

    /// The edges of the last translation.
    fn last_edges(&self) -> Option<&'a Edges> {
        self.previous.map(|previous| &previous.memo.edges)
    }

    pub(crate) fn run(mut self) -> Translation {
        let (objects, edges, last) = (self.objects, self.edges, self.last);
        let grants = Grants::new(&objects.reference_grants);
        let mut certificates = Certificates::since(last.map(|last| &last.certificates), &self.changes);
        let policies = Policies::new(last.map(|last| &last.policies), objects, edges, &self.changes);
        if let Some(last) = last {
            policies.changed_services(&last.policies).for_each(|name| self.changes.services.add(name.clone()));
        }
        let mut backends = last.map(|last| last.backends.clone()).unwrap_or_default();
        let mut resolver = Resolver { objects, grants: &grants, policies: &policies, backends: &mut backends };
        let filters_before = last.map(|last| &last.filters).zip(self.last_edges());
        let filters = WasmFilters::new(filters_before, &mut resolver, edges, &self.changes);
        if let Some(last) = last {
            filters.changed(&last.filters).for_each(|name| self.changes.wasm_filters.add(name.clone()));
        }
        let same_listeners = self.same_listeners();
        let gateways = match last.filter(|_| same_listeners) {
            Some(last) => last.gateways.clone(),
            None => {
                let last = last.map(|last| &*last.gateways);
                Arc::new(gateway::collect(objects, edges, &grants, &mut certificates, last))
            }
        };
        let outcomes = self.outcomes(resolver, &filters, &gateways, same_listeners);
        let by_age = by_age(&outcomes);
        let at_listener = at_listener(&outcomes, &by_age, gateways.listeners.len());
        let lost = exclusive(&outcomes, &at_listener);
        let frontends = match edges.frontends {
            true => frontends(objects, &outcomes, &by_age, &mut backends, last.map(|last| &last.frontends)),
            false => Frontends::default(),
        };
        let entries = entries(&at_listener, &lost);
        let ports = ports(&gateways, edges, &entries, &frontends, last.map(|last| &last.ports));
        let client_tls = self.settle(&mut backends, &policies, &filters, &gateways, &outcomes, &frontends);
        let attached: Vec<u32> = entries.iter().map(|routes| u32::try_from(routes.len()).unwrap_or(u32::MAX)).collect();
        let (policy_statuses, policy_notes) =
            policy_statuses(&policies, objects, &outcomes, &gateways, &edges.controller_name);
        let notes = notes(&gateways, &outcomes, &at_listener, &ports, policy_notes);
        let slices =
            endpoints::slice_services(objects, &self.changes, self.previous.map(|previous| &previous.memo.slices));
        let mut statuses = self.gateway_statuses(&gateways, &attached);
        statuses.backend_tls_policies = policy_statuses;
        statuses.wasm_filters = filters.iter().map(|(name, outcome)| (name.clone(), outcome.status.clone())).collect();
        self.route_statuses(&mut statuses, &outcomes, &lost, &frontends);
        statuses.notes = all_notes(&notes, objects);
        let listeners = Arc::new(gateways.ports());
        let references = Arc::new(references(objects, &gateways, &policies, &filters, &outcomes));
        let snapshot = self.snapshot(&backends, &filters, &outcomes, ports.list, &slices);
        let kept = Kept {
            certificates,
            policies,
            filters,
            gateways,
            outcomes,
            backends,
            client_tls,
            ports: ports.memo,
            frontends: frontends.memo,
            notes,
        };
        Translation {
            snapshot: Arc::new(snapshot),
            statuses: Arc::new(statuses),
            listeners,
            references,
            memo: Arc::new(Memo { edges: edges.clone(), objects: objects.into(), slices, kept: Arc::new(kept) }),
        }
    }

    /// Whether nothing changed on which listeners, and which routes they take, depend.
    fn same_listeners(&self) -> bool {
        let same_edges = self.last_edges().is_some_and(|last| {
            let key = |edges: &Edges| (edges.controller_name.clone(), edges.implicit_class.clone(), edges.frontends);
            key(last) == key(self.edges) && last.gateways == self.edges.gateways && last.binds == self.edges.binds
        });
        same_edges && !self.changes.gateway_inputs()
    }

    /// The outcomes of all routes: by kind, then by name.
    fn outcomes(
        &self,
        resolver: Resolver<'_>,
        filters: &WasmFilters,
        gateways: &Gateways,
        same_listeners: bool,
    ) -> Vec<Arc<Outcome>> {
        let mut attacher = Attacher {
            objects: self.objects,
            edges: self.edges,
            gateways,
            changes: &self.changes,
            same_listeners,
            compiler: Compiler { resolver, filters },
            parent_refs: Recent::default(),
            statuses: Recent::default(),
        };
        let last = self.last.map_or(&[][..], |last| &last.outcomes);
        let mut all = Vec::with_capacity(last.len());
        attach_all(&mut attacher, &self.objects.http_routes, &self.changes.http_routes, last, &mut all);
        attach_all(&mut attacher, &self.objects.grpc_routes, &self.changes.grpc_routes, last, &mut all);
        attach_all(&mut attacher, &self.objects.tls_routes, &self.changes.tls_routes, last, &mut all);
        attach_all(&mut attacher, &self.objects.tcp_routes, &self.changes.tcp_routes, last, &mut all);
        attach_all(&mut attacher, &self.objects.udp_routes, &self.changes.udp_routes, last, &mut all);
        all
    }

    /// Frees the backends that nothing uses, and settles the TLS of the others.
    fn settle(
        &self,
        backends: &mut Backends,
        policies: &Policies,
        filters: &WasmFilters,
        gateways: &Gateways,
        outcomes: &[Arc<Outcome>],
        frontends: &Frontends,
    ) -> ClientTls {
        let mut used = vec![false; backends.slots().len()];
        let of_routes = outcomes.iter().flat_map(|outcome| outcome.compiled()).flat_map(|c| &c.dependencies.backends);
        let of_filters = filters.iter().flat_map(|(_, outcome)| outcome.backends());
        for BackendIndex(at) in of_routes.chain(of_filters).chain(&frontends.forwards) {
            used[*at as usize] = true;
        }
        let before = self.last.map(|last| &last.client_tls);
        let (empty, mut next) = (ClientTls::default(), ClientTls::default());
        let next_cell = RefCell::new(&mut next);
        backends.settle(&used, |key| {
            let gateway = key.client.as_ref().and_then(|name| gateways.gateway_by_name.get(name));
            let certificate = gateway.and_then(|at| gateways.gateways[*at].client_certificate.as_ref());
            let service = self.objects.services.get(&key.service).map(|service| &**service);
            before.unwrap_or(&empty).of(key, policies, service, certificate, &mut next_cell.borrow_mut())
        });
        next
    }

    fn gateway_statuses(&self, gateways: &Gateways, attached: &[u32]) -> Statuses {
        let gateway = |one| Arc::new(gateway_status(gateways, one, attached));
        let set = |one| Arc::new(listener_set_status(gateways, one, attached));
        Statuses {
            gateway_classes: class_statuses(self.objects, self.edges),
            gateways: gateways.gateways.iter().map(|one| (one.name.clone(), gateway(one))).collect(),
            listener_sets: gateways.sets.iter().map(|one| (one.name.clone(), set(one))).collect(),
            ..Statuses::default()
        }
    }

    fn route_statuses(&self, statuses: &mut Statuses, outcomes: &[Arc<Outcome>], lost: &Lost, frontends: &Frontends) {
        let lost_ports: HashSet<usize> = frontends.has_lost().collect();
        let status = |at: usize| {
            let outcome = &outcomes[at];
            match lost.has(at) || lost_ports.contains(&at) {
                false => outcome.status.clone(),
                true => Arc::new(outcome.status_without(&self.edges.controller_name, |parent_at| {
                    let parent = &outcome.parents[parent_at];
                    lost.under(at, parent).or_else(|| frontends.lost_under(at, parent_at, &parent.target))
                })),
            }
        };
        // Outcomes come by name, so that a map is built of them without a search.
        let of = |kind: RouteKind| -> StatusMap<RouteStatus> {
            let start = outcomes.partition_point(|outcome| outcome.kind < kind);
            let own = outcomes.iter().enumerate().skip(start).take_while(|(_, outcome)| outcome.kind == kind);
            let attached = own.filter(|(_, outcome)| !outcome.parents.is_empty());
            attached.map(|(at, outcome)| (outcome.name.clone(), status(at))).collect()
        };
        statuses.http_routes = of(RouteKind::HTTPRoute);
        statuses.grpc_routes = of(RouteKind::GRPCRoute);
        statuses.tls_routes = of(RouteKind::TLSRoute);
        statuses.tcp_routes = of(RouteKind::TCPRoute);
        statuses.udp_routes = of(RouteKind::UDPRoute);
    }

    fn snapshot(
        &self,
        backends: &Backends,
        filters: &WasmFilters,
        outcomes: &[Arc<Outcome>],
        ports: Vec<Arc<crate::snapshot::Port>>,
        slices: &SliceServices,
    ) -> Snapshot {
        let before = self.previous.map(|previous| &*previous.snapshot);
        let changed =
            endpoints::changed_services(&self.changes, self.previous.map(|previous| &*previous.memo.slices), slices);
        let stale = |backend: &Backend| {
            let service = &backend.key.service;
            changed.as_ref().is_none_or(|names| names.contains(service)) || self.changes.services.has(service)
        };
        Snapshot {
            ports,
            backends: backends.slots().into(),
            endpoints: endpoints_of(self.objects, slices, backends.slots(), before, stale),
            clients: clients_of(self.edges, before),
            wasm_filters: used_filters(filters, outcomes),
        }
    }
}

/// Adds the outcomes of the routes of one kind; those of `last` are sorted by kind and name, as are all stores.
fn attach_all<T: Route>(
    attacher: &mut Attacher<'_>,
    store: &Store<T>,
    changed: &Changed,
    last: &[Arc<Outcome>],
    all: &mut Vec<Arc<Outcome>>,
) {
    let start = last.partition_point(|outcome| outcome.kind < T::KIND);
    let mut before = last[start..].iter().take_while(|outcome| outcome.kind == T::KIND).peekable();
    for (name, route) in store {
        while before.next_if(|outcome| outcome.name.cmp(name) == Ordering::Less).is_some() {}
        let own = before.next_if(|outcome| outcome.name == *name);
        all.push(attacher.outcome(name, &**route, own, changed.has(name)));
    }
}

/// Positions of routes, the oldest first.
fn by_age(outcomes: &[Arc<Outcome>]) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..outcomes.len()).collect();
    positions.sort_by_key(|at| (outcomes[*at].created, &outcomes[*at].name));
    positions
}

/// The routes at each listener, by age.
fn at_listener<'a>(
    outcomes: &'a [Arc<Outcome>],
    by_age: &[usize],
    listeners: usize,
) -> Vec<Vec<(usize, &'a Attachment)>> {
    let mut all: Vec<Vec<_>> = (0..listeners).map(|_| Vec::new()).collect();
    for route in by_age {
        for attachment in outcomes[*route].attachments() {
            all[attachment.listener].push((*route, attachment));
        }
    }
    all
}

/// What goes into the tables of each listener: the routes there that did not lose.
fn entries<'a>(at_listener: &[Vec<(usize, &'a Attachment)>], lost: &Lost) -> Vec<Vec<Entry<'a>>> {
    let entry = |attachment: &'a Attachment| Entry { hosts: &attachment.hosts, compiled: &attachment.compiled };
    let of = |(listener, routes): (usize, &Vec<(usize, &'a Attachment)>)| {
        let left = routes.iter().filter(|(route, _)| lost.at(*route, listener).is_none());
        left.map(|(_, attachment)| entry(attachment)).collect()
    };
    at_listener.iter().enumerate().map(of).collect()
}

/// What no status can say, but for endpoints.
fn notes(
    gateways: &Gateways,
    outcomes: &[Arc<Outcome>],
    at_listener: &[Vec<(usize, &Attachment)>],
    ports: &Ports,
    more: Vec<Note>,
) -> Vec<Note> {
    let of_routes = outcomes.iter().flat_map(|outcome| &outcome.notes);
    let all = gateways.notes.iter().chain(of_routes).chain(&ports.notes).cloned().chain(more);
    all.chain(shadowed(gateways, outcomes, at_listener)).collect()
}

/// Routes below HTTP that are attached, but get no traffic since an older one has all of it.
fn shadowed(gateways: &Gateways, outcomes: &[Arc<Outcome>], at_listener: &[Vec<(usize, &Attachment)>]) -> Vec<Note> {
    let mut notes = Vec::new();
    for (listener, routes) in at_listener.iter().enumerate() {
        let mut owners = HashMap::new();
        for (route, attachment) in routes.iter().filter(|(_, attachment)| attachment.compiled.l4().is_some()) {
            for host in &attachment.hosts {
                let owner = *owners.entry(host).or_insert(*route);
                if owner == *route {
                    continue;
                }
                let (id, owner) = (&gateways.listeners[listener].id, &outcomes[owner].name);
                let host = host.as_ref().map(|host| format!(" for {host}")).unwrap_or_default();
                notes.push(Note {
                    kind: outcomes[*route].kind.as_str(),
                    object: outcomes[*route].name.clone(),
                    severity: Severity::Info,
                    message: format!("at the listener {id}, all traffic{host} goes to the older route {owner}"),
                });
            }
        }
    }
    notes
}

/// The WasmFilters that some route uses, by name.
fn used_filters(filters: &WasmFilters, outcomes: &[Arc<Outcome>]) -> Vec<Arc<WasmFilter>> {
    let compiled = outcomes.iter().flat_map(|outcome| outcome.compiled());
    let names: BTreeSet<_> = compiled.flat_map(|compiled| &compiled.dependencies.filters).collect();
    names.into_iter().filter_map(|name| filters.get(name)?.filter.as_ref().ok().cloned()).collect()
}
