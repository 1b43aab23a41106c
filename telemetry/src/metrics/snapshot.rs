//! What the metrics hold at one moment, for the exporters and for `portolan status`. Never changes once taken.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::instrument::Unit;
use super::layout::Layout;
use crate::attributes::Labels;

const NANOS_PER_SECOND: f64 = 1e9;

/// All metrics at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was taken.
    pub taken: SystemTime,
    /// The metrics that have a series, sorted by name.
    pub families: Vec<Family>,
}

/// One metric.
#[derive(Clone, Debug)]
pub struct Family {
    /// OpenTelemetry's name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// Its series, sorted by labels; never empty.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// What tells it from the others of the metric.
    pub labels: Labels,
    /// Since when it counts.
    pub start: SystemTime,
    /// What it holds.
    pub reading: Reading,
}

/// What a series holds.
#[derive(Clone, Debug)]
pub enum Reading {
    /// Of a counter.
    Counter(u64),
    /// Of an up-down counter.
    UpDown(i64),
    /// Of a gauge.
    Gauge(i64),
    /// Of a histogram.
    Histogram(Distribution),
}

/// What a histogram holds.
#[derive(Clone, Debug)]
pub struct Distribution {
    layout: &'static Layout,
    scale: f64,
    /// The buckets that are not empty, ascending.
    counts: Vec<(usize, u64)>,
    count: u64,
    sum: f64,
}

/// A series, or a group of them, as a reader prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The labels that the group shares.
    pub labels: BTreeMap<String, String>,
    /// A counter's or gauge's value, or the number of values that a histogram holds.
    pub value: i64,
    /// The sum of a histogram's values, in seconds or bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sum: Option<f64>,
    /// A histogram's median, in seconds or bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p50: Option<f64>,
    /// A histogram's 99th percentile, in seconds or bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p99: Option<f64>,
}

// === impl Snapshot ===

impl Snapshot {
    /// The metric of this name, if it has a series.
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }

    /// A metric's series for which `select` holds, added up by the given labels: with `["portolan.backend"]`, one
    /// summary a backend. Sorted by labels.
    #[must_use]
    pub fn group_by(&self, name: &str, keys: &[&str], select: impl Fn(&Labels) -> bool) -> Vec<Summary> {
        let mut groups: BTreeMap<Labels, Reading> = BTreeMap::new();
        let series = self.family(name).map_or(&[][..], |family| &family.series);
        for one in series.iter().filter(|one| select(&one.labels)) {
            groups
                .entry(one.labels.only(keys))
                .and_modify(|sum| sum.add(&one.reading))
                .or_insert_with(|| one.reading.clone());
        }
        groups.iter().map(|(labels, reading)| Summary::of(labels, reading)).collect()
    }
}

// === impl Reading ===

impl Reading {
    /// Adds another series of the same metric; one of another kind changes nothing.
    fn add(&mut self, other: &Reading) {
        match (self, other) {
            (Reading::Counter(sum), Reading::Counter(more)) => *sum = sum.saturating_add(*more),
            (Reading::UpDown(sum), Reading::UpDown(more)) | (Reading::Gauge(sum), Reading::Gauge(more)) => {
                *sum = sum.saturating_add(*more);
            }
            (Reading::Histogram(sum), Reading::Histogram(more)) => sum.add(more),
            (Reading::Counter(_) | Reading::UpDown(_) | Reading::Gauge(_) | Reading::Histogram(_), _) => {}
        }
    }
}

// === impl Distribution ===

impl Distribution {
    pub(super) fn new(layout: &'static Layout, unit: Unit, counts: &[u64], sum: u64) -> Self {
        let scale = if unit == Unit::Seconds { NANOS_PER_SECOND } else { 1.0 };
        let counts: Vec<(usize, u64)> = counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        let count = counts.iter().map(|(_, count)| count).sum();
        Distribution { layout, scale, counts, count, sum: sum as f64 / scale }
    }

    /// How many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum, in seconds or bytes.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The value below which the share `q` (0 to 1) of all values lies, within 6 % for durations; none without values.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = ((q.clamp(0.0, 1.0) * self.count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return Some(self.layout.middle(*bucket) / self.scale);
            }
        }
        None
    }

    /// The exported boundaries, in seconds or bytes, each with the number of values at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut rest = self.counts.iter().peekable();
        let mut seen = 0;
        self.layout.bounds().iter().zip(self.layout.buckets_up_to()).map(move |(bound, up_to)| {
            while let Some((_, count)) = rest.next_if(|(bucket, _)| bucket < up_to) {
                seen += count;
            }
            (*bound as f64 / self.scale, seen)
        })
    }

    fn add(&mut self, other: &Distribution) {
        let mut merged: BTreeMap<usize, u64> = self.counts.iter().copied().collect();
        for (bucket, count) in &other.counts {
            *merged.entry(*bucket).or_default() += count;
        }
        self.counts = merged.into_iter().collect();
        self.count += other.count;
        self.sum += other.sum;
    }
}

// === impl Summary ===

impl Summary {
    fn of(labels: &Labels, reading: &Reading) -> Self {
        let labels = labels.iter().map(|(key, value)| (key.to_owned(), value.to_string())).collect();
        let base = Summary { labels, ..Summary::default() };
        match reading {
            Reading::Counter(value) => Summary { value: i64::try_from(*value).unwrap_or(i64::MAX), ..base },
            Reading::UpDown(value) | Reading::Gauge(value) => Summary { value: *value, ..base },
            Reading::Histogram(values) => Summary {
                value: i64::try_from(values.count()).unwrap_or(i64::MAX),
                sum: Some(values.sum()),
                p50: values.quantile(0.50),
                p99: values.quantile(0.99),
                ..base
            },
        }
    }
}
