//! Counts of many requests: answers by backend, status and header, failures by cause, latencies. Never samples.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::answer::{Answer, Backend};
use crate::failure::{Failure, FailureKind};

/// Different backends, header values or statuses that are counted apart; further ones count as [`OTHERS`].
pub const DISTINCT_MAX: usize = 1000;

/// The name under which all beyond [`DISTINCT_MAX`] are counted.
pub const OTHERS: &str = "(others)";

/// What became of many requests.
///
/// `answers + failed() == requests`, always.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests made.
    pub requests: u64,
    /// Requests with a complete answer, whatever its status.
    pub answers: u64,
    /// Answers that are no success: neither 2xx nor 101, gRPC OK or bytes.
    pub unsuccessful: u64,
    /// Answers with a status of 400 or more, or a gRPC status that is not OK.
    pub errors: u64,
    /// Answers by status.
    pub statuses: BTreeMap<String, u64>,
    /// Answers by who gave them; those that do not say are missing here.
    pub backends: BTreeMap<Backend, u64>,
    /// Answers by the value of the header asked for; `None` counts those without it.
    pub headers: BTreeMap<Option<String>, u64>,
    /// Requests without an answer, by cause.
    pub failures: BTreeMap<FailureKind, u64>,
    /// The first failure of each cause.
    pub examples: BTreeMap<FailureKind, Failure>,
    /// Requests sent again because the peer had said, or the first attempt shows, that it was not processed.
    pub resent: u64,
    /// Connections opened, or tried to open.
    pub connections: u64,
    /// Bytes of all answers' bodies.
    pub bytes: u64,
    /// How long answers took.
    pub latencies: Latencies,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

// === impl Tally ===

impl Tally {
    /// Requests without an answer.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Requests that failed for this cause.
    pub fn failed_by(&self, kind: FailureKind) -> u64 {
        self.failures.get(&kind).copied().unwrap_or_default()
    }

    /// Answers with this HTTP status.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status.to_string()).copied().unwrap_or_default()
    }

    /// Answers by this pod, of whichever Service.
    pub fn pod(&self, name: &str) -> u64 {
        self.backends.iter().filter(|(backend, _)| backend.pod == name).map(|(_, count)| count).sum()
    }

    /// Answers in which the header asked for had this value.
    pub fn header(&self, value: &str) -> u64 {
        self.headers.get(&Some(value.to_owned())).copied().unwrap_or_default()
    }

    /// Answers per second.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { self.answers as f64 / seconds } else { 0.0 }
    }

    pub(crate) fn answer(&mut self, answer: &Answer, by_header: Option<&http::HeaderName>) {
        self.requests += 1;
        self.answers += 1;
        self.unsuccessful += u64::from(!answer.code.is_success());
        self.errors += u64::from(answer.code.is_error());
        self.bytes += answer.bytes;
        self.latencies.record(answer.latency);
        count(&mut self.statuses, answer.code.to_string(), 1, || OTHERS.to_owned());
        if let Some(backend) = answer.backend() {
            count(&mut self.backends, backend, 1, other_backend);
        }
        if let Some(name) = by_header {
            let value = answer.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            count(&mut self.headers, value, 1, || Some(OTHERS.to_owned()));
        }
    }

    pub(crate) fn failure(&mut self, failure: Failure) {
        self.requests += 1;
        *self.failures.entry(failure.kind()).or_default() += 1;
        self.examples.entry(failure.kind()).or_insert(failure);
    }

    /// Adds another tally; the longer time stands.
    pub fn merge(&mut self, other: Self) {
        self.requests += other.requests;
        self.answers += other.answers;
        self.unsuccessful += other.unsuccessful;
        self.errors += other.errors;
        self.resent += other.resent;
        self.connections += other.connections;
        self.bytes += other.bytes;
        self.latencies.merge(&other.latencies);
        self.elapsed = self.elapsed.max(other.elapsed);
        for (status, n) in other.statuses {
            count(&mut self.statuses, status, n, || OTHERS.to_owned());
        }
        for (backend, n) in other.backends {
            count(&mut self.backends, backend, n, other_backend);
        }
        for (value, n) in other.headers {
            count(&mut self.headers, value, n, || Some(OTHERS.to_owned()));
        }
        for (kind, n) in other.failures {
            *self.failures.entry(kind).or_default() += n;
        }
        for (kind, example) in other.examples {
            self.examples.entry(kind).or_insert(example);
        }
    }
}

