//! What was seen so far: events in, views out. Pure; no client, no clock.

use super::{
    arrive::{Arrived, arrive, name},
    selection::Selection,
    trouble::{Trouble, TroubleKind},
};
use crate::kinds::{Kind, Object};
use kube::{api::DynamicObject, runtime::watcher::Event};
use portolan_translate::{ObjectName, Objects, Statuses};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

/// What a cluster holds, as far as it is watched.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The objects, without statuses.
    pub objects: Objects,
    /// Their statuses and versions, if those were asked for.
    pub observed: Arc<Observed>,
    /// Selections that were listed once, or are known to be missing or forbidden.
    pub settled: BTreeSet<Selection>,
    /// Whether all that are watched are settled.
    pub complete: bool,
    /// Why selections are not up to date.
    pub troubles: BTreeMap<Selection, Trouble>,
    /// Objects that are not what they should be, and why.
    pub unreadable: BTreeMap<Unreadable, String>,
}

/// An object that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: ObjectName,
}

/// Statuses as the API server holds them.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Those that can be read.
    pub statuses: Statuses,
    /// Of each object, what a writer has to know.
    pub objects: BTreeMap<(Kind, ObjectName), Observation>,
}

/// What a writer has to know of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The version that a write replaces.
    pub resource_version: String,
    /// The object, among all that ever had its name.
    pub uid: String,
}

/// What is known of a selection.
#[derive(Debug, Default)]
struct Watched {
    names: HashSet<ObjectName>,
    /// What a listing that is under way has shown.
    listing: Option<HashSet<ObjectName>>,
}

/// What was seen so far.
#[derive(Debug)]
pub(super) struct State {
    view: View,
    watched: BTreeMap<Selection, Watched>,
    with_statuses: bool,
}

// === impl State ===

impl State {
    /// Nothing was seen yet. Statuses are kept if they are asked for.
    pub(super) fn new(with_statuses: bool) -> Self {
        Self { view: View::default(), watched: BTreeMap::new(), with_statuses }
    }

    /// What is there now.
    pub(super) fn view(&self) -> View {
        let complete = !self.watched.is_empty() && self.watched.keys().all(|one| self.view.settled.contains(one));
        View { complete, ..self.view.clone() }
    }

    /// From now on these are watched: what no longer is goes. Returns what came and what went.
    pub(super) fn select(&mut self, wanted: &BTreeSet<Selection>) -> (Vec<Selection>, Vec<Selection>) {
        let gone: Vec<_> = self.watched.keys().filter(|one| !wanted.contains(*one)).cloned().collect();
        for selection in &gone {
            let watched = self.watched.remove(selection).unwrap_or_default();
            watched.names.into_iter().for_each(|name| self.remove(selection.kind, &name));
            self.view.settled.remove(selection);
            self.view.troubles.remove(selection);
        }
        let new: Vec<_> = wanted.iter().filter(|one| !self.watched.contains_key(*one)).cloned().collect();
        for selection in &new {
            self.watched.insert(selection.clone(), Watched::default());
        }
        (new, gone)
    }

    /// Takes in an event of a selection.
    pub(super) fn apply(&mut self, selection: &Selection, event: Event<DynamicObject>) {
        // It may have been given up while the event was under way.
        let Some(watched) = self.watched.get_mut(selection) else { return };
        match event {
            // A listing begins with the word that it does, whether or not it succeeds.
            Event::Init => {
                watched.listing = Some(HashSet::new());
                return;
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let name = name(&object.metadata);
                watched.names.insert(name.clone());
                watched.listing.iter_mut().for_each(|listing| {
                    listing.insert(name.clone());
                });
                self.insert(selection.kind, name, object);
            }
            Event::Delete(object) => {
                let name = name(&object.metadata);
                watched.names.remove(&name);
                self.remove(selection.kind, &name);
            }
            Event::InitDone => {
                let listed = watched.listing.take().unwrap_or_default();
                let gone: Vec<_> = watched.names.difference(&listed).cloned().collect();
                watched.names = listed;
                gone.iter().for_each(|name| self.remove(selection.kind, name));
                self.view.settled.insert(selection.clone());
            }
        }
        self.view.troubles.remove(selection);
    }

