//! Which of several controllers writes: the one that holds the Lease. The others watch, and take over.

use anyhow::{Result, bail};
use kube::Client;
use kube_leader_election::{LeaseLock, LeaseLockParams, LeaseLockResult};
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// Name of the Lease.
pub const LEASE: &str = "portolan-controller";
/// How long it is held without being renewed.
const TTL: Duration = Duration::from_secs(15);
/// How often it is renewed, or asked for.
const RENEWAL: Duration = Duration::from_secs(3);

/// Who we are among the controllers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Our namespace, where the Lease is.
    pub namespace: String,
    /// Our name, unique among all.
    pub name: String,
}

/// Says whether we lead; without an identity we are alone, and do. Completes when we led and no longer do.
pub async fn elect(client: Client, identity: Option<Identity>, leading: watch::Sender<bool>) -> Result<()> {
    let Some(Identity { namespace, name }) = identity else {
        leading.send_replace(true);
        return std::future::pending().await;
    };
    let params = LeaseLockParams { lease_name: LEASE.to_owned(), holder_id: name.clone(), lease_ttl: TTL };
    let lock = LeaseLock::new(client, &namespace, params);
    let mut renewed = Instant::now();
    loop {
        let asked = Instant::now();
        match tokio::time::timeout(RENEWAL, lock.try_acquire_or_renew()).await {
            Ok(Ok(LeaseLockResult::Acquired(_))) => {
                renewed = asked;
                if !leading.send_replace(true) {
                    tracing::info!(%name, "leading");
                }
            }
            Ok(Ok(_)) if *leading.borrow() => bail!("another controller holds the Lease {namespace}/{LEASE}"),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!("the Lease {namespace}/{LEASE} cannot be held: {error}"),
            Err(_) => tracing::warn!("the Lease {namespace}/{LEASE} cannot be held: the API server is late"),
        }
        // Another one may lead from then on.
        if *leading.borrow() && renewed.elapsed() + RENEWAL > TTL {
            bail!("the Lease {namespace}/{LEASE} could not be renewed for {:.0?}", renewed.elapsed());
        }
        tokio::time::sleep(RENEWAL).await;
    }
}

/// Lets the next one lead at once.
pub async fn step_down(client: Client, identity: Option<Identity>) {
    if let Some(Identity { namespace, name }) = identity {
        let params = LeaseLockParams { lease_name: LEASE.to_owned(), holder_id: name, lease_ttl: TTL };
        let _ = tokio::time::timeout(RENEWAL, LeaseLock::new(client, &namespace, params).step_down()).await;
    }
}
