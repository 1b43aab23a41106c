//! Writes statuses: only what changed, each on the version that was seen, so that nobody's word is lost.

mod merge;
mod round;

pub use round::{Round, Write};

use crate::{Context, fail_point::fail_point, metrics::Outcome};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
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
/// How long what failed waits before it is tried again, the first time; each further time is twice as long.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// How long it waits at most.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// What each object was written last: until another version of it is seen, there is nothing new to compare with.
type Last = HashMap<Key, Write>;
type Key = (Kind, ObjectName);
type Done = Result<(Key, Outcome), tokio::task::JoinError>;

/// Writes what each round asks for until there are no more rounds.
pub async fn write(context: Context, mut rounds: watch::Receiver<Round>) {
    let mut written = Last::new();
    let mut retry = Retry::default();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = rounds.borrow_and_update().clone();
        written.retain(|key, write| round.version_of(key) == Some(write.resource_version.as_str()));
        let mut running = JoinSet::new();
        for write in round.writes(now()) {
            let key = (write.kind, write.name.clone());
            if written.get(&key) == Some(&write) {
                continue;
            }
            pace.tick().await;
            while running.len() >= WRITES_MAX {
                retry.settle(running.join_next().await);
            }
            written.insert(key.clone(), write.clone());
            let context = context.clone();
            running.spawn(async move { (key, patch(&context, write).await) });
        }
        while let Some(done) = running.join_next().await {
            retry.settle(Some(done));
        }
        tokio::select! {
            changed = rounds.changed() => if changed.is_err() { return },
            failed = retry.later() => failed.iter().for_each(|key| drop(written.remove(key))),
        }
    }
}

/// Writes that failed, to be tried again.
#[derive(Default)]
struct Retry {
    failed: Vec<Key>,
    at: Option<Instant>,
    pause: Duration,
}

impl Retry {
    /// Notes what became of a write. Where somebody else was first, the next version that is seen says more.
    fn settle(&mut self, done: Option<Done>) {
        match done {
            Some(Ok((key, Outcome::Failed | Outcome::Refused))) => {
                self.failed.push(key);
                if self.at.is_none() {
                    self.pause = (self.pause * 2).clamp(RETRY_MIN, RETRY_MAX);
                    self.at = Some(Instant::now() + self.pause);
                }
            }
            Some(Ok((_, Outcome::Written))) if self.failed.is_empty() => self.pause = Duration::ZERO,
            _ => {}
        }
    }

    /// What failed, once it is time to try it again.
    async fn later(&mut self) -> Vec<Key> {
        match self.at {
            None => std::future::pending().await,
            Some(at) => tokio::time::sleep_until(at).await,
        }
        self.at = None;
        std::mem::take(&mut self.failed)
    }
}

async fn patch(context: &Context, write: Write) -> Outcome {
    let kind = write.kind.name();
    let api = Selection::named(write.kind, &write.name).api(context.client.clone());
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": write.resource_version },
        "status": write.status,
    });
    fail_point("status", kind);
    let result = api.patch_status(&write.name.name, &PatchParams::default(), &Patch::Merge(patch)).await;
    fail_point("status-written", kind);
    let outcome = result.as_ref().map_or_else(Outcome::of, |_| Outcome::Written);
    context.metrics.wrote(kind, outcome);
    match result {
        Ok(_) => context.events.tell(&write.object(), write.news),
        Err(_) if outcome == Outcome::Conflict => {}
        Err(error) => tracing::warn!("the status of {kind} {} is not written: {error}", write.name),
    }
    outcome
}

/// The time to the second, as the API keeps it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
