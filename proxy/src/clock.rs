//! Clocks. What needs seconds reads a time that is refreshed by whoever reads the real one; what needs latencies reads
//! the real one.

use std::{cell::Cell, sync::OnceLock, time::Instant};

thread_local! {
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The real time; refreshes the coarse one of this thread.
pub fn now() -> Instant {
    let now = Instant::now();
    NOW.set(Some(now));
    now
}

/// The time when this thread last asked for it: at the start of a request, and each second.
pub fn now_coarse() -> Instant {
    NOW.get().unwrap_or_else(now)
}

/// Milliseconds since the process first asked, by the coarse clock: comparable between threads.
pub fn process_ms() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let now = now_coarse();
    now.saturating_duration_since(*START.get_or_init(|| now)).as_millis() as u64
}
