//! Logs, time and ticks.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use super::memory::{give_u32, slice, split, write_u64};
use super::{Called, Guest, Status};
use crate::attributes::nanoseconds;
use crate::host::LogLevel;
use crate::instance::{LogVerdict, State};
use crate::shared::LimitKind;

pub(super) fn log(guest: &mut Guest<'_>, level: u32, text: u32, len: u32) -> Called {
    let (memory, state) = split(guest)?;
    let level = LogLevel::from_abi(level).ok_or(Status::BadArgument)?;
    let bytes = slice(memory, text, len)?;
    write_log_bytes(state, level, bytes);
    Ok(())
}

pub(super) fn log_level(guest: &mut Guest<'_>, out: u32) -> Called {
    let level = guest.data().env.host.log_level();
    give_u32(guest, out, level.to_abi())
}

pub(super) fn now(guest: &mut Guest<'_>, out: u32) -> Called {
    let (memory, state) = split(guest)?;
    let since = state.env.host.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(write_u64(memory, out, nanoseconds(since))?)
}

/// Ticks with this period; 0 is no more ticks.
pub(super) fn set_tick_period(guest: &mut Guest<'_>, period: u32) -> Called {
    let state = guest.data_mut();
    let shortest = state.env.config.limits.tick_period;
    let period = (period > 0).then(|| Duration::from_millis(u64::from(period)).max(shortest));
    state.set_ticks(period);
    Ok(())
}

/// Logs what a guest wrote, cut at the limit of a line.
pub(super) fn write_log_bytes(state: &mut State, level: LogLevel, bytes: &[u8]) {
    let most = state.env.config.limits.log_line;
    let cut = &bytes[..bytes.len().min(most)];
    if cut.len() < bytes.len() {
        state.limit_reached(LimitKind::LogLine);
    }
    write_log(state, level, &valid_start(cut));
}

pub(super) fn write_log(state: &mut State, level: LogLevel, message: &str) {
    let env = &state.env;
    if level < env.host.log_level() {
        return;
    }
    match state.logs.count(env.host.monotonic(), env.config.limits.logs_per_second) {
        LogVerdict::Write { dropped } => {
            if dropped > 0 {
                env.host.log(
                    &env.name,
                    LogLevel::Warn,
                    &format!("{dropped} log lines dropped: limits.logs_per_second"),
                );
            }
            env.host.log(&env.name, level, message);
        }
        LogVerdict::Drop => state.limit_reached(LimitKind::LogRate),
    }
}

/// Text, without the half character that a cut may leave at the end.
fn valid_start(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(&bytes[..error.valid_up_to()]),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_character_is_left_out_and_other_bytes_are_replaced() {
        assert_eq!(valid_start("grün".as_bytes()), "grün");
        assert_eq!(valid_start(&"grün".as_bytes()[..3]), "gr");
        assert_eq!(valid_start(b"a\xffb"), "a\u{fffd}b");
    }
}
