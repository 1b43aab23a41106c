//! The four instruments: handles to per-worker memory. Recording is one or two relaxed atomic additions; it never
//! locks, hashes or allocates.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::layout::Layout;
use super::registry::{Families, Stores};
use super::snapshot::{Distribution, Reading};
use crate::clock;

/// The unit of a metric, by UCUM as OpenTelemetry writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `s`; recorded in nanoseconds.
    Seconds,
    /// `By`.
    Bytes,
    /// An annotation such as `{request}`: a number of things.
    Count(&'static str),
}

/// The definition of a metric whose series are instruments of type `I`.
#[derive(Debug)]
pub struct Metric<I: Instrument> {
    /// OpenTelemetry's name, dotted.
    pub name: &'static str,
    /// What it says, one line.
    pub help: &'static str,
    /// What it counts.
    pub unit: Unit,
    pub(super) spec: I::Spec,
}

/// An instrument: a handle to one worker's share of a series. Clones record to the same memory.
pub trait Instrument: Clone + private::Sealed + 'static {
    /// What a definition says beyond name, help and unit.
    type Spec: std::fmt::Debug + Sync;

    #[doc(hidden)]
    /// Whether all workers share one memory, because values cannot be added.
    const SHARED: bool;

    #[doc(hidden)]
    fn create(metric: &Metric<Self>) -> Self;

    #[doc(hidden)]
    fn read(metric: &Metric<Self>, shares: &[Self]) -> Reading;

    #[doc(hidden)]
    fn families(stores: &Stores) -> &Families<Self>;
}

/// A number that only grows.
#[derive(Clone, Debug)]
pub struct Counter(Arc<Line<AtomicU64>>);

/// A number of things that come and go, added over the workers.
#[derive(Clone, Debug)]
pub struct UpDownCounter(Arc<Line<AtomicI64>>);

/// A value that is set; the last one set, by whichever worker, is the value.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Line<AtomicI64>>);

/// A distribution of durations or sizes.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Buckets>);

/// Keeps two workers' memory off one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line<T>(T);

#[derive(Debug)]
struct Buckets {
    layout: &'static Layout,
    sum: AtomicU64,
    counts: Box<[AtomicU64]>,
}

mod private {
    /// Keeps the set of instruments closed: the exporters know all of them.
    pub trait Sealed {}
    impl Sealed for super::Counter {}
    impl Sealed for super::UpDownCounter {}
    impl Sealed for super::Gauge {}
    impl Sealed for super::Histogram {}
}

// === impl Metric ===

impl Metric<Counter> {
    /// Defines a counter.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Metric { name, help, unit, spec: () }
    }
}

impl Metric<UpDownCounter> {
    /// Defines an up-down counter.
    #[must_use]
    pub const fn up_down(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Metric { name, help, unit, spec: () }
    }
}

impl Metric<Gauge> {
    /// Defines a gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Metric { name, help, unit, spec: () }
    }
}

impl Metric<Histogram> {
    /// Defines a histogram.
    #[must_use]
    pub const fn histogram(
        name: &'static str,
        unit: Unit,
        help: &'static str,
        layout: &'static std::sync::LazyLock<Layout>,
    ) -> Self {
        Metric { name, help, unit, spec: layout }
    }
}

// === impl Counter ===

impl Counter {
    /// Adds.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.0.fetch_add(more, Ordering::Relaxed);
    }
}

impl Instrument for Counter {
    type Spec = ();
    const SHARED: bool = false;

    fn create(_: &Metric<Self>) -> Self {
        Counter(Arc::default())
    }

    fn read(_: &Metric<Self>, shares: &[Self]) -> Reading {
        Reading::Counter(shares.iter().fold(0, |sum, share| sum.wrapping_add(share.0.0.load(Ordering::Relaxed))))
    }

    fn families(stores: &Stores) -> &Families<Self> {
        &stores.counters
    }
}

// === impl UpDownCounter ===

impl UpDownCounter {
    /// Adds, or takes away.
    #[inline]
    pub fn add(&self, change: i64) {
        self.0.0.fetch_add(change, Ordering::Relaxed);
    }

    /// Counts one more until the guard is dropped.
    #[inline]
    #[must_use = "the count goes down again when the guard is dropped"]
    pub fn enter(&self) -> Entered {
        self.add(1);
        Entered(self.clone())
    }
}

/// One thing counted by an [`UpDownCounter`], until dropped.
#[derive(Debug)]
pub struct Entered(UpDownCounter);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

impl Instrument for UpDownCounter {
    type Spec = ();
    const SHARED: bool = false;

    fn create(_: &Metric<Self>) -> Self {
        UpDownCounter(Arc::default())
    }

    fn read(_: &Metric<Self>, shares: &[Self]) -> Reading {
        Reading::UpDown(shares.iter().map(|share| share.0.0.load(Ordering::Relaxed)).sum())
    }

    fn families(stores: &Stores) -> &Families<Self> {
        &stores.up_downs
    }
}

// === impl Gauge ===

impl Gauge {
    /// Sets the value.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.0.store(value, Ordering::Relaxed);
    }
}

impl Instrument for Gauge {
    type Spec = ();
    const SHARED: bool = true;

    fn create(_: &Metric<Self>) -> Self {
        Gauge(Arc::default())
    }

    fn read(_: &Metric<Self>, shares: &[Self]) -> Reading {
        Reading::Gauge(shares.first().map_or(0, |share| share.0.0.load(Ordering::Relaxed)))
    }

    fn families(stores: &Stores) -> &Families<Self> {
        &stores.gauges
    }
}

// === impl Histogram ===

impl Histogram {
    /// Records a value in the metric's raw unit: nanoseconds or bytes.
    #[inline]
    pub fn record(&self, value: u64) {
        let buckets = &*self.0;
        buckets.counts[buckets.layout.bucket(value)].fetch_add(1, Ordering::Relaxed);
        buckets.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Records a duration, to a metric in seconds.
    #[inline]
    pub fn record_duration(&self, duration: Duration) {
        self.record(clock::nanos(duration));
    }
}

impl Instrument for Histogram {
    type Spec = &'static std::sync::LazyLock<Layout>;
    const SHARED: bool = false;

    fn create(metric: &Metric<Self>) -> Self {
        let layout: &'static Layout = metric.spec;
        let counts = (0..layout.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(Buckets { layout, sum: AtomicU64::new(0), counts }))
    }

    fn read(metric: &Metric<Self>, shares: &[Self]) -> Reading {
        let layout: &'static Layout = metric.spec;
        let mut counts = vec![0_u64; layout.len()];
        let mut sum = 0_u64;
        for share in shares {
            sum = sum.saturating_add(share.0.sum.load(Ordering::Relaxed));
            for (total, count) in counts.iter_mut().zip(&share.0.counts) {
                *total += count.load(Ordering::Relaxed);
            }
        }
        Reading::Histogram(Distribution::new(layout, metric.unit, &counts, sum))
    }

    fn families(stores: &Stores) -> &Families<Self> {
        &stores.histograms
    }
}
