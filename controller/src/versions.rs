//! Of which version the Gateway API's CRDs in the cluster are.

use futures_util::StreamExt;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    core::PartialObjectMeta,
    runtime::{WatchStreamExt, watcher},
};
use portolan_crds::GATEWAY_GROUP;
use portolan_source::kubernetes::{Trouble, TroubleKind};
use std::{collections::BTreeMap, pin::pin, sync::Arc};
use tokio::sync::watch;

/// What a CRD says of its version.
pub const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// The versions of the Gateway API's CRDs by their names; empty where one does not say.
pub type Bundles = BTreeMap<Arc<str>, Arc<str>>;

type Crd = PartialObjectMeta<CustomResourceDefinition>;

/// What is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// All of them.
    Seen(Arc<Bundles>),
    /// They may not be seen.
    Forbidden,
}

/// Follows them; `None` until something is known.
pub async fn follow(client: Client, seen: watch::Sender<Option<Versions>>) {
    let api: Api<Crd> = Api::all(client);
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let (mut bundles, mut listing) = (Bundles::new(), Bundles::new());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listing.clear(),
            Ok(watcher::Event::InitApply(crd)) => listing.extend(bundle(&crd)),
            Ok(watcher::Event::InitDone) => {
                bundles = std::mem::take(&mut listing);
                tell(&seen, Versions::Seen(Arc::new(bundles.clone())));
            }
            Ok(watcher::Event::Apply(crd)) => {
                bundles.extend(bundle(&crd));
                tell(&seen, Versions::Seen(Arc::new(bundles.clone())));
            }
            Ok(watcher::Event::Delete(crd)) => {
                bundle(&crd).iter().for_each(|(name, _)| drop(bundles.remove(name)));
                tell(&seen, Versions::Seen(Arc::new(bundles.clone())));
            }
            // What was seen before stays.
            Err(error) if Trouble::of(&error).kind == TroubleKind::Forbidden => {
                if tell(&seen, Versions::Forbidden) {
                    tracing::warn!("the versions of the Gateway API's CRDs may not be seen: {error}");
                }
            }
            Err(_) => {}
        }
    }
}

/// Tells what is new, and whether it is.
fn tell(seen: &watch::Sender<Option<Versions>>, now: Versions) -> bool {
    seen.send_if_modified(|before| {
        let now = Some(now);
        let other = *before != now;
        *before = now;
        other
    })
}

/// Name and version of a CRD of the Gateway API.
fn bundle(crd: &Crd) -> Option<(Arc<str>, Arc<str>)> {
    let name = crd.metadata.name.as_deref()?;
    let (_, group) = name.split_once('.')?;
    let version = crd.metadata.annotations.as_ref().and_then(|all| all.get(BUNDLE_VERSION));
    (group == GATEWAY_GROUP).then(|| (name.into(), version.map_or("", String::as_str).into()))
}
