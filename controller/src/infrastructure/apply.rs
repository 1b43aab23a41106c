//! Makes what runs for Gateways what it is to be: applies, corrects what somebody changed, takes away what nobody needs.

use super::{
    Manifest, Resource, own_selector,
    owned::{Desired, Key, Owned},
};
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

type Events = SelectAll<BoxStream<'static, (Resource, watcher::Result<Event<DynamicObject>>)>>;

/// Works until there is nothing more to be told.
pub async fn apply(client: Client, mut desired: watch::Receiver<Arc<Desired>>) {
    let mut owned = Owned::default();
    let mut listings = Listings::default();
    let mut later = Later::default();
    let mut events: Events = Resource::ALL.into_iter().map(|resource| watch_one(&client, resource)).collect();
    loop {
        let wanted = desired.borrow_and_update().clone();
        for manifest in owned.to_apply(&wanted).into_iter().cloned().collect::<Vec<_>>() {
            let key = Key::from(&manifest);
            if later.holds(&key) {
                continue;
            }
            match apply_one(&client, &manifest, &owned.asked(&manifest)).await {
                Ok(result) => {
                    later.forget(&key);
                    owned.applied(&manifest, &result);
                }
                Err(error) => later.failed(key, "applied", &error),
            }
        }
        // What was there before this process is known once all kinds were listed.
        let orphans = if listings.complete() { owned.to_delete(&wanted) } else { Vec::new() };
        for key in orphans.into_iter().filter(|key| !later.holds(key)).collect::<Vec<_>>() {
            match delete(&client, &key).await {
                Ok(()) => {
                    later.forget(&key);
                    owned.gone(&key);
                }
                Err(error) => later.failed(key, "deleted", &error),
            }
        }
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
    waits: HashMap<Key, (Instant, Duration)>,
}

impl Later {
    /// Whether it is too early to try again.
    fn holds(&self, key: &Key) -> bool {
        self.waits.get(key).is_some_and(|(until, _)| Instant::now() < *until)
    }

    fn forget(&mut self, key: &Key) {
        self.waits.remove(key);
    }

    fn failed(&mut self, key: Key, what: &str, error: &kube::Error) {
        let pause = self.waits.get(&key).map_or(RETRY_MIN, |(_, pause)| (*pause * 2).min(RETRY_MAX));
        let (_, _, kind, _) = key.resource.api();
        let (namespace, name) = (&key.namespace, &key.name);
        match error {
            // It goes with its namespace, and so will its Gateway.
            kube::Error::Api(status) if is_of_a_namespace_that_goes(status) => {}
            kube::Error::Api(status) => tracing::warn!("{kind} {namespace}/{name} is not {what}: {}", status.message),
            error => tracing::warn!("{kind} {namespace}/{name} is not {what}: {error}"),
        }
        self.waits.insert(key, (Instant::now() + pause, pause));
    }

    /// Completes when something may be tried again.
    async fn next(&self) {
        match self.waits.values().map(|(until, _)| *until).filter(|until| *until > Instant::now()).min() {
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

async fn apply_one(client: &Client, manifest: &Manifest, object: &serde_json::Value) -> kube::Result<DynamicObject> {
    let api = api(client, manifest.resource, &manifest.namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&manifest.name, &params, &Patch::Apply(object)).await
}

async fn delete(client: &Client, key: &Key) -> kube::Result<()> {
    let api = api(client, key.resource, &key.namespace);
    match api.delete(&key.name, &DeleteParams::background()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
