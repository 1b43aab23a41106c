//! Makes what runs for Gateways what it is to be: applies, corrects what somebody changed, takes away what nobody needs.

use super::{
    Manifest, Refusals, Resource, before, own_selector,
    owned::{Content, Desired, GatewayKey, Key, Owned, digest},
};
use crate::{Context, fail_point::fail_point, later::Later, metrics::Outcome, reconcile::send_if_other};
use futures_util::{StreamExt, stream::BoxStream, stream::SelectAll};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};
use tokio::sync::watch;

/// Our name for what we apply.
pub const FIELD_MANAGER: &str = "portolan-controller";
/// What failed so often is not in order, whatever the API server says of the reason.
const FAILURES_THAT_TELL: u32 = 3;

type Events = SelectAll<BoxStream<'static, (Resource, watcher::Result<Event<DynamicObject>>)>>;

/// Works until there is nothing more to be told; says what the API server refuses.
pub async fn apply(
    context: Context,
    mut desired: watch::Receiver<Arc<Desired>>,
    refusals: watch::Sender<Arc<Refusals>>,
) {
    let mut owned = Owned::default();
    let mut listings = Listings::default();
    let mut failures = Failures::default();
    let mut events: Events = Resource::ALL.into_iter().map(|resource| watch_one(&context.client, resource)).collect();
    loop {
        let wanted = desired.borrow_and_update().clone();
        let stale: Vec<Manifest> = owned.to_apply(&wanted).into_iter().cloned().collect();
        // What was there before this process is known once all kinds were listed.
        let orphans = if listings.complete() { owned.to_delete(&wanted) } else { Vec::new() };
        failures.retain(&stale.iter().map(Key::from).chain(orphans.iter().cloned()).collect());
        for manifest in stale {
            let (key, asked) = (Key::from(&manifest), owned.asked(&manifest));
            let content = digest(&asked);
            if failures.later.holds(&key, &content) {
                continue;
            }
            match apply_one(&context, &manifest, &asked, owned.knows(&key)).await {
                Ok(result) => {
                    failures.forget(&key);
                    owned.applied(&manifest, &result);
                }
                Err(error) => failures.add(key, content, "applied", Some(manifest.gateway()), &error),
            }
        }
        for key in orphans {
            if failures.later.holds(&key, &Content::default()) {
                continue;
            }
            match delete(&context, &key).await {
                Ok(()) => {
                    failures.forget(&key);
                    owned.gone(&key);
                }
                Err(error) => failures.add(key, Content::default(), "deleted", None, &error),
            }
        }
        send_if_other(&refusals, failures.refusals());
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return },
            Some((resource, event)) = events.next() => listings.take(&mut owned, resource, event),
            () = failures.later.next() => {}
        }
    }
}

/// What failed, and what the API server finds wrong with it.
#[derive(Default)]
struct Failures {
    later: Later<Key, Content>,
    refusals: HashMap<Key, (GatewayKey, String)>,
}

impl Failures {
    fn forget(&mut self, key: &Key) {
        self.later.forget(key);
        self.refusals.remove(key);
    }

    fn retain(&mut self, open: &BTreeSet<Key>) {
        self.later.retain(|key| open.contains(key));
        self.refusals.retain(|key, _| open.contains(key));
    }

    /// What the API server refuses, by Gateway.
    fn refusals(&self) -> Refusals {
        let mut all = Refusals::new();
        for (gateway, why) in self.refusals.values().cloned() {
            // Of several, always the same one.
            let first = all.entry(gateway).or_insert_with(|| why.clone());
            *first = why.min(first.clone());
        }
        all
    }

    fn add(&mut self, key: Key, content: Content, what: &str, gateway: Option<GatewayKey>, error: &kube::Error) {
        let failures = self.later.failed(key.clone(), content);
        if is_of_a_namespace_that_goes(error) {
            // It goes with its namespace, and so will its Gateway.
            return;
        }
        let (_, _, kind, _) = key.resource.api();
        let why = format!("{kind} {}/{} is not {what}: {}", key.namespace, key.name, told(error));
        tracing::warn!("{why}");
        // Of some wrong manifests the API server says that the fault is its own: it does so each time.
        let refused = Outcome::of(error) == Outcome::Refused
            || (failures >= FAILURES_THAT_TELL && matches!(error, kube::Error::Api(_)));
        // Without a right on something that a listener or route refers to, that alone is not served, and says so itself.
        let vital = !matches!(key.resource, Resource::Role | Resource::RoleBinding);
        if let Some(gateway) = gateway.filter(|_| refused && vital) {
            self.refusals.insert(key, (gateway, why));
        }
    }
}

fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

fn is_of_a_namespace_that_goes(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let details = status.details.as_ref();
    (status.code == 403 && status.message.contains("being terminated"))
        || (status.code == 404 && details.is_some_and(|details| details.kind == "namespaces"))
}

/// Listings that are under way, and those that were done.
#[derive(Default)]
struct Listings {
    under_way: HashMap<Resource, BTreeSet<Key>>,
    done: BTreeSet<Resource>,
}

impl Listings {
    fn complete(&self) -> bool {
        self.done.len() == Resource::ALL.len()
    }

    fn take(&mut self, owned: &mut Owned, resource: Resource, event: watcher::Result<Event<DynamicObject>>) {
        let key = |object: &DynamicObject| Key {
            resource,
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
        };
        match event {
            Ok(Event::Init) => drop(self.under_way.insert(resource, BTreeSet::new())),
            Ok(Event::InitApply(object)) => {
                self.under_way.entry(resource).or_default().insert(key(&object));
                owned.see(key(&object), &object);
            }
            Ok(Event::InitDone) => {
                owned.listed(resource, &self.under_way.remove(&resource).unwrap_or_default());
                self.done.insert(resource);
            }
            Ok(Event::Apply(object)) => owned.see(key(&object), &object),
            Ok(Event::Delete(object)) => owned.gone(&key(&object)),
            Err(error) => tracing::warn!("{resource:?} objects of gateways cannot be watched: {error}"),
        }
    }
}

fn watch_one(
    client: &Client,
    resource: Resource,
) -> BoxStream<'static, (Resource, watcher::Result<Event<DynamicObject>>)> {
    let labels = own_selector();
    let api = Api::all_with(client.clone(), &api_resource(resource));
    let events = watcher::watcher(api, watcher::Config::default().labels(&labels)).default_backoff();
    events.map(move |event| (resource, event)).boxed()
}

fn api_resource(resource: Resource) -> ApiResource {
    let (group, version, kind, plural) = resource.api();
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let (group, version, kind, plural) = (group.to_owned(), version.to_owned(), kind.to_owned(), plural.to_owned());
    ApiResource { group, version, api_version, kind, plural }
}

fn api(client: &Client, resource: Resource, namespace: &str) -> Api<DynamicObject> {
    match namespace {
        "" => Api::all_with(client.clone(), &api_resource(resource)),
        namespace => Api::namespaced_with(client.clone(), namespace, &api_resource(resource)),
    }
}

/// Applies an object that is ours, which it is `known` to be or looked whether it is.
async fn apply_one(
    context: &Context,
    manifest: &Manifest,
    object: &serde_json::Value,
    known: bool,
) -> kube::Result<DynamicObject> {
    let (_, _, kind, _) = manifest.resource.api();
    let api = api(&context.client, manifest.resource, &manifest.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let result = match before::look(&api, manifest, known).await {
        Ok(()) => {
            fail_point("apply", kind);
            let result = api.patch(&manifest.name, &params, &Patch::Apply(object)).await;
            fail_point("applied", kind);
            result
        }
        Err(error) => Err(error),
    };
    let outcome = match &result {
        Err(error) if is_of_a_namespace_that_goes(error) => Outcome::Conflict,
        Err(error) => Outcome::of(error),
        Ok(_) => Outcome::Written,
    };
    context.metrics.wrote(kind, outcome);
    result
}

async fn delete(context: &Context, key: &Key) -> kube::Result<()> {
    let (_, _, kind, _) = key.resource.api();
    let api = api(&context.client, key.resource, &key.namespace);
    fail_point("delete", kind);
    let result = api.delete(&key.name, &DeleteParams::background()).await;
    fail_point("deleted", kind);
    let result = match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop),
    };
    context.metrics.wrote(kind, result.as_ref().map_or_else(Outcome::of, |()| Outcome::Deleted));
    result
}