fn other_backend() -> Backend {
    Backend { pod: OTHERS.to_owned(), service: String::new(), namespace: String::new() }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, u64>, key: K, n: u64, others: impl Fn() -> K) {
    let key = if counts.len() < DISTINCT_MAX || counts.contains_key(&key) { key } else { others() };
    *counts.entry(key).or_default() += n;
}

/// Buckets per doubling: a quantile is at most 1/32 (3 %) above the truth.
const BUCKETS_PER_DOUBLING: u64 = 32;

/// Longer durations count as this one.
const MICROS_MAX: u64 = 1 << 62;

/// Buckets for all durations up to [`MICROS_MAX`].
const BUCKETS: usize = 64 * BUCKETS_PER_DOUBLING as usize;

/// How long answers took, in buckets of 3 %; of a fixed size.
#[derive(Clone)]
pub struct Latencies {
    buckets: Box<[u64]>,
    count: u64,
    max: Duration,
}

impl std::fmt::Debug for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latencies").field("count", &self.count).field("max", &self.max).finish_non_exhaustive()
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: vec![0; BUCKETS].into(), count: 0, max: Duration::ZERO }
    }
}

// === impl Latencies ===

impl Latencies {
    /// Counts one duration.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(MICROS_MAX).min(MICROS_MAX);
        self.buckets[bucket(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(latency);
    }

    /// The duration that a share (0 to 1) of the answers did not exceed; zero where there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= rank && *n > 0 {
                return Duration::from_micros(upper_bound(index)).min(self.max);
            }
        }
        self.max
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }
}

/// Exact below 64 µs, then 32 buckets for each doubling.
fn bucket(micros: u64) -> usize {
    if micros < 2 * BUCKETS_PER_DOUBLING {
        return micros as usize;
    }
    let shift = u64::from(micros.ilog2()) - 5;
    (shift * BUCKETS_PER_DOUBLING + (micros >> shift)) as usize
}

/// The largest duration, in µs, that falls into the bucket.
fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * BUCKETS_PER_DOUBLING {
        return index;
    }
    let shift = index / BUCKETS_PER_DOUBLING - 1;
    let top = index - shift * BUCKETS_PER_DOUBLING;
    ((top + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_claim() {
        for micros in (0..100_000).chain([1 << 40, (1 << 40) + 12345, MICROS_MAX]) {
            let bound = upper_bound(bucket(micros));
            assert!(bound >= micros && bound - micros <= micros / 32, "{micros} is in the bucket up to {bound}");
        }
        assert!(bucket(MICROS_MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_close_to_the_truth() {
        let mut latencies = Latencies::default();
        for micros in 1..=10_000 {
            latencies.record(Duration::from_micros(micros));
        }
        for (share, truth) in [(0.5, 5_000), (0.99, 9_900), (1.0, 10_000)] {
            let found = latencies.quantile(share).as_micros();
            assert!((truth..=truth + truth / 32).contains(&found), "p{share}: {found}");
        }
        assert_eq!(Latencies::default().quantile(0.5), Duration::ZERO);
    }

    #[test]
    fn distinct_values_are_bounded_and_none_is_lost() {
        let mut counts = BTreeMap::new();
        for n in 0..2 * DISTINCT_MAX {
            count(&mut counts, n.to_string(), 1, || OTHERS.to_owned());
        }
        assert_eq!(counts.len(), DISTINCT_MAX + 1);
        assert_eq!(counts.values().sum::<u64>(), 2 * DISTINCT_MAX as u64);
    }
}
