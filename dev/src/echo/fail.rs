//! Counts the requests that were asked to fail a number of times, so that retries can be tried out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Keys remembered at most; beyond them a request with a new key does not fail.
const KEYS_MAX: usize = 4096;

/// How often each key has failed. Clones share the counts, so pods that share one fail a key N times together.
#[derive(Clone, Debug, Default)]
pub struct FailCounters(Arc<Mutex<HashMap<String, u32>>>);

impl FailCounters {
    /// Counts one request for `key`; true while fewer than `times` have failed before.
    pub(crate) fn should_fail(&self, key: &str, times: u32) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !counts.contains_key(key) && counts.len() >= KEYS_MAX {
            return false;
        }
        let failed = counts.entry(key.to_owned()).or_insert(0);
        if *failed >= times {
            return false;
        }
        *failed += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_the_count_of_a_key() {
        let first = FailCounters::default();
        let second = first.clone();
        assert!(first.should_fail("k", 2));
        assert!(second.should_fail("k", 2));
        assert!(!first.should_fail("k", 2));
        assert!(first.should_fail("other", 1));
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let counters = FailCounters::default();
        for key in 0..KEYS_MAX {
            assert!(counters.should_fail(&key.to_string(), 1));
        }
        assert!(!counters.should_fail("one more", 1));
    }
}
