//! Makes what runs for Gateways what it is to be: applies, corrects what somebody changed, takes away what nobody needs.

use super::{
    Manifest, Resource, own_selector,
    owned::{Desired, Key, Owned},
};
use futures_util::{StreamExt, stream::BoxStream, stream::SelectAll};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Our name for what we apply.
pub const FIELD_MANAGER: &str = "portolan-controller";
/// How long what failed waits before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

type Events = SelectAll<BoxStream<'static, (Resource, watcher::Result<Event<DynamicObject>>)>>;

/// Works until there is nothing more to be told.
pub async fn apply(client: Client, mut desired: watch::Receiver<Arc<Desired>>) {
    let mut owned = Owned::default();
    let mut listings: Listings = Listings::default();
    let mut events: Events = Resource::ALL.into_iter().map(|resource| watch_one(&client, resource)).collect();
    loop {
        let wanted = desired.borrow_and_update().clone();
        let mut failed = false;
        for manifest in owned.to_apply(&wanted).into_iter().cloned().collect::<Vec<_>>() {
            match apply_one(&client, &manifest, &owned.asked(&manifest)).await {
                Ok(result) => owned.applied(&manifest, &result),
                // It goes with its namespace, and so will its Gateway.
                Err(kube::Error::Api(status)) if status.code == 403 && status.message.contains("being terminated") => {}
                Err(error) => {
                    failed = true;
                    let (_, _, kind, _) = manifest.resource.api();
                    tracing::warn!("{kind} {}/{} is not applied: {error}", manifest.namespace, manifest.name);
                }
            }
        }
        // What was there before this process is known once all kinds were listed.
        let orphans = if listings.complete() { owned.to_delete(&wanted) } else { Vec::new() };
        for key in orphans {
            match delete(&client, &key).await {
                Ok(()) => owned.gone(&key),
                Err(error) => {
                    failed = true;
                    tracing::warn!("{:?} {}/{} is not deleted: {error}", key.resource, key.namespace, key.name);
                }
            }
        }
        let retry = async {
            match failed {
                true => tokio::time::sleep(RETRY).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = desired.changed() => if changed.is_err() { return },
            Some((resource, event)) = events.next() => listings.take(&mut owned, resource, event),
            () = retry => {}
        }
    }
}

/// Listings that are under way, and those that were done.
#[derive(Default)]
struct Listings {
    under_way: std::collections::HashMap<Resource, BTreeSet<Key>>,
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
