//! What was seen so far: events in, views out. Pure; no client, no clock.

use super::{
    arrive::{Arrived, arrive, name},
    selection::Selection,
    trouble::{Trouble, TroubleKind},
};
use crate::kinds::{Kind, Object};
use kube::{api::DynamicObject, runtime::watcher::Event};
use portolan_translate::{ObjectName, Objects, Reference, Statuses};
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
    /// Those among them that were waited for in vain.
    pub given_up: BTreeSet<Selection>,
    /// Whether all that are watched are settled.
    pub complete: bool,
    /// Why selections are not up to date.
    pub troubles: BTreeMap<Selection, Trouble>,
    /// Objects that are not what they should be, and why.
    pub unreadable: BTreeMap<Unreadable, String>,
}

impl View {
    /// What cannot be read, of all that is referred to: it is forbidden, or the API server never gave it.
    pub fn forbidden(&self) -> BTreeSet<Reference> {
        let troubles = self.troubles.iter().filter(|(_, trouble)| trouble.kind == TroubleKind::Forbidden);
        let selections = troubles.map(|(selection, _)| selection).chain(&self.given_up);
        selections.filter_map(Selection::reference).collect()
    }
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
            self.view.given_up.remove(selection);
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
                self.view.given_up.remove(selection);
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
        if self.watched.contains_key(selection) && self.view.settled.insert(selection.clone()) {
            self.view.given_up.insert(selection.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_translate::ObjectName;
    use serde_json::json;

    fn routes() -> Selection {
        Selection::all(Kind::HTTPRoute)
    }

    fn route(name: &str, version: &str, host: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "name": name, "namespace": "n", "resourceVersion": version, "uid": name },
            "spec": { "hostnames": host }, "status": { "parents": [] },
        }))
        .expect("it is an object")
    }

    fn name(name: &str) -> ObjectName {
        ObjectName::new("n", name)
    }

    /// A state in which the routes `a` and `b` were listed.
    fn listed() -> State {
        let mut state = State::new(true);
        state.select(&[routes()].into());
        for event in [
            Event::Init,
            Event::InitApply(route("a", "1", &json!(["a.example"]))),
            Event::InitApply(route("b", "2", &json!(["b.example"]))),
        ] {
            state.apply(&routes(), event);
            assert!(!state.view().complete, "not all is listed");
        }
        state.apply(&routes(), Event::InitDone);
        state
    }

    #[test]
    fn a_view_is_complete_once_all_that_is_watched_was_listed() {
        let mut state = listed();
        assert!(state.view().complete);
        let secret = Selection::named(Kind::Secret, &name("s"));
        state.select(&[routes(), secret.clone()].into());
        assert!(!state.view().complete);
        state.give_up_waiting(&secret);
        assert!(state.view().complete);
        let reference = Reference::Secret(name("s"));
        assert_eq!(state.view().forbidden(), [reference].into(), "nobody knows whether it exists");
        state.apply(&secret, Event::Init);
        state.apply(&secret, Event::InitDone);
        assert!(state.view().forbidden().is_empty());
        state.give_up_waiting(&secret);
        assert!(state.view().forbidden().is_empty(), "it was seen before");
    }

    #[test]
    fn a_change_of_status_alone_leaves_the_object_the_same_allocation() {
        let mut state = listed();
        let before = state.view();
        state.apply(&routes(), Event::Apply(route("a", "9", &json!(["a.example"]))));
        let after = state.view();
        assert!(after.objects.http_routes.is_same(&before.objects.http_routes));
        assert_eq!(after.observed.objects[&(Kind::HTTPRoute, name("a"))].resource_version, "9");
        assert!(after.observed.statuses.http_routes.contains_key(&name("a")));
    }

    #[test]
    fn a_listing_takes_away_what_it_does_not_show_and_keeps_what_is_the_same() {
        let mut state = listed();
        let before = state.view().objects.http_routes[&name("a")].clone();
        state.apply(&routes(), Event::Init);
        state.apply(&routes(), Event::InitApply(route("a", "1", &json!(["a.example"]))));
        assert_eq!(state.view().objects.http_routes.len(), 2, "until the listing is done, nothing goes");
        state.apply(&routes(), Event::InitDone);
        let after = state.view().objects.http_routes;
        assert_eq!(after.keys().collect::<Vec<_>>(), [&name("a")]);
        assert!(Arc::ptr_eq(&after[&name("a")], &before));
    }

    #[test]
    fn an_object_that_cannot_be_read_stays_what_it_was_and_stops_nothing() {
        let mut state = listed();
        state.apply(&routes(), Event::Apply(route("a", "3", &json!("text"))));
        state.apply(&routes(), Event::Apply(route("c", "4", &json!(["c.example"]))));
        let view = state.view();
        assert_eq!(view.objects.http_routes.len(), 3);
        assert_eq!(view.objects.http_routes[&name("a")].spec.hostnames, ["a.example"]);
        let unreadable = Unreadable { kind: Kind::HTTPRoute, name: name("a") };
        assert!(view.unreadable[&unreadable].starts_with("spec.hostnames: "), "{:?}", view.unreadable);
        state.apply(&routes(), Event::Delete(route("a", "5", &json!("text"))));
        assert!(state.view().unreadable.is_empty());
    }

    #[test]
    fn what_was_seen_stays_while_the_api_server_is_away() {
        let mut state = listed();
        let trouble = Trouble { kind: TroubleKind::Unreachable, message: "connection refused".to_owned() };
        state.trouble(&routes(), trouble);
        state.apply(&routes(), Event::Init);
        let view = state.view();
        assert_eq!((view.objects.http_routes.len(), view.troubles.len(), view.complete), (2, 1, true));
        state.apply(&routes(), Event::InitDone);
        assert!(state.view().troubles.is_empty());
    }

    #[test]
    fn a_kind_that_the_cluster_does_not_have_is_not_waited_for() {
        let mut state = State::new(false);
        state.select(&[routes()].into());
        let trouble = Trouble { kind: TroubleKind::KindMissing, message: "not found".to_owned() };
        state.trouble(&routes(), trouble);
        assert!(state.view().complete);
    }

    #[test]
    fn what_is_no_longer_watched_goes_unless_another_selection_holds_it() {
        let mut state = listed();
        let one = Selection::named(Kind::HTTPRoute, &name("a"));
        state.select(&[routes(), one.clone()].into());
        state.apply(&one, Event::Init);
        state.apply(&one, Event::InitApply(route("a", "1", &json!(["a.example"]))));
        state.apply(&one, Event::InitDone);
        state.select(&[one.clone()].into());
        assert_eq!(state.view().objects.http_routes.keys().collect::<Vec<_>>(), [&name("a")]);
        // An event that was under way when its selection was given up changes nothing.
        state.apply(&routes(), Event::Apply(route("z", "1", &json!(["z.example"]))));
        assert_eq!(state.view().objects.http_routes.len(), 1);
        state.select(&BTreeSet::new());
        assert!(state.view().objects.http_routes.is_empty());
    }
}
