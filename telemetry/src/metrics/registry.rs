//! The registry: which series exist, and each worker's share of them. Its lock is taken when a handle is made and when
//! a reader scrapes, never when a value is recorded.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::instrument::{Counter, Gauge, Histogram, Instrument, Metric, UpDownCounter};
use super::names;
use super::snapshot::{Family as FamilySnapshot, Series as SeriesSnapshot, Snapshot};
use crate::attributes::{Labels, Value};

/// Series that a registry holds unless told otherwise, over all its metrics.
pub const SERIES_MAX_DEFAULT: usize = 10_000;
/// The attribute of the one series of a metric that collects what the cap kept out
/// (<https://opentelemetry.io/docs/specs/otel/metrics/sdk/#overflow-attribute>).
pub const OVERFLOW_KEY: &str = "otel_metric_overflow";

/// A worker of the engine; each has memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// All metrics of the process. Clones are the same registry.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Inner>);

/// The registry as one worker sees it: makes handles to that worker's memory.
#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    registry: Registry,
    worker: WorkerId,
}

#[derive(Debug)]
struct Inner {
    stores: Stores,
    budget: Budget,
    dropped: Counter,
    live: Gauge,
}

/// The series, by kind of instrument, so that a metric's kind is a matter of types.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Stores {
    pub(super) counters: Families<Counter>,
    pub(super) up_downs: Families<UpDownCounter>,
    pub(super) gauges: Families<Gauge>,
    pub(super) histograms: Families<Histogram>,
}

#[doc(hidden)]
#[derive(Debug)]
pub struct Families<I: Instrument>(Mutex<BTreeMap<&'static str, Family<I>>>);

#[derive(Debug)]
struct Family<I: Instrument> {
    metric: &'static Metric<I>,
    series: HashMap<Labels, Series<I>>,
    overflow: Option<Series<I>>,
}

#[derive(Clone, Debug)]
struct Series<I> {
    start: SystemTime,
    shares: Vec<(WorkerId, I)>,
}

#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    max: usize,
}

// === impl Registry ===

impl Registry {
    /// An empty registry that holds at most `series_max` series, and one overflow series a metric.
    #[must_use]
    pub fn new(series_max: usize) -> Self {
        let stores = Stores::default();
        // The registry's own two series are outside the cap: they tell when it is reached.
        let own = Budget { used: AtomicUsize::new(0), max: 2 };
        let nowhere = Counter::create(&names::METRIC_SERIES_DROPPED);
        let worker = WorkerId(0);
        let dropped = stores.counters.share(&names::METRIC_SERIES_DROPPED, &Labels::none(), worker, &own, &nowhere);
        let live = stores.gauges.share(&names::METRIC_SERIES, &Labels::none(), worker, &own, &nowhere);
        Registry(Arc::new(Inner {
            stores,
            budget: Budget { used: AtomicUsize::new(0), max: series_max },
            dropped,
            live,
        }))
    }

    /// The registry as a worker sees it.
    #[must_use]
    pub fn worker(&self, worker: WorkerId) -> WorkerMetrics {
        WorkerMetrics { registry: self.clone(), worker }
    }

    /// Drops the series whose metric name and labels `keep` refuses, and says how many went. Handles to a dropped
    /// series record into the void: make them anew. The registry's own series and overflow series stay.
    pub fn retain(&self, mut keep: impl FnMut(&'static str, &Labels) -> bool) -> usize {
        let stores = &self.0.stores;
        let gone = stores.counters.retain(&mut keep)
            + stores.up_downs.retain(&mut keep)
            + stores.gauges.retain(&mut keep)
            + stores.histograms.retain(&mut keep);
        self.0.budget.give_back(gone);
        gone
    }

    /// The number of series, without the registry's own and the overflow series.
    #[must_use]
    pub fn series(&self) -> usize {
        self.0.budget.used.load(Ordering::Relaxed)
    }

    /// What all series hold now, added over the workers, sorted by metric name and labels.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.0.live.set(i64::try_from(self.series()).unwrap_or(i64::MAX));
        let stores = &self.0.stores;
        let mut families = stores.counters.snapshot();
        families.extend(stores.up_downs.snapshot());
        families.extend(stores.gauges.snapshot());
        families.extend(stores.histograms.snapshot());
        families.sort_by_key(|family| family.name);
        Snapshot { taken: SystemTime::now(), families }
    }

