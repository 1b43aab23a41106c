//! What the controller counts.

use portolan_source::kubernetes::View;
use portolan_telemetry::{
    attributes::Labels,
    metrics::{Registry, WorkerId, WorkerMetrics, keys, names},
};
use portolan_translate::{
    Statuses,
    statuses::{Part, Reported},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The controller's metrics. Clones are the same.
#[derive(Clone, Debug)]
pub struct Metrics {
    worker: WorkerMetrics,
    last: Arc<Mutex<Last>>,
}

/// What the last round saw and said: it is counted when somebody asks.
#[derive(Debug, Default)]
struct Last {
    view: Arc<View>,
    statuses: Arc<Statuses>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is written.
    Written,
    /// It is deleted.
    Deleted,
    /// Somebody else was first, or it is gone.
    Conflict,
    /// The API server says that it is wrong or not permitted.
    Refused,
    /// It may succeed another time.
    Failed,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { worker: Registry::default().worker(WorkerId(0)), last: Arc::default() }
    }
}

impl Metrics {
    /// All of them as Prometheus reads them.
    pub fn prometheus(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = self.worker.registry();
        let counted = [names::CONTROLLER_OBJECTS.name, names::CONTROLLER_PROBLEMS.name];
        registry.retain(|name, _| !counted.contains(&name));
        for (kind, count) in objects(&last.view) {
            let labels = Labels::new([(keys::KIND, kind.into())]);
            self.worker.handle(&names::CONTROLLER_OBJECTS, &labels).set(count);
        }
        for ((kind, condition), count) in problems(&last.statuses) {
            let labels = Labels::new([(keys::KIND, kind.into()), (keys::CONDITION, condition.to_owned().into())]);
            self.worker.handle(&names::CONTROLLER_PROBLEMS, &labels).set(count);
        }
        registry.prometheus()
    }

    /// Whether this controller is the one that writes.
    pub(crate) fn leads(&self, leads: bool) {
        self.worker.handle(&names::CONTROLLER_LEADING, &Labels::none()).set(i64::from(leads));
    }

    /// A round saw this, said that and took so long.
    pub(crate) fn reconciled(&self, view: Arc<View>, statuses: Arc<Statuses>, took: Duration) {
        self.worker.handle(&names::CONTROLLER_RECONCILE_DURATION, &Labels::none()).record_duration(took);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Last { view, statuses };
    }

    /// An event was not sent.
    pub(crate) fn event_dropped(&self) {
        self.worker.handle(&names::CONTROLLER_EVENTS_DROPPED, &Labels::none()).add(1);
    }

    /// An object of a kind was written, or was to be.
    pub(crate) fn wrote(&self, kind: &'static str, outcome: Outcome) {
        let labels = Labels::new([(keys::KIND, kind.into()), (keys::OUTCOME, outcome.as_str().into())]);
        self.worker.handle(&names::CONTROLLER_WRITES, &labels).add(1);
    }
}

// === impl Outcome ===

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Deleted => "deleted",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// What an error means.
    pub(crate) fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 | 409 => Self::Conflict,
                429 => Self::Failed,
                400..500 => Self::Refused,
                _ => Self::Failed,
            },
            _ => Self::Failed,
        }
    }
}

fn objects(view: &View) -> BTreeMap<&'static str, i64> {
    let mut counts = BTreeMap::new();
    for (kind, _) in view.observed.objects.keys() {
        *counts.entry(kind.name()).or_default() += 1;
    }
    counts
}

/// Objects by kind and by the condition that says that something is wrong with them; listeners count by themselves.
fn problems(statuses: &Statuses) -> BTreeMap<(&'static str, &str), i64> {
    let kind = |reported: &Reported<'_>| match reported.part {
        Part::Listener(_) => "Listener",
        _ => reported.kind,
    };
    let each: BTreeSet<_> = statuses
        .problems()
        .map(|one| (kind(&one), one.condition.type_.as_str(), one.object, one.part.to_string()))
        .collect();
    let mut counts = BTreeMap::new();
    for (kind, condition, ..) in each {
        *counts.entry((kind, condition)).or_default() += 1;
    }
    counts
}
