//! The retry budget: retries may be a share of the requests, and a few each second in any case.

use std::{cell::Cell, time::Instant};

/// Retries per request that are allowed in the long run.
const SHARE: f64 = 0.2;
/// Retries a second that are allowed in any case.
const FLOOR_PER_SECOND: f64 = 10.0;
/// Retries that may come at once.
const BURST: f64 = 100.0;

/// A bucket of retries; one per worker.
#[derive(Debug)]
pub struct RetryBudget {
    left: Cell<f64>,
    filled: Cell<Instant>,
}

impl RetryBudget {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { left: Cell::new(BURST), filled: Cell::new(now) }
    }

    /// A request came: its share flows in.
    pub fn request(&self) {
        self.left.set((self.left.get() + SHARE).min(BURST));
    }

    /// Takes one retry, if there is one left.
    pub fn take(&self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.filled.replace(now)).as_secs_f64();
        let left = (self.left.get() + seconds * FLOOR_PER_SECOND).min(BURST);
        self.left.set(if left >= 1.0 { left - 1.0 } else { left });
        left >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_empty_bucket_fills_by_time_and_by_requests() {
        let now = Instant::now();
        let budget = RetryBudget::new(now);
        let taken = (0..200).filter(|_| budget.take(now)).count();
        assert_eq!(taken, 100);
        assert!(budget.take(now + Duration::from_millis(150)) && !budget.take(now + Duration::from_millis(150)));
        (0..5).for_each(|_| budget.request());
        assert!(budget.take(now + Duration::from_millis(150)));
    }
}
