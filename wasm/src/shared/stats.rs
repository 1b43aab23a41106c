//! Counters that the host keeps about one filter over all workers: streams, failures by kind, limits reached.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::outcome::FailureKind;

/// Limits that a filter can reach, by the names of [`Limits`](crate::Limits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// `time_per_call` or `time_to_start`
    Time,
    /// `memory`
    Memory,
    /// `streams`
    Streams,
    /// `headers`
    Headers,
    /// `body_buffer`
    BodyBuffer,
    /// `log_line`
    LogLine,
    /// `logs_per_second`
    LogRate,
    /// `metrics` or `metric_name`
    Metrics,
    /// `shared_data`
    SharedData,
    /// `queues` or `queue_bytes`
    Queues,
    /// `http_calls`
    HttpCalls,
    /// The state that filters keep with one stream.
    StreamState,
}

/// What the host counted about one filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FilterStats {
    /// Streams opened.
    pub streams: u64,
    /// Instances started, replacements included.
    pub instances_started: u64,
    /// HTTP calls sent.
    pub http_calls: u64,
    /// Failures by kind, those that occurred.
    pub failures: Vec<(FailureKind, u64)>,
    /// How often each limit was reached, those that were.
    pub limits_reached: Vec<(LimitKind, u64)>,
}

/// The live counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) streams: AtomicU64,
    pub(crate) instances_started: AtomicU64,
    pub(crate) http_calls: AtomicU64,
    failures: [AtomicU64; FailureKind::ALL.len()],
    limits: [AtomicU64; LimitKind::ALL.len()],
}

// === impl LimitKind ===

impl LimitKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Time,
        Self::Memory,
        Self::Streams,
        Self::Headers,
        Self::BodyBuffer,
        Self::LogLine,
        Self::LogRate,
        Self::Metrics,
        Self::SharedData,
        Self::Queues,
        Self::HttpCalls,
        Self::StreamState,
    ];

    /// A short name for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Memory => "memory",
            Self::Streams => "streams",
            Self::Headers => "headers",
            Self::BodyBuffer => "body_buffer",
            Self::LogLine => "log_line",
            Self::LogRate => "log_rate",
            Self::Metrics => "metrics",
            Self::SharedData => "shared_data",
            Self::Queues => "queues",
            Self::HttpCalls => "http_calls",
            Self::StreamState => "stream_state",
        }
    }
}

// === impl Counters ===

impl Counters {
    pub(crate) fn failed(&self, kind: FailureKind) {
        self.failures[kind.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn limit_reached(&self, kind: LimitKind) {
        let index = LimitKind::ALL.iter().position(|known| *known == kind).expect("ALL lists every kind");
        self.limits[index].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> FilterStats {
        let nonzero = |counter: &AtomicU64| Some(counter.load(Ordering::Relaxed)).filter(|count| *count > 0);
        FilterStats {
            streams: self.streams.load(Ordering::Relaxed),
            instances_started: self.instances_started.load(Ordering::Relaxed),
            http_calls: self.http_calls.load(Ordering::Relaxed),
            failures: FailureKind::ALL
                .into_iter()
                .zip(&self.failures)
                .filter_map(|(kind, counter)| Some((kind, nonzero(counter)?)))
                .collect(),
            limits_reached: LimitKind::ALL
                .into_iter()
                .zip(&self.limits)
                .filter_map(|(kind, counter)| Some((kind, nonzero(counter)?)))
                .collect(),
        }
    }
}
