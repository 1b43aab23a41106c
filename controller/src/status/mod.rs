//! Writes statuses: only what changed, each on the version that was seen, so that nobody's word is lost.

mod merge;
mod round;

pub use round::{Round, Write};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Client,
    api::{Patch, PatchParams},
};
use portolan_source::{Kind, ObjectName, kubernetes::Selection};
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};

/// Writes that may be under way at once.
const WRITES_MAX: usize = 16;
/// Time between two writes, at least.
const PACE: Duration = Duration::from_millis(2);
/// How long a failed write waits before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What became of a write.
enum Outcome {
    /// It is done, or somebody else was first: the next version that is seen says more.
    Settled,
    /// It failed for a reason that may pass.
    Failed(String),
}

/// Writes what each round asks for until there are no more rounds.
pub async fn write(client: Client, mut rounds: watch::Receiver<Round>) {
    let mut written = Last::new();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = rounds.borrow_and_update().clone();
        written.retain(|key, write| round.version_of(key) == Some(write.resource_version.as_str()));
        let mut failed = false;
        let mut running = JoinSet::new();
        for write in round.writes(now()) {
            let key = (write.kind, write.name.clone());
            if written.get(&key) == Some(&write) {
                continue;
            }
            pace.tick().await;
            while running.len() >= WRITES_MAX {
                failed |= settle(running.join_next().await, &mut written);
            }
            written.insert(key.clone(), write.clone());
            let client = client.clone();
            running.spawn(async move { (key, patch(client, write).await) });
        }
        while let Some(done) = running.join_next().await {
            failed |= settle(Some(done), &mut written);
        }
        let retry = async {
            match failed {
                true => tokio::time::sleep_until(Instant::now() + RETRY).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = rounds.changed() => if changed.is_err() { return },
            () = retry => {}
        }
    }
}

/// What each object was written last: until another version of it is seen, there is nothing new to compare with.
type Last = HashMap<(Kind, ObjectName), Write>;
type Done = Result<((Kind, ObjectName), Outcome), tokio::task::JoinError>;

/// Says whether a write has to be tried again.
fn settle(done: Option<Done>, written: &mut Last) -> bool {
    match done {
        Some(Ok((key, Outcome::Failed(why)))) => {
            tracing::warn!("the status of {} {} is not written: {why}", key.0.name(), key.1);
            written.remove(&key);
            true
        }
        _ => false,
    }
}

async fn patch(client: Client, write: Write) -> Outcome {
    let api = Selection::named(write.kind, &write.name).api(client);
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": write.resource_version },
        "status": write.status,
    });
    match api.patch_status(&write.name.name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Outcome::Settled,
        // Somebody else wrote, or it is gone.
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Outcome::Settled,
        Err(kube::Error::Api(status)) if status.code == 422 => {
            tracing::error!(
                "the API server refuses the status of {} {}: {}",
                write.kind.name(),
                write.name,
                status.message
            );
            Outcome::Settled
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

/// The time to the second, as the API keeps it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
