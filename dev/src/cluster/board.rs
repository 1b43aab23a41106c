//! What is known of the pods that are played, and the endpoints that follow from it. Starts and stops nothing.

use crate::{
    QualifiedName,
    workloads::{PlayedPod, Player, PodCondition, PodPlan, slices},
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// All EndpointSlices of the pods that are played, by their own names.
pub type Slices = Arc<BTreeMap<QualifiedName, Arc<EndpointSlice>>>;

/// A pod that is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodStatus {
    /// Its name.
    pub name: QualifiedName,
    /// What plays it.
    pub player: Player,
    /// The Services that select it.
    pub services: Vec<String>,
    /// Where it is; `None` while a command does not run.
    pub played: Option<PlayedPod>,
}

/// Tells a pod from an earlier one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u64);

#[derive(Debug, Default)]
pub(super) struct Board {
    inner: Mutex<Inner>,
    sender: watch::Sender<Slices>,
}

#[derive(Debug, Default)]
struct Inner {
    pods: BTreeMap<QualifiedName, Entry>,
    lives: u64,
}

#[derive(Debug)]
struct Entry {
    life: Life,
    plan: PodPlan,
    played: Option<PlayedPod>,
    slices: Vec<Arc<EndpointSlice>>,
}

// === impl Board ===

impl Board {
    pub(super) fn subscribe(&self) -> watch::Receiver<Slices> {
        self.sender.subscribe()
    }

    pub(super) fn pods(&self) -> Vec<PodStatus> {
        let inner = self.lock();
        let status = |entry: &Entry| PodStatus {
            name: entry.plan.name.clone(),
            player: entry.plan.player.clone(),
            services: entry.plan.services(),
            played: entry.played.clone(),
        };
        inner.pods.values().map(status).collect()
    }

    /// A pod begins, or takes another plan; not published yet.
    pub(super) fn set(&self, plan: PodPlan, played: Option<PlayedPod>) -> Life {
        let mut inner = self.lock();
        inner.lives += 1;
        let life = Life(inner.lives);
        let mut entry = Entry { life, played, slices: Vec::new(), plan };
        if let Some(before) = inner.pods.remove(&entry.plan.name) {
            entry.slices = before.slices;
        }
        entry.remake();
        inner.pods.insert(entry.plan.name.clone(), entry);
        life
    }

    /// A pod stays what it is, but is selected differently; not published yet.
    pub(super) fn set_plan(&self, plan: PodPlan) {
        let mut inner = self.lock();
        if let Some(entry) = inner.pods.get_mut(&plan.name) {
            entry.plan = plan;
            entry.remake();
        }
    }

    /// A pod has moved or changed its condition; published at once. Without effect in another life.
    pub(super) fn set_played(&self, name: &QualifiedName, life: Life, played: Option<PlayedPod>) {
        let mut inner = self.lock();
        let Some(entry) = inner.pods.get_mut(name).filter(|entry| entry.life == life) else { return };
        entry.played = played;
        entry.remake();
        self.send(&inner);
    }

    /// A pod is gone; not published yet.
    pub(super) fn remove(&self, name: &QualifiedName) {
        self.lock().pods.remove(name);
    }

    pub(super) fn publish(&self) {
        self.send(&self.lock());
    }

    /// Under the lock, so that an older state never overtakes a newer one.
    fn send(&self, inner: &Inner) {
        let slices: BTreeMap<_, _> = inner.pods.values().flat_map(|entry| &entry.slices).map(keyed).collect();
        self.sender.send_if_modified(|current| {
            let is_modified = **current != slices;
            if is_modified {
                *current = Arc::new(slices);
            }
            is_modified
        });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keyed(slice: &Arc<EndpointSlice>) -> (QualifiedName, Arc<EndpointSlice>) {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    (QualifiedName::new(name(&slice.metadata.namespace), name(&slice.metadata.name)), Arc::clone(slice))
}

// === impl Entry ===

impl Entry {
    /// Makes the slices anew, and keeps those that come out the same.
    fn remake(&mut self) {
        let made = self.played.as_ref().map(|played| slices(&self.plan, played)).unwrap_or_default();
        let before = std::mem::take(&mut self.slices);
        let keep = |slice: EndpointSlice| {
            before.iter().find(|before| ***before == slice).map_or_else(|| Arc::new(slice), Arc::clone)
        };
        self.slices = made.into_iter().map(keep).collect();
    }
}

// === impl PodStatus ===

impl PodStatus {
    /// The condition; `None` while a command does not run.
    pub fn condition(&self) -> Option<PodCondition> {
        self.played.as_ref().map(|played| played.condition)
    }
}
