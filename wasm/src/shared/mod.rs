//! What the instances of a filter share over all workers: data, queues, metrics, counters. Scoped by the filter's
//! name; never shared between filters.

mod data;
mod metrics;
mod queue;
mod stats;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use metrics::{MetricKind, MetricSnapshot, MetricValue};
pub use stats::{FilterStats, LimitKind};

pub(crate) use data::{SetError, SharedData};
pub(crate) use metrics::{DefineError, Metric, Metrics};
pub(crate) use queue::{Queue, Watcher};
pub(crate) use stats::Counters;

/// What is shared across workers, of all filters. It outlives reloads, so that counters go on counting.
#[derive(Debug, Default)]
pub struct Shared {
    filters: Mutex<HashMap<String, Arc<FilterShared>>>,
}

/// What the instances of one filter share.
#[derive(Debug, Default)]
pub(crate) struct FilterShared {
    pub(crate) data: SharedData,
    pub(crate) metrics: Metrics,
    pub(crate) counters: Counters,
    queues: Mutex<Vec<Arc<Queue>>>,
}

// === impl Shared ===

impl Shared {
    /// Drops what filters hold that are no longer configured; their instances that still run keep it to their end.
    pub fn retain(&self, still_configured: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| still_configured(name));
    }

    /// All metrics that filters defined, by filter, in the order of definition.
    pub fn metrics(&self) -> Vec<MetricSnapshot> {
        self.sorted().iter().flat_map(|(name, filter)| filter.metrics.snapshot(name)).collect()
    }

    /// What the host counted, by filter.
    pub fn stats(&self) -> Vec<(String, FilterStats)> {
        self.sorted().into_iter().map(|(name, filter)| (name, filter.counters.snapshot())).collect()
    }

    pub(crate) fn filter(&self, name: &str) -> Arc<FilterShared> {
        let mut filters = self.lock();
        match filters.get(name) {
            Some(filter) => Arc::clone(filter),
            None => Arc::clone(filters.entry(name.to_owned()).or_default()),
        }
    }

    fn sorted(&self) -> Vec<(String, Arc<FilterShared>)> {
        let mut filters: Vec<_> = self.lock().iter().map(|(name, filter)| (name.clone(), Arc::clone(filter))).collect();
        filters.sort_by(|(a, _), (b, _)| a.cmp(b));
        filters
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<FilterShared>>> {
        self.filters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl FilterShared ===

impl FilterShared {
    /// The queue of this name, made if there is none and room for one; with its number, which is never 0.
    pub(crate) fn register_queue(&self, name: &[u8], most: usize) -> Option<(u32, Arc<Queue>)> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match queues.iter().position(|queue| &*queue.name == name) {
            Some(index) => index,
            None if queues.len() < most => {
                queues.push(Arc::new(Queue::new(name)));
                queues.len() - 1
            }
            None => return None,
        };
        Some((u32::try_from(index + 1).ok()?, Arc::clone(&queues[index])))
    }

    pub(crate) fn resolve_queue(&self, name: &[u8]) -> Option<u32> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let index = queues.iter().position(|queue| &*queue.name == name)?;
        u32::try_from(index + 1).ok()
    }

    pub(crate) fn queue(&self, id: u32) -> Option<Arc<Queue>> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.get(usize::try_from(id.checked_sub(1)?).ok()?).map(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_do_not_see_each_others_queues() {
        let shared = Shared::default();
        let (id, _) = shared.filter("a").register_queue(b"q", 1).unwrap();
        assert_eq!(shared.filter("a").resolve_queue(b"q"), Some(id));
        assert!(shared.filter("a").register_queue(b"second", 1).is_none());
        assert_eq!(shared.filter("b").resolve_queue(b"q"), None);
        assert!(shared.filter("a").queue(0).is_none());
        assert!(shared.filter("a").queue(9).is_none());
    }

    #[test]
    fn retain_forgets_what_is_no_longer_configured() {
        let shared = Shared::default();
        shared.filter("old").metrics.define(MetricKind::Counter, "c", 1).unwrap();
        shared.filter("new").metrics.define(MetricKind::Counter, "c", 1).unwrap();
        shared.retain(|name| name == "new");
        assert_eq!(shared.metrics().iter().map(|metric| metric.filter.as_str()).collect::<Vec<_>>(), ["new"]);
    }
}
