//! Makes what runs for Gateways what it is to be: applies, corrects what somebody changed, takes away what nobody needs.

use super::{
    Manifest, Refusals, Resource, own_selector,
    owned::{Desired, GatewayKey, Key, Owned},
};
use crate::{Context, fail_point::fail_point, metrics::Outcome, reconcile::send_if_other};
use futures_util::{StreamExt, stream::BoxStream, stream::SelectAll};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    core::Status,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// Our name for what we apply.
pub const FIELD_MANAGER: &str = "portolan-controller";
/// How long what failed waits before it is tried again, the first time.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// How long it waits at most.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What failed so often is not in order, whatever the API server says of the reason.
const FAILURES_THAT_TELL: u32 = 4;

type Events = SelectAll<BoxStream<'static, (Resource, watcher::Result<Event<DynamicObject>>)>>;

/// Works until there is nothing more to be told; says what the API server refuses.
pub async fn apply(
    context: Context,
    mut desired: watch::Receiver<Arc<Desired>>,
    refusals: watch::Sender<Arc<Refusals>>,
) {
    let mut owned = Owned::default();
    let mut listings = Listings::default();
    let mut later = Later::default();
    let mut events: Events = Resource::ALL.into_iter().map(|resource| watch_one(&context.client, resource)).collect();
    loop {
        let wanted = desired.borrow_and_update().clone();
        for manifest in owned.to_apply(&wanted).into_iter().cloned().collect::<Vec<_>>() {
            let key = Key::from(&manifest);
            if later.holds(&key) {
                continue;
            }
            match apply_one(&context, &manifest, &owned.asked(&manifest)).await {
                Ok(result) => {
                    later.forget(&key);
                    owned.applied(&manifest, &result);
                }
                Err(error) => later.failed(key, "applied", manifest.gateway(), &error),
            }
        }
        // What was there before this process is known once all kinds were listed.
        let orphans = if listings.complete() { owned.to_delete(&wanted) } else { Vec::new() };
        for key in orphans.into_iter().filter(|key| !later.holds(key)).collect::<Vec<_>>() {
            match delete(&context, &key).await {
                Ok(()) => {
                    later.forget(&key);
                    owned.gone(&key);
                }
                Err(error) => later.failed(key, "deleted", GatewayKey::default(), &error),
            }
        }
        send_if_other(&refusals, later.refusals());
        let retry = later.next();
        tokio::select! {
            changed = desired.changed() => match changed {
                // What failed may be what was changed.
                Ok(()) => later = Later::default(),
                Err(_) => return,
            },
            Some((resource, event)) = events.next() => listings.take(&mut owned, resource, event),
            () = retry => {}
        }
    }
}

/// What failed, and when it is tried again: each time after twice as long.
#[derive(Default)]
struct Later {
    waits: HashMap<Key, Wait>,
}

struct Wait {
    until: Instant,
    pause: Duration,
    /// What the API server finds wrong, and the Gateway that suffers from it.
    refusal: Option<(GatewayKey, String)>,
}

impl Later {
    /// Whether it is too early to try again.
    fn holds(&self, key: &Key) -> bool {
        self.waits.get(key).is_some_and(|wait| Instant::now() < wait.until)
    }

    fn forget(&mut self, key: &Key) {
        self.waits.remove(key);
    }

    /// What the API server refuses, by Gateway.
    fn refusals(&self) -> Refusals {
        let mut all = Refusals::new();
        for (gateway, why) in self.waits.values().filter_map(|wait| wait.refusal.clone()) {
            // Of several, always the same one.
            let first = all.entry(gateway).or_insert_with(|| why.clone());
            *first = why.min(first.clone());
        }
        all
    }

    fn failed(&mut self, key: Key, what: &str, gateway: GatewayKey, error: &kube::Error) {
        let pause = self.waits.get(&key).map_or(RETRY_MIN, |wait| (wait.pause * 2).min(RETRY_MAX));
        let (_, _, kind, _) = key.resource.api();
        let (namespace, name) = (&key.namespace, &key.name);
        let mut refusal = None;
        match error {
            // It goes with its namespace, and so will its Gateway.
            kube::Error::Api(status) if is_of_a_namespace_that_goes(status) => {}
            kube::Error::Api(status) => {
                let why = format!("{kind} {namespace}/{name} is not {what}: {}", status.message);
                tracing::warn!("{why}");
                // Of some wrong manifests the API server says that the fault is its own: it does so each time.
                let refused = Outcome::of(error) == Outcome::Refused || pause >= RETRY_MIN * FAILURES_THAT_TELL;
                refusal = refused.then_some((gateway, why));
            }
            error => tracing::warn!("{kind} {namespace}/{name} is not {what}: {error}"),
        }
        self.waits.insert(key, Wait { until: Instant::now() + pause, pause, refusal });
    }

    /// Completes when something may be tried again.
    async fn next(&self) {
        match self.waits.values().map(|wait| wait.until).filter(|until| *until > Instant::now()).min() {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

fn is_of_a_namespace_that_goes(status: &Status) -> bool {
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

async fn apply_one(context: &Context, manifest: &Manifest, object: &serde_json::Value) -> kube::Result<DynamicObject> {
    let (_, _, kind, _) = manifest.resource.api();
    let api = api(&context.client, manifest.resource, &manifest.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    fail_point("apply", kind);
    let result = api.patch(&manifest.name, &params, &Patch::Apply(object)).await;
    fail_point("applied", kind);
    context.metrics.wrote(kind, result.as_ref().map_or_else(Outcome::of, |_| Outcome::Written));
    result
}

async fn delete(context: &Context, key: &Key) -> kube::Result<()> {
    let (_, _, kind, _) = key.resource.api();
    let api = api(&context.client, key.resource, &key.namespace);
    fail_point("delete", kind);
    let result = api.delete(&key.name, &DeleteParams::background()).await;
    fail_point("deleted", kind);
    context.metrics.wrote(kind, result.as_ref().map_or_else(Outcome::of, |_| Outcome::Deleted));
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
