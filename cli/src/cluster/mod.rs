//! What other commands do with a cluster: look at all of it, and ask a gateway's pod.

pub mod check;
pub mod overview;
mod pods;
mod rights;

pub use pods::Replica;

use anyhow::{Result, anyhow, bail};
use portolan_controller::{CONTROLLER_NAME, is_ours};
use portolan_source::{
    Kind,
    kubernetes::{Selection, View, follow},
};
use portolan_translate::{ObjectName, Statuses};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Time that a cluster has to show all that is watched.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client for the cluster that the kubeconfig names.
pub async fn client() -> Result<kube::Client> {
    let config = kube::Config::infer().await.map_err(|error| match std::env::var("KUBECONFIG") {
        Ok(path) => anyhow!("no cluster: KUBECONFIG is {path}: {error}"),
        Err(_) => anyhow!("no cluster: set KUBECONFIG, or have ~/.kube/config name one: {error}"),
    })?;
    Ok(kube::Client::try_from(config)?)
}

/// All objects of some kinds, with their statuses, as they are now.
pub async fn look(client: kube::Client, kinds: &[Kind]) -> Result<Arc<View>> {
    let selections: BTreeSet<Selection> = kinds.iter().copied().map(Selection::all).collect();
    let mut follower = follow(client, selections, true);
    if let Ok(view) = tokio::time::timeout(TIMEOUT, follower.views.wait_for(|view| view.complete)).await {
        return Ok(view?.clone());
    }
    let view = follower.views.borrow().clone();
    let why = view.troubles.iter().next().map(|(selection, trouble)| format!("{selection}: {trouble}"));
    bail!("{}", why.unwrap_or_else(|| format!("the API server did not answer within {TIMEOUT:?}")))
}

/// Of the statuses that were seen, what our controller says.
pub fn ours(view: &View) -> Statuses {
    let (mut all, objects) = (view.observed.statuses.clone(), &view.objects);
    let class_is_ours = |name: &ObjectName| {
        objects.gateway_classes.get(name).is_some_and(|class| class.spec.controller_name == CONTROLLER_NAME)
    };
    let gateway_is_ours =
        |name: &ObjectName| objects.gateways.get(name).is_some_and(|gateway| is_ours(objects, gateway));
    let set_is_ours = |name: &ObjectName| {
        let parent = objects.listener_sets.get(name).map(|set| &set.spec.parent_ref);
        parent.is_some_and(|parent| {
            let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
            gateway_is_ours(&ObjectName::new(namespace, parent.name.as_str()))
        })
    };
    all.gateway_classes.retain(|name, _| class_is_ours(name));
    all.gateways.retain(|name, _| gateway_is_ours(name));
    all.listener_sets.retain(|name, _| set_is_ours(name));
    let routes =
        [&mut all.http_routes, &mut all.grpc_routes, &mut all.tls_routes, &mut all.tcp_routes, &mut all.udp_routes];
    for status in routes.into_iter().flat_map(|routes| routes.values_mut()) {
        Arc::make_mut(status).parents.retain(|parent| parent.controller_name == CONTROLLER_NAME);
    }
    for status in all.backend_tls_policies.values_mut() {
        Arc::make_mut(status).ancestors.retain(|ancestor| ancestor.controller_name == CONTROLLER_NAME);
    }
    all
}
