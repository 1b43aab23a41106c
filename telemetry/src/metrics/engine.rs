//! What a worker records beside HTTP: connections, bytes, upstreams, filters, limits and the configuration.

use std::sync::Arc;
use std::time::Duration;

use super::http::ListenerLabels;
use super::instrument::{Counter, Entered, Gauge, Histogram, UpDownCounter};
use super::names::{self, keys};
use super::registry::WorkerMetrics;
use super::table::Table;
use crate::attributes::{Labels, Value};
use crate::flag::FlagKind;

/// A worker's handle for the connections of a listener.
#[derive(Clone, Debug)]
pub struct Connections {
    opened: Counter,
    active: UpDownCounter,
}

/// A worker's handle for the bytes forwarded below HTTP from a listener to a backend.
#[derive(Clone, Debug)]
pub struct L4Bytes {
    received: Counter,
    sent: Counter,
}

/// A worker's handle for a backend's connections and endpoints.
#[derive(Debug)]
pub struct Upstream {
    metrics: WorkerMetrics,
    labels: Labels,
    connects: Counter,
    active: UpDownCounter,
    retries: Counter,
    retries_refused: Counter,
    ejections: Counter,
    failures: Table<Counter>,
}

/// A worker's handle for a filter.
#[derive(Debug)]
pub struct FilterCalls {
    metrics: WorkerMetrics,
    labels: Labels,
    duration: Histogram,
    failures: Table<Counter>,
}

/// Why a filter failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FilterFailure {
    /// It trapped.
    Trap,
    /// It took longer than its time per call.
    Deadline,
    /// It grew beyond its memory.
    Memory,
    /// It held more of the host than it may.
    HostLimit,
    /// Its module could not be loaded or configured.
    Load,
    /// It has no instance to spare.
    Instances,
    /// It broke the ABI's rules.
    Abi,
    /// Its breaker is open.
    BreakerOpen,
}

/// The handle of whoever loads configurations.
#[derive(Clone, Debug)]
pub struct ConfigLoads {
    generation: Gauge,
    reloads: Counter,
    failures: Counter,
}

// === impl WorkerMetrics ===

impl WorkerMetrics {
    /// A handle for the connections of a listener.
    #[must_use]
    pub fn connections(&self, listener: &ListenerLabels) -> Connections {
        let labels = listener.labels();
        Connections {
            opened: self.handle(&names::CONNECTIONS_OPENED, &labels),
            active: self.handle(&names::CONNECTIONS_ACTIVE, &labels),
        }
    }

    /// A handle for the bytes forwarded below HTTP from a listener to a backend (`namespace/name:port`).
    #[must_use]
    pub fn l4_bytes(&self, listener: &ListenerLabels, backend: &Arc<str>) -> L4Bytes {
        let labels = listener.labels().with([(keys::BACKEND, backend.clone().into())]);
        let toward = |direction: &'static str| {
            self.handle(&names::L4_IO, &labels.with([(keys::NETWORK_IO_DIRECTION, direction.into())]))
        };
        L4Bytes { received: toward("receive"), sent: toward("transmit") }
    }

    /// A handle for a backend (`namespace/name:port`).
    #[must_use]
    pub fn upstream(&self, backend: &Arc<str>) -> Upstream {
        let labels = Labels::new([(keys::BACKEND, backend.clone().into())]);
        Upstream {
            connects: self.handle(&names::UPSTREAM_CONNECTS, &labels),
            active: self.handle(&names::UPSTREAM_CONNECTIONS_ACTIVE, &labels),
            retries: self.handle(&names::UPSTREAM_RETRIES, &labels),
            retries_refused: self.handle(&names::UPSTREAM_RETRIES_REFUSED, &labels),
            ejections: self.handle(&names::UPSTREAM_EJECTIONS, &labels),
            failures: Table::new(),
            metrics: self.clone(),
            labels,
        }
    }

    /// A handle for a filter (`namespace/name`).
    #[must_use]
    pub fn filter(&self, filter: &Arc<str>) -> FilterCalls {
        let labels = Labels::new([(keys::FILTER, filter.clone().into())]);
        let duration = self.handle(&names::FILTER_DURATION, &labels);
        FilterCalls { metrics: self.clone(), labels, duration, failures: Table::new() }
    }

    /// The labels of a metric that a filter defines: its name is a value, so that it cannot pass for another's.
    #[must_use]
    pub fn filter_metric_labels(filter: &Arc<str>, metric: &str) -> Labels {
        Labels::new([(keys::FILTER, filter.clone().into()), (keys::FILTER_METRIC, Value::Str(metric.into()))])
    }

    /// The counter of a named limit.
    #[must_use]
    pub fn limit(&self, name: &'static str) -> Counter {
        self.handle(&names::LIMIT_REACHED, &Labels::new([(keys::LIMIT, name.into())]))
    }

    /// The handle of whoever loads configurations.
    #[must_use]
    pub fn config_loads(&self) -> ConfigLoads {
        ConfigLoads {
            generation: self.handle(&names::CONFIG_GENERATION, &Labels::none()),
            reloads: self.handle(&names::CONFIG_RELOADS, &Labels::none()),
            failures: self.handle(&names::CONFIG_RELOAD_FAILURES, &Labels::none()),
        }
    }
}

