//! Metrics that a filter defines: counters, gauges and histograms over all workers. Never grows past its limits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Buckets of a histogram: bucket `n` counts values below 2^n, beyond those of the buckets before it.
const BUCKETS: usize = 65;

/// The kinds of the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down, never below 0.
    Gauge,
    /// Counts values by size.
    Histogram,
}

/// What a metric says at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricValue {
    /// Of a counter.
    Counter(u64),
    /// Of a gauge.
    Gauge(u64),
    /// Of a histogram.
    Histogram {
        /// `(greatest value, values up to it and above the bucket before)`, those that hold any.
        buckets: Vec<(u64, u64)>,
        /// Sum of all values, wrapping.
        sum: u64,
        /// How many values.
        count: u64,
    },
}

/// A metric of a filter, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricSnapshot {
    /// The filter's name.
    pub filter: String,
    /// The name that the filter gave it; any text.
    pub name: String,
    /// What it says.
    pub value: MetricValue,
}

/// All metrics of one filter.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_name: HashMap<Box<str>, u32>,
    all: Vec<(Box<str>, Arc<Metric>)>,
}

/// One metric; shared by all workers, and changed without a lock.
#[derive(Debug)]
pub(crate) struct Metric {
    kind: MetricKind,
    /// Counter and gauge: the value. Histogram: the sum.
    value: AtomicU64,
    buckets: Option<Box<[AtomicU64; BUCKETS]>>,
}

/// Why a metric cannot be defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DefineError {
    /// The name is taken by a metric of another kind.
    OtherKind,
    /// As many as allowed.
    Full,
}

/// The metric's kind does not allow that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongKind;

// === impl Metrics ===

impl Metrics {
    /// The number of the metric of this name, which is made if there is none.
    pub(crate) fn define(&self, kind: MetricKind, name: &str, most: usize) -> Result<u32, DefineError> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&id) = inner.by_name.get(name) {
            let found = usize::try_from(id).ok().and_then(|index| inner.all.get(index));
            let same = found.is_some_and(|(_, metric)| metric.kind == kind);
            return if same { Ok(id) } else { Err(DefineError::OtherKind) };
        }
        let id = u32::try_from(inner.all.len()).map_err(|_| DefineError::Full)?;
        if inner.all.len() >= most {
            return Err(DefineError::Full);
        }
        inner.by_name.insert(name.into(), id);
        inner.all.push((name.into(), Arc::new(Metric::new(kind))));
        Ok(id)
    }

    pub(crate) fn metric(&self, id: u32) -> Option<Arc<Metric>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.get(usize::try_from(id).ok()?).map(|(_, metric)| Arc::clone(metric))
    }

    pub(crate) fn snapshot(&self, filter: &str) -> Vec<MetricSnapshot> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .all
            .iter()
            .map(|(name, metric)| MetricSnapshot {
                filter: filter.to_owned(),
                name: name.to_string(),
                value: metric.snapshot(),
            })
            .collect()
    }
}

// === impl Metric ===

impl Metric {
    fn new(kind: MetricKind) -> Self {
        let buckets = (kind == MetricKind::Histogram).then(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]));
        Self { kind, value: AtomicU64::new(0), buckets }
    }

    /// A counter grows by `value`, a gauge becomes it, a histogram counts it.
    pub(crate) fn record(&self, value: u64) {
        match (self.kind, &self.buckets) {
            (MetricKind::Gauge, _) => self.value.store(value, Ordering::Relaxed),
            (_, Some(buckets)) => {
                let bits = usize::try_from(u64::BITS - value.leading_zeros()).unwrap_or(BUCKETS - 1);
                buckets[bits.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
                self.value.fetch_add(value, Ordering::Relaxed);
            }
            (_, None) => drop(self.value.fetch_add(value, Ordering::Relaxed)),
        }
    }

    /// Adds `offset`; a counter never shrinks, and a gauge stops at 0.
    pub(crate) fn increment(&self, offset: i64) -> Result<(), WrongKind> {
        match self.kind {
            MetricKind::Counter if offset >= 0 => {
                self.value.fetch_add(offset.unsigned_abs(), Ordering::Relaxed);
                Ok(())
            }
            MetricKind::Gauge => {
                let add = |value: u64| Some(value.saturating_add_signed(offset));
                // The closure always gives a value, so the update cannot fail.
                let _ = self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
                Ok(())
            }
            MetricKind::Counter | MetricKind::Histogram => Err(WrongKind),
        }
    }

    pub(crate) fn value(&self) -> Result<u64, WrongKind> {
        match self.kind {
            MetricKind::Counter | MetricKind::Gauge => Ok(self.value.load(Ordering::Relaxed)),
            MetricKind::Histogram => Err(WrongKind),
        }
    }

    fn snapshot(&self) -> MetricValue {
        let value = self.value.load(Ordering::Relaxed);
        match (self.kind, &self.buckets) {
            (MetricKind::Gauge, _) => MetricValue::Gauge(value),
            (_, Some(buckets)) => {
                let counts = buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
                let buckets: Vec<_> = (0..).map(bucket_max).zip(counts).filter(|(_, count)| *count > 0).collect();
                let count = buckets.iter().map(|(_, count)| count).sum();
                MetricValue::Histogram { buckets, sum: value, count }
            }
            (_, None) => MetricValue::Counter(value),
        }
    }
}

fn bucket_max(bits: u32) -> u64 {
    1u64.checked_shl(bits).map_or(u64::MAX, |above| above - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(metrics: &Metrics, kind: MetricKind, name: &str) -> Arc<Metric> {
        metrics.metric(metrics.define(kind, name, 10).unwrap()).unwrap()
    }

    #[test]
    fn a_name_is_defined_once_and_keeps_its_kind() {
        let metrics = Metrics::default();
        let id = metrics.define(MetricKind::Counter, "hits", 1).unwrap();
        assert_eq!(metrics.define(MetricKind::Counter, "hits", 1), Ok(id));
        assert_eq!(metrics.define(MetricKind::Gauge, "hits", 1), Err(DefineError::OtherKind));
        assert_eq!(metrics.define(MetricKind::Gauge, "other", 1), Err(DefineError::Full));
        assert!(metrics.metric(id + 1).is_none());
    }

    #[test]
    fn counters_only_grow_and_gauges_stop_at_zero() {
        let metrics = Metrics::default();
        let counter = metric(&metrics, MetricKind::Counter, "c");
        counter.record(2);
        counter.increment(3).unwrap();
        assert_eq!(counter.increment(-1), Err(WrongKind));
        assert_eq!(counter.value(), Ok(5));
        let gauge = metric(&metrics, MetricKind::Gauge, "g");
        gauge.record(7);
        gauge.increment(-3).unwrap();
        assert_eq!(gauge.value(), Ok(4));
        gauge.increment(i64::MIN).unwrap();
        assert_eq!(gauge.value(), Ok(0));
    }

    #[test]
    fn histograms_count_by_powers_of_two() {
        let metrics = Metrics::default();
        let histogram = metric(&metrics, MetricKind::Histogram, "h");
        for value in [0, 1, 2, 3, u64::MAX] {
            histogram.record(value);
        }
        assert_eq!(histogram.value(), Err(WrongKind));
        assert_eq!(histogram.increment(1), Err(WrongKind));
        let MetricValue::Histogram { buckets, sum, count } = metrics.snapshot("f")[0].value.clone() else {
            panic!("not a histogram")
        };
        assert_eq!(buckets, [(0, 1), (1, 1), (3, 2), (u64::MAX, 1)]);
        assert_eq!((sum, count), (5, 5));
    }
}
