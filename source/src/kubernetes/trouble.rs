//! Why a selection is not up to date, as the operator reads it.

use super::state::View;
use kube::runtime::watcher;
use std::{collections::BTreeSet, fmt};

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// The cluster does not have the kind.
    KindMissing,
    /// We may not read it.
    Forbidden,
    /// The API server does not answer, or not as it should.
    Unreachable,
}

/// Why a selection is not up to date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble it is.
    pub kind: TroubleKind,
    /// What the API server or the network said.
    pub message: String,
}

impl Trouble {
    /// What an error of a watch means.
    pub fn of(error: &watcher::Error) -> Self {
        let status = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => Some(status),
            _ => None,
        };
        let kind = match status.map(|status| status.code) {
            Some(404) => TroubleKind::KindMissing,
            Some(401 | 403) => TroubleKind::Forbidden,
            _ => TroubleKind::Unreachable,
        };
        let message = match status {
            Some(status) => status.message.clone(),
            None => with_causes(error),
        };
        Self { kind, message }
    }
}

/// An error with what lies behind it: the outermost part alone ("client error (Connect)") says too little.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Logs what a view cannot show, each thing once for as long as it lasts.
#[derive(Debug, Default)]
pub struct Complaints {
    told: BTreeSet<String>,
}

impl Complaints {
    /// Logs what was not logged of the view before.
    pub fn tell(&mut self, view: &View) {
        let troubles = view.troubles.iter().map(|(selection, trouble)| format!("{selection}: {trouble}"));
        let unreadable =
            view.unreadable.iter().map(|(object, why)| format!("{} {}: {why}", object.kind.name(), object.name));
        self.tell_all(troubles.chain(unreadable).collect());
    }

    /// Logs what of all that is wrong was not logged before.
    pub fn tell_all(&mut self, now: BTreeSet<String>) {
        now.difference(&self.told).for_each(|text| tracing::warn!("{text}"));
        self.told = now;
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            TroubleKind::KindMissing => "the cluster does not have this kind (is its CRD installed?)",
            TroubleKind::Forbidden => "not permitted (does the ServiceAccount have the role?)",
            TroubleKind::Unreachable => "the API server cannot be followed",
        };
        write!(f, "{what}: {}", self.message)
    }
}
