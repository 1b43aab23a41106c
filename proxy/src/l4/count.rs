//! A number that one thread counts and any thread may read.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread counts and any thread may read, now and then, without disturbing it.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

// === impl Count ===

impl Count {
    /// Counts on. With one writer there is nothing to lock the bus for.
    pub(super) fn add(&self, more: u64) {
        self.set(self.get() + more);
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
