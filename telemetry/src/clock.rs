//! Wall clock times from monotonic readings, so that a request reads the clock once. Never steps within a request.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long one pairing of the two clocks is trusted, so that a corrected wall clock is followed.
const PAIRING_AGE_MAX: Duration = Duration::from_secs(1);
/// Bytes of an RFC 3339 time with milliseconds, in UTC.
pub const RFC3339_LEN: usize = 24;
const MILLIS_PER_DAY: u64 = 86_400_000;
/// The last millisecond of the year 9999, the last that RFC 3339 can write.
const MILLIS_MAX: u64 = 253_402_300_799_999;

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

/// A worker's pairing of the monotonic and the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock {
    instant: Instant,
    wall: UnixNanos,
}

// === impl UnixNanos ===

impl UnixNanos {
    /// The wall clock now.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// This time and a duration later.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        UnixNanos(self.0.saturating_add(nanos(later)))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time as `2026-01-31T23:59:59.123Z`.
    #[must_use]
    pub fn rfc3339(self) -> [u8; RFC3339_LEN] {
        rfc3339(self.millis().min(MILLIS_MAX))
    }
}

impl From<SystemTime> for UnixNanos {
    fn from(time: SystemTime) -> Self {
        UnixNanos(time.duration_since(UNIX_EPOCH).map_or(0, nanos))
    }
}

// === impl WallClock ===

impl WallClock {
    /// Pairs the clocks now.
    #[must_use]
    pub fn new() -> Self {
        WallClock { instant: Instant::now(), wall: UnixNanos::now() }
    }

    /// The wall time of a monotonic reading, pairing anew when the pairing is older than a second.
    pub fn at(&mut self, instant: Instant) -> UnixNanos {
        if instant.saturating_duration_since(self.instant) > PAIRING_AGE_MAX {
            *self = WallClock::new();
        }
        self.convert(instant)
    }

    fn convert(&self, instant: Instant) -> UnixNanos {
        match instant.checked_duration_since(self.instant) {
            Some(later) => self.wall.after(later),
            None => UnixNanos(self.wall.0.saturating_sub(nanos(self.instant - instant))),
        }
    }
}

impl Default for WallClock {
    fn default() -> Self {
        WallClock::new()
    }
}

/// A duration in nanoseconds; 584 years and more are all the same.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn rfc3339(millis: u64) -> [u8; RFC3339_LEN] {
    let (year, month, day) = civil_from_days(millis / MILLIS_PER_DAY);
    let in_day = millis % MILLIS_PER_DAY;
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put(&mut text[0..4], year);
    put(&mut text[5..7], month);
    put(&mut text[8..10], day);
    put(&mut text[11..13], in_day / 3_600_000);
    put(&mut text[14..16], in_day / 60_000 % 60);
    put(&mut text[17..19], in_day / 1_000 % 60);
    put(&mut text[20..23], in_day % 1_000);
    text
}

fn put(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since the epoch, in the proleptic Gregorian calendar
/// (<https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(millis: u64) -> String {
        String::from_utf8(UnixNanos(millis * 1_000_000).rfc3339().to_vec()).unwrap()
    }

    #[test]
    fn times_are_written_as_rfc_3339_with_milliseconds() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(text(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(text(1_735_689_599_007), "2024-12-31T23:59:59.007Z");
        assert_eq!(text(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn instants_before_and_after_the_pairing_are_converted() {
        let mut clock = WallClock::new();
        let (instant, wall) = (clock.instant, clock.wall);
        assert_eq!(clock.at(instant + Duration::from_millis(5)), wall.after(Duration::from_millis(5)));
        if let Some(earlier) = instant.checked_sub(Duration::from_millis(5)) {
            assert_eq!(clock.at(earlier).after(Duration::from_millis(5)), wall);
        }
    }
}
