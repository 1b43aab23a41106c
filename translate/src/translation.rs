//! `translate`: what it gives, and what is kept from one translation to the next.

use crate::{
    changes::{Changes, Retained},
    edges::Edges,
    objects::{ObjectName, Objects},
    pass::{Kept, Pass},
    references::References,
    refs::endpoints::{self, SliceServices, Slices},
    snapshot::{Backend, BackendProtocol, Endpoints, Snapshot, Transport},
    statuses::{Note, Severity, Statuses},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// What `translate` gives: a snapshot, statuses, and what makes the next translation cheap.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What the engine serves.
    pub snapshot: Arc<Snapshot>,
    /// What the objects are told.
    pub statuses: Arc<Statuses>,
    /// The ports of each Gateway's listeners, also of such as cannot be served yet.
    pub listeners: Arc<BTreeMap<ObjectName, BTreeSet<ListenerPort>>>,
    /// Secrets and ConfigMaps that each Gateway reads.
    pub references: Arc<References>,
    pub(crate) memo: Arc<Memo>,
}

/// A port of a Gateway's listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListenerPort {
    /// The port that clients use.
    pub port: u16,
    /// What is listened for; HTTP/3 is beside TCP where `http3` says so.
    pub transport: Transport,
    /// Whether HTTP/3 is served at the same port.
    pub http3: bool,
}

/// What is kept to compare with and to reuse.
#[derive(Debug)]
pub(crate) struct Memo {
    pub(crate) edges: Edges,
    pub(crate) objects: Retained,
    pub(crate) slices: Arc<SliceServices>,
    /// What a change of endpoints leaves as it is.
    pub(crate) kept: Arc<Kept>,
}

/// Translates objects to a snapshot and statuses. Pure and total: never fails, and the same inputs give the same result,
/// whether or not there was a translation before; that one only makes it cheaper.
pub fn translate(objects: &Objects, edges: &Edges, previous: Option<&Translation>) -> Translation {
    let mut changes = Changes::since(previous.map(|previous| &previous.memo.objects), objects);
    if let Some(previous) = previous {
        changes.add_rights(&previous.memo.edges, edges);
    }
    match previous {
        Some(previous) if changes.only_endpoints() && previous.memo.edges.same_but_clients(edges) => {
            endpoints_only(objects, edges, previous, &changes)
        }
        _ => Pass::new(objects, edges, previous, changes).run(),
    }
}

/// A translation after nothing but EndpointSlices and clients changed: everything else is what it was.
fn endpoints_only(objects: &Objects, edges: &Edges, previous: &Translation, changes: &Changes) -> Translation {
    let (memo, snapshot) = (&previous.memo, &previous.snapshot);
    let clients = clients_of(edges, Some(snapshot));
    if !changes.endpoint_slices.any() && Arc::ptr_eq(&clients, &snapshot.clients) {
        return previous.clone();
    }
    let slices = endpoints::slice_services(objects, changes, Some(&memo.slices));
    let changed = endpoints::changed_services(changes, Some(&memo.slices), &slices);
    let stale = |backend: &Backend| changed.as_ref().is_none_or(|names| names.contains(&backend.key.service));
    let endpoints = endpoints_of(objects, &slices, &snapshot.backends, Some(snapshot), stale);
    let notes = all_notes(&memo.kept.notes, objects);
    let statuses = match notes == previous.statuses.notes {
        true => previous.statuses.clone(),
        false => Arc::new(Statuses { notes, ..Statuses::clone(&previous.statuses) }),
    };
    Translation {
        snapshot: Arc::new(Snapshot { endpoints, clients, ..Snapshot::clone(snapshot) }),
        statuses,
        listeners: previous.listeners.clone(),
        references: previous.references.clone(),
        memo: Arc::new(Memo { edges: edges.clone(), objects: objects.into(), slices, kept: memo.kept.clone() }),
    }
}

/// The endpoints of all backends; those of backends that are not `stale` are those of `before`.
pub(crate) fn endpoints_of(
    objects: &Objects,
    services: &SliceServices,
    backends: &[Option<Arc<Backend>>],
    before: Option<&Snapshot>,
    stale: impl Fn(&Backend) -> bool,
) -> Arc<[Arc<Endpoints>]> {
    let none = Arc::new(Endpoints::default());
    let earlier = |at: usize, backend: &Arc<Backend>| {
        let before = before?;
        let same = before.backends.get(at)?.as_ref()?;
        (Arc::ptr_eq(same, backend) || same.key == backend.key).then(|| before.endpoints.get(at)).flatten()
    };
    let fresh = |at: usize, backend: &Arc<Backend>| earlier(at, backend).filter(|_| !stale(backend));
    let looked_for: HashSet<&ObjectName> = backends
        .iter()
        .enumerate()
        .filter_map(|(at, backend)| backend.as_ref().filter(|backend| fresh(at, backend).is_none()))
        .map(|backend| &backend.key.service)
        .collect();
    let slices = match looked_for.is_empty() {
        true => Slices::default(),
        false => Slices::new(objects, services, |service| looked_for.contains(service)),
    };
    // A Service's port is often several backends: of routes, of filters, and its own.
    let mut shared: HashMap<(&ObjectName, u16, bool), Arc<Endpoints>> = HashMap::new();
    let endpoints = backends.iter().enumerate().map(|(at, backend)| {
        let Some(backend) = backend else { return none.clone() };
        if let Some(fresh) = fresh(at, backend) {
            return fresh.clone();
        }
        let key = &backend.key;
        let shared = shared.entry((&key.service, key.port, key.protocol == BackendProtocol::Udp));
        let now = shared.or_insert_with(|| {
            let service = objects.services.get(&key.service).map(|service| &**service);
            Arc::new(slices.endpoints(backend, service))
        });
        match earlier(at, backend) {
            Some(earlier) if earlier == now => earlier.clone(),
            _ => now.clone(),
        }
    });
    endpoints.collect()
}

/// The namespaces of clients; the very map of `before` if they are the same.
pub(crate) fn clients_of(edges: &Edges, before: Option<&Snapshot>) -> Arc<BTreeMap<IpAddr, Arc<str>>> {
    match before {
        Some(before) if *before.clients == edges.clients => before.clients.clone(),
        _ => Arc::new(edges.clients.clone()),
    }
}

/// Notes with those about endpoints, sorted.
pub(crate) fn all_notes(others: &[Note], objects: &Objects) -> Vec<Note> {
    let foreign = objects.endpoint_slices.iter().filter(|(_, slice)| slice.address_type == "FQDN");
    let foreign = foreign.map(|(name, _)| Note {
        kind: "EndpointSlice",
        object: name.clone(),
        severity: Severity::Problem,
        message: "addressType: FQDN is not supported, only IPv4 and IPv6 are".to_owned(),
    });
    let mut notes: Vec<_> = others.iter().cloned().chain(foreign).collect();
    notes.sort();
    notes.dedup();
    notes
}
