//! Clocks. What needs seconds reads a time that is refreshed by whoever reads the real one; what needs latencies reads
//! the real one.

use http::HeaderValue;
use std::{
    cell::{Cell, RefCell},
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

/// Age at which a date is written anew.
const DATE_AGE: Duration = Duration::from_millis(500);

thread_local! {
    static NOW: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The same as milliseconds of the process.
    static NOW_MS: Cell<u64> = const { Cell::new(0) };
}

/// The real time; refreshes the coarse one of this thread.
pub fn now() -> Instant {
    let now = Instant::now();
    static START: OnceLock<Instant> = OnceLock::new();
    NOW.set(Some(now));
    NOW_MS.set(now.saturating_duration_since(*START.get_or_init(|| now)).as_millis() as u64);
    now
}

/// The time when this thread last asked for it: at the start of a request, and each second.
pub fn now_coarse() -> Instant {
    NOW.get().unwrap_or_else(now)
}

/// Milliseconds since the process first asked, by the coarse clock: comparable between threads.
pub fn process_ms() -> u64 {
    now_coarse();
    NOW_MS.get()
}

/// Today's date, as a server with a clock tells it (RFC 9110, 6.6.1).
pub fn date() -> HeaderValue {
    thread_local! {
        static DATE: RefCell<Option<(Instant, HeaderValue)>> = const { RefCell::new(None) };
    }
    DATE.with_borrow_mut(|date| {
        let now = now_coarse();
        let (_, value) = match date {
            Some(fresh) if now.saturating_duration_since(fresh.0) < DATE_AGE => fresh,
            stale => {
                let value = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now()));
                stale.insert((now, value.expect("a date is a valid header value")))
            }
        };
        value.clone()
    })
}
