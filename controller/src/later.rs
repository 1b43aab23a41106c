//! What failed, and when it is tried again: each time after twice as long.

use std::{collections::HashMap, hash::Hash, time::Duration};
use tokio::time::Instant;

/// How long what failed waits before it is tried again, the first time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long it waits at most.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Writes that failed. One that is to write something else is not held back by what failed before.
#[derive(Debug)]
pub struct Later<K, V> {
    waits: HashMap<K, Wait<V>>,
}

#[derive(Debug)]
struct Wait<V> {
    what: V,
    until: Instant,
    failures: u32,
}

impl<K, V> Default for Later<K, V> {
    fn default() -> Self {
        Self { waits: HashMap::new() }
    }
}

impl<K: Eq + Hash, V: PartialEq> Later<K, V> {
    /// Whether it is too early to write this again.
    pub fn holds(&self, key: &K, what: &V) -> bool {
        self.waits.get(key).is_some_and(|wait| wait.what == *what && Instant::now() < wait.until)
    }

    /// It was written.
    pub fn forget(&mut self, key: &K) {
        self.waits.remove(key);
    }

    /// Of all that failed, only these are still to be written.
    pub fn retain(&mut self, mut open: impl FnMut(&K) -> bool) {
        self.waits.retain(|key, _| open(key));
    }

    /// It failed; says how often it did so in a row.
    pub fn failed(&mut self, key: K, what: V) -> u32 {
        let failures = match self.waits.get(&key) {
            Some(wait) if wait.what == what => wait.failures + 1,
            _ => 1,
        };
        let pause = PAUSE_MIN.saturating_mul(1 << (failures - 1).min(10)).min(PAUSE_MAX);
        self.waits.insert(key, Wait { what, until: Instant::now() + pause, failures });
        failures
    }

    /// Completes when something may be tried again.
    pub async fn next(&self) {
        match self.waits.values().map(|wait| wait.until).min() {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_failure_in_a_row_waits_twice_as_long_and_another_write_does_not_wait() {
        let mut later = Later::default();
        let began = Instant::now();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let before = Instant::now();
            later.failed("a", 1);
            assert!(later.holds(&"a", &1) && !later.holds(&"a", &2) && !later.holds(&"b", &1));
            later.next().await;
            assert_eq!(before.elapsed().as_secs(), seconds);
            assert!(!later.holds(&"a", &1));
        }
        assert_eq!(later.failed("a", 2), 1, "it is another");
        later.retain(|_| false);
        assert!(tokio::time::timeout(Duration::from_secs(100), later.next()).await.is_err(), "nothing is open");
        assert!(began.elapsed().as_secs() > 100);
    }
}