// === impl handles ===

impl Connections {
    /// Counts a connection, as open until the guard is dropped.
    #[must_use = "the connection counts as open until the guard is dropped"]
    pub fn open(&self) -> Entered {
        self.opened.add(1);
        self.active.enter()
    }
}

impl L4Bytes {
    /// Bytes that came from the client.
    #[inline]
    pub fn received(&self, bytes: u64) {
        self.received.add(bytes);
    }

    /// Bytes that went to the client.
    #[inline]
    pub fn sent(&self, bytes: u64) {
        self.sent.add(bytes);
    }
}

impl Upstream {
    /// Counts a connection that was made, as open until the guard is dropped.
    #[must_use = "the connection counts as open until the guard is dropped"]
    pub fn connected(&self) -> Entered {
        self.connects.add(1);
        self.active.enter()
    }

    /// Counts a connection that could not be made.
    pub fn connect_failed(&self, cause: FlagKind) {
        let make = || {
            let labels = self.labels.with([(keys::ERROR_TYPE, cause.as_str().into())]);
            self.metrics.handle(&names::UPSTREAM_CONNECT_FAILURES, &labels)
        };
        self.failures.get(cause as u32, make).add(1);
    }

    /// Counts a try beyond a request's first.
    pub fn retried(&self) {
        self.retries.add(1);
    }

    /// Counts a retry that the budget refused.
    pub fn retry_refused(&self) {
        self.retries_refused.add(1);
    }

    /// Counts an ejection of an endpoint.
    pub fn ejected(&self) {
        self.ejections.add(1);
    }
}

impl FilterCalls {
    /// Records the time that a callback took.
    #[inline]
    pub fn called(&self, duration: Duration) {
        self.duration.record_duration(duration);
    }

    /// Counts a failure.
    pub fn failed(&self, failure: FilterFailure) {
        let make = || {
            let labels = self.labels.with([(keys::REASON, failure.as_str().into())]);
            self.metrics.handle(&names::FILTER_FAILURES, &labels)
        };
        self.failures.get(failure as u32, make).add(1);
    }
}

impl FilterFailure {
    /// The stable short name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FilterFailure::Trap => "trap",
            FilterFailure::Deadline => "deadline",
            FilterFailure::Memory => "memory",
            FilterFailure::HostLimit => "host_limit",
            FilterFailure::Load => "load",
            FilterFailure::Instances => "instances",
            FilterFailure::Abi => "abi",
            FilterFailure::BreakerOpen => "breaker_open",
        }
    }
}

impl ConfigLoads {
    /// A configuration went into service.
    pub fn loaded(&self, generation: u64) {
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.reloads.add(1);
    }

    /// A part of a configuration could not go into service.
    pub fn failed(&self) {
        self.failures.add(1);
    }
}