    /// The Prometheus text exposition, format 0.0.4 ([`super::PROMETHEUS_CONTENT_TYPE`]).
    #[must_use]
    pub fn prometheus(&self) -> String {
        super::prometheus::render(&self.snapshot())
    }
}

impl Default for Registry {
    fn default() -> Self {
        Registry::new(SERIES_MAX_DEFAULT)
    }
}

// === impl WorkerMetrics ===

impl WorkerMetrics {
    /// A handle to this worker's share of a series, which is made if need be. Above the cap, a handle to the metric's
    /// overflow series. Takes the registry's lock: keep the handle.
    #[must_use]
    pub fn handle<I: Instrument>(&self, metric: &'static Metric<I>, labels: &Labels) -> I {
        let inner = &*self.registry.0;
        I::families(&inner.stores).share(metric, labels, self.worker, &inner.budget, &inner.dropped)
    }

    /// The registry that all workers share.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

// === impl Families ===

impl<I: Instrument> Families<I> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Family<I>>> {
        // A panic under the lock leaves complete series only, so the map is good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(
        &self,
        metric: &'static Metric<I>,
        labels: &Labels,
        worker: WorkerId,
        budget: &Budget,
        dropped: &Counter,
    ) -> I {
        let worker = if I::SHARED { WorkerId(0) } else { worker };
        let mut families = self.lock();
        let family = families.entry(metric.name).or_insert_with(|| Family::new(metric));
        if let Some(series) = family.series.get_mut(labels) {
            return series.share(metric, worker);
        }
        if budget.take_one() {
            return family.series.entry(labels.clone()).or_insert_with(Series::new).share(metric, worker);
        }
        dropped.add(1);
        family.overflow.get_or_insert_with(Series::new).share(metric, worker)
    }

    fn retain(&self, keep: &mut impl FnMut(&'static str, &Labels) -> bool) -> usize {
        let mut gone = 0;
        for (name, family) in self.lock().iter_mut().filter(|(name, _)| !names::OWN.contains(name)) {
            let before = family.series.len();
            family.series.retain(|labels, _| keep(name, labels));
            gone += before - family.series.len();
        }
        gone
    }

    /// Copies the handles under the lock, and reads them without it: a scrape delays no worker that makes a handle.
    fn snapshot(&self) -> Vec<FamilySnapshot> {
        let copies: Vec<_> = self.lock().values().map(Family::copy).collect();
        copies
            .into_iter()
            .filter(|(_, series)| !series.is_empty())
            .map(|(metric, series)| read_family(metric, series))
            .collect()
    }
}

impl<I: Instrument> Default for Families<I> {
    fn default() -> Self {
        Families(Mutex::default())
    }
}

fn read_family<I: Instrument>(metric: &'static Metric<I>, copy: Vec<(Labels, Series<I>)>) -> FamilySnapshot {
    let mut series: Vec<SeriesSnapshot> = copy
        .into_iter()
        .map(|(labels, series)| {
            let shares: Vec<I> = series.shares.into_iter().map(|(_, share)| share).collect();
            SeriesSnapshot { labels, start: series.start, reading: I::read(metric, &shares) }
        })
        .collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    FamilySnapshot { name: metric.name, help: metric.help, unit: metric.unit, series }
}

// === impl Family ===

impl<I: Instrument> Family<I> {
    fn new(metric: &'static Metric<I>) -> Self {
        Family { metric, series: HashMap::new(), overflow: None }
    }

    fn copy(&self) -> (&'static Metric<I>, Vec<(Labels, Series<I>)>) {
        let overflow =
            self.overflow.as_ref().map(|series| (Labels::new([(OVERFLOW_KEY, Value::Static("true"))]), series.clone()));
        let series = self.series.iter().map(|(labels, series)| (labels.clone(), series.clone()));
        (self.metric, series.chain(overflow).collect())
    }
}

// === impl Series ===

impl<I: Instrument> Series<I> {
    fn new() -> Self {
        Series { start: SystemTime::now(), shares: Vec::new() }
    }

    fn share(&mut self, metric: &Metric<I>, worker: WorkerId) -> I {
        if let Some((_, share)) = self.shares.iter().find(|(owner, _)| *owner == worker) {
            return share.clone();
        }
        let share = I::create(metric);
        self.shares.push((worker, share.clone()));
        share
    }
}

// === impl Budget ===

impl Budget {
    fn take_one(&self) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < self.max).then_some(used + 1))
            .is_ok()
    }

    fn give_back(&self, number: usize) {
        self.used.fetch_sub(number, Ordering::Relaxed);
    }
}
