//! What other commands do with a cluster: look at all of it, and ask a gateway's pod.

pub mod check;
pub mod overview;
mod pods;
mod rights;

pub use pods::ask_gateway;

use anyhow::{Context, Result, bail};
use portolan_source::{
    Kind,
    kubernetes::{Selection, View, follow},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Time that a cluster has to show all that is watched.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client for the cluster that the kubeconfig names.
pub async fn client() -> Result<kube::Client> {
    let config = kube::Config::infer().await;
    let config = config.context("no cluster: set KUBECONFIG, or have ~/.kube/config name one")?;
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
