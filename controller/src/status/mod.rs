//! Writes statuses: only what changed, each on the version that was seen, so that nobody's word is lost.

mod merge;
mod round;

pub use round::{Round, Write};

use crate::{Context, fail_point::fail_point, later::Later, metrics::Outcome};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use portolan_source::{Kind, ObjectName, kubernetes::Selection};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Writes that may be under way at once.
const WRITES_MAX: usize = 16;
/// Time between two writes, at least.
const PACE: Duration = Duration::from_millis(2);

/// What each object was written last: until another version of it is seen, there is nothing new to compare with.
type Last = HashMap<Key, Write>;
type Key = (Kind, ObjectName);
type Done = Result<(Write, Outcome), tokio::task::JoinError>;

/// Writes what each round asks for until there are no more rounds.
pub async fn write(context: Context, mut rounds: watch::Receiver<Round>) {
    let mut written = Last::new();
    let mut later = Later::default();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let round = rounds.borrow_and_update().clone();
        written.retain(|key, write| round.version_of(key) == Some(write.resource_version.as_str()));
        let writes = round.writes(now());
        let open: HashSet<Key> = writes.iter().map(Write::key).collect();
        later.retain(|key| open.contains(key));
        let mut running = JoinSet::new();
        for write in writes {
            let key = write.key();
            if written.get(&key).is_some_and(|last| last.says_the_same(&write)) || later.holds(&key, &write.said) {
                continue;
            }
            pace.tick().await;
            while running.len() >= WRITES_MAX {
                settle(running.join_next().await, &mut written, &mut later);
            }
            let context = context.clone();
            running.spawn(async move {
                let outcome = patch(&context, &write).await;
                (write, outcome)
            });
        }
        while let Some(done) = running.join_next().await {
            settle(Some(done), &mut written, &mut later);
        }
        tokio::select! {
            changed = rounds.changed() => if changed.is_err() { return },
            () = later.next() => {}
        }
    }
}

/// Notes what became of a write. Where somebody else was first, the next version that is seen says more.
fn settle(done: Option<Done>, written: &mut Last, later: &mut Later<Key, Value>) {
    let Some(Ok((write, outcome))) = done else { return };
    let key = write.key();
    if matches!(outcome, Outcome::Failed | Outcome::Refused) {
        later.failed(key, write.said);
    } else {
        later.forget(&key);
        written.insert(key, write);
    }
}

async fn patch(context: &Context, write: &Write) -> Outcome {
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
        Ok(_) => context.events.tell(&write.object(), write.news.clone()),
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
