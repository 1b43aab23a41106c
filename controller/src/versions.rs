//! Of which version the Gateway API's CRDs in the cluster are.

use futures_util::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use portolan_crds::GATEWAY_GROUP;
use std::{collections::BTreeMap, pin::pin, sync::Arc};
use tokio::sync::watch;

/// What a CRD says of its version.
pub const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// The versions of the Gateway API's CRDs by their names; empty where one does not say.
pub type Bundles = BTreeMap<Arc<str>, Arc<str>>;

type Crd = PartialObjectMeta<CustomResourceDefinition>;

/// Follows them; `None` until they were seen, or it is known that they may not be.
pub async fn follow(client: Client, seen: watch::Sender<Option<Arc<Bundles>>>) {
    let api: Api<Crd> = Api::all(client);
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let (mut bundles, mut listing) = (Bundles::new(), Bundles::new());
    let mut told = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => {
                listing.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(crd)) => {
                listing.extend(bundle(&crd));
                continue;
            }
            Ok(watcher::Event::InitDone) => bundles = std::mem::take(&mut listing),
            Ok(watcher::Event::Apply(crd)) => bundles.extend(bundle(&crd)),
            Ok(watcher::Event::Delete(crd)) => {
                bundle(&crd).iter().for_each(|(name, _)| drop(bundles.remove(name)));
            }
            Err(error) => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!("the versions of the Gateway API's CRDs cannot be seen: {error}");
                }
            }
        }
        if seen.send(Some(Arc::new(bundles.clone()))).is_err() {
            return;
        }
    }
}

/// Name and version of a CRD of the Gateway API.
fn bundle(crd: &Crd) -> Option<(Arc<str>, Arc<str>)> {
    let name = crd.metadata.name.as_deref()?;
    let (_, group) = name.split_once('.')?;
    let version = crd.metadata.annotations.as_ref().and_then(|all| all.get(BUNDLE_VERSION));
    (group == GATEWAY_GROUP).then(|| (name.into(), version.map_or("", String::as_str).into()))
}