    /// A selection cannot be followed for now: what was seen stays.
    pub(super) fn trouble(&mut self, selection: &Selection, trouble: Trouble) {
        if !self.watched.contains_key(selection) {
            return;
        }
        if trouble.kind == TroubleKind::KindMissing {
            self.view.settled.insert(selection.clone());
        }
        self.view.troubles.insert(selection.clone(), trouble);
    }

    /// A selection will not come for a while: it is not waited for any longer.
    pub(super) fn give_up_waiting(&mut self, selection: &Selection) {
        if self.watched.contains_key(selection) {
            self.view.settled.insert(selection.clone());
        }
    }

    fn insert(&mut self, kind: Kind, name: ObjectName, object: DynamicObject) {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let key = Unreadable { kind, name };
        let arrived = match arrive(kind, object) {
            Ok(arrived) => arrived,
            // What it was before serves on.
            Err(why) => {
                self.view.unreadable.insert(key, why);
                return;
            }
        };
        self.view.unreadable.remove(&key);
        let Arrived { name, object, status, resource_version } = arrived;
        if self.with_statuses {
            let observed = Arc::make_mut(&mut self.view.observed);
            observed.objects.insert((kind, name.clone()), Observation { resource_version, uid });
            observe(&mut observed.statuses, kind, &name, status);
        }
        if Object::stored(kind, &name, &self.view.objects).is_none_or(|before| before != object) {
            object.store(name, &mut self.view.objects);
        }
    }

    fn remove(&mut self, kind: Kind, name: &ObjectName) {
        // Two selections may hold the same object.
        let held =
            |(selection, watched): (&Selection, &Watched)| selection.kind == kind && watched.names.contains(name);
        if self.watched.iter().any(held) {
            return;
        }
        self.view.unreadable.remove(&Unreadable { kind, name: name.clone() });
        if let Some(object) = Object::stored(kind, name, &self.view.objects) {
            object.remove(name, &mut self.view.objects);
        }
        if self.with_statuses {
            let observed = Arc::make_mut(&mut self.view.observed);
            observed.objects.remove(&(kind, name.clone()));
            observe(&mut observed.statuses, kind, name, None);
        }
    }
}

/// Notes an object's status; one that is absent or cannot be read is none, and will be written anew.
fn observe(statuses: &mut Statuses, kind: Kind, name: &ObjectName, status: Option<Value>) {
    fn put<T: DeserializeOwned>(map: &mut BTreeMap<ObjectName, Arc<T>>, name: &ObjectName, status: Option<Value>) {
        match status.and_then(|status| serde_json::from_value(status).ok()) {
            Some(status) => map.insert(name.clone(), Arc::new(status)),
            None => map.remove(name),
        };
    }
    match kind {
        Kind::GatewayClass => put(&mut statuses.gateway_classes, name, status),
        Kind::Gateway => put(&mut statuses.gateways, name, status),
        Kind::ListenerSet => put(&mut statuses.listener_sets, name, status),
        Kind::HTTPRoute => put(&mut statuses.http_routes, name, status),
        Kind::GRPCRoute => put(&mut statuses.grpc_routes, name, status),
        Kind::TLSRoute => put(&mut statuses.tls_routes, name, status),
        Kind::TCPRoute => put(&mut statuses.tcp_routes, name, status),
        Kind::UDPRoute => put(&mut statuses.udp_routes, name, status),
        Kind::BackendTLSPolicy => put(&mut statuses.backend_tls_policies, name, status),
        Kind::WasmFilter => put(&mut statuses.wasm_filters, name, status),
        _ => {}
    }
}
