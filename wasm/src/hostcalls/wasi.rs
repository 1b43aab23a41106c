//! The calls of WASI preview 1 that guest toolchains make: output goes to the log, there are no arguments, variables
//! or files, and nothing ever sleeps.

use wasmtime::{Linker, bail};

use super::memory::{read_u32, slice, slice_mut, split, write_u32, write_u64};
use super::system::write_log_bytes;
use super::{Guest, Status};
use crate::attributes::nanoseconds;
use crate::host::LogLevel;
use crate::instance::State;

/// What WASI calls an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errno {
    BadFile = 8,
    Invalid = 28,
    BadAddress = 21,
    CannotSeek = 70,
}

impl From<Status> for Errno {
    fn from(_: Status) -> Self {
        Self::BadAddress
    }
}

/// Most bytes of one `random_get`.
const RANDOM_BYTES_MAX: u32 = 64 << 10;
/// Most bytes that one `fd_write` takes.
const WRITE_BYTES_MAX: u32 = 64 << 10;
/// Most pieces of one `fd_write` and subscriptions of one `poll_oneoff`.
const LIST_MAX: u32 = 1024;
/// Sizes of the records of preview 1.
const IOVEC_BYTES: u32 = 8;
const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;
const FDSTAT_BYTES: u32 = 24;

const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const CLOCK_REALTIME: u32 = 0;
/// The type of a character device, for the standard streams.
const CHARACTER_DEVICE: u8 = 2;

type Wasi = Result<(), Errno>;

macro_rules! wasi_functions {
    ($($name:literal = $function:path, ($($arg:ident: $ty:ty),*);)*) => {
        /// Defines the functions in one of the two modules that guests import them from.
        pub(crate) fn register(linker: &mut Linker<State>, module: &str) -> wasmtime::Result<()> {
            $(linker.func_wrap(module, $name, |mut guest: Guest<'_>, $($arg: $ty),*| -> u32 {
                $function(&mut guest, $($arg),*).map_or_else(|errno| errno as u32, |()| 0)
            })?;)*
            linker.func_wrap(module, "proc_exit", |code: u32| -> wasmtime::Result<()> {
                bail!("the guest ended itself: proc_exit({code})")
            })?;
            Ok(())
        }

        pub(crate) const NAMES: &[&str] = &["proc_exit", $($name),*];
    };
}

wasi_functions! {
    "args_get" = empty_list, (list: u32, bytes: u32);
    "args_sizes_get" = empty_sizes, (out_count: u32, out_bytes: u32);
    "environ_get" = empty_list, (list: u32, bytes: u32);
    "environ_sizes_get" = empty_sizes, (out_count: u32, out_bytes: u32);
    "clock_res_get" = clock_resolution, (clock: u32, out: u32);
    "clock_time_get" = clock_time, (clock: u32, precision: u64, out: u32);
    "random_get" = random, (at: u32, len: u32);
    "sched_yield" = sched_yield, ();
    "poll_oneoff" = poll, (subscriptions: u32, out: u32, count: u32, out_count: u32);
    "fd_write" = write, (file: u32, pieces: u32, count: u32, out: u32);
    "fd_close" = close, (file: u32);
    "fd_seek" = seek, (file: u32, offset: u64, whence: u32, out: u32);
    "fd_fdstat_get" = file_status, (file: u32, out: u32);
    "fd_fdstat_set_flags" = set_flags, (file: u32, flags: u32);
    "fd_prestat_get" = no_directory, (file: u32, out: u32);
    "fd_prestat_dir_name" = no_directory_name, (file: u32, at: u32, len: u32);
}

fn empty_list(_: &mut Guest<'_>, _list: u32, _bytes: u32) -> Wasi {
    Ok(())
}

fn empty_sizes(guest: &mut Guest<'_>, out_count: u32, out_bytes: u32) -> Wasi {
    let (memory, _) = split(guest)?;
    write_u32(memory, out_count, 0)?;
    Ok(write_u32(memory, out_bytes, 0)?)
}

fn clock_resolution(guest: &mut Guest<'_>, _clock: u32, out: u32) -> Wasi {
    let (memory, _) = split(guest)?;
    Ok(write_u64(memory, out, 1)?)
}

fn clock_time(guest: &mut Guest<'_>, clock: u32, _precision: u64, out: u32) -> Wasi {
    let (memory, state) = split(guest)?;
    let time = match clock {
        CLOCK_REALTIME => state.env.host.now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default(),
        _ => state.env.host.monotonic(),
    };
    // Go's runtime takes a clock that stands at zero for a broken one.
    Ok(write_u64(memory, out, nanoseconds(time).max(1))?)
}

fn random(guest: &mut Guest<'_>, at: u32, len: u32) -> Wasi {
    let (memory, state) = split(guest)?;
    if len > RANDOM_BYTES_MAX {
        return Err(Errno::Invalid);
    }
    state.env.host.random(slice_mut(memory, at, len)?);
    Ok(())
}

fn sched_yield(_: &mut Guest<'_>) -> Wasi {
    Ok(())
}

/// All subscriptions are said to have happened: the guest looks at the clock itself and asks again, within its
/// deadline. A worker never sleeps for a guest.
fn poll(guest: &mut Guest<'_>, subscriptions: u32, out: u32, count: u32, out_count: u32) -> Wasi {
    let (memory, _) = split(guest)?;
    if count == 0 || count > LIST_MAX {
        return Err(Errno::Invalid);
    }
    for index in 0..count {
        let at = subscriptions.checked_add(index * SUBSCRIPTION_BYTES).ok_or(Errno::BadAddress)?;
        let subscription = slice(memory, at, SUBSCRIPTION_BYTES)?;
        // The caller's own mark, and which kind of event it asked for; no error, no bytes.
        let mut event = [0; EVENT_BYTES as usize];
        event[..8].copy_from_slice(&subscription[..8]);
        event[10] = subscription[8];
        let at = out.checked_add(index * EVENT_BYTES).ok_or(Errno::BadAddress)?;
        slice_mut(memory, at, EVENT_BYTES)?.copy_from_slice(&event);
    }
    Ok(write_u32(memory, out_count, count)?)
}

/// Standard output is logged as `info`, standard error as `error`, line by line. What is written past
/// [`WRITE_BYTES_MAX`] is left to the guest's next call, as POSIX allows.
fn write(guest: &mut Guest<'_>, file: u32, pieces: u32, count: u32, out: u32) -> Wasi {
    let (memory, state) = split(guest)?;
    if file != STDOUT && file != STDERR {
        return Err(Errno::BadFile);
    }
    if count > LIST_MAX {
        return Err(Errno::Invalid);
    }
    let mut written: u32 = 0;
    for index in 0..count {
        let at = pieces.checked_add(index * IOVEC_BYTES).ok_or(Errno::BadAddress)?;
        let after = at.checked_add(4).ok_or(Errno::BadAddress)?;
        let (start, len) = (read_u32(memory, at)?, read_u32(memory, after)?);
        slice(memory, start, len)?;
        let len = len.min(WRITE_BYTES_MAX - written);
        print(state, file, slice(memory, start, len)?);
        written += len;
    }
    Ok(write_u32(memory, out, written)?)
}

/// Gathers output until a line is whole: Go's runtime writes a line in many pieces.
fn print(state: &mut State, file: u32, bytes: &[u8]) {
    // One byte more than a line may have, so that it is seen to be cut.
    let most = state.env.config.limits.log_line.saturating_add(1);
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = part.strip_suffix(b"\n").unwrap_or(part);
        let line = state.output.line(file == STDERR);
        line.extend_from_slice(&text[..text.len().min(most.saturating_sub(line.len()))]);
        if text.len() < part.len() {
            let whole = std::mem::take(line);
            flush(state, file == STDERR, &whole);
        }
    }
}

/// Logs what the guest has written without ending the line: it will not, any more.
pub(crate) fn flush_output(state: &mut State) {
    for is_error in [false, true] {
        let rest = std::mem::take(state.output.line(is_error));
        flush(state, is_error, &rest);
    }
}

fn flush(state: &mut State, is_error: bool, line: &[u8]) {
    if !line.is_empty() {
        write_log_bytes(state, if is_error { LogLevel::Error } else { LogLevel::Info }, line);
    }
}

fn close(_: &mut Guest<'_>, file: u32) -> Wasi {
    standard(file)
}

fn seek(_: &mut Guest<'_>, file: u32, _offset: u64, _whence: u32, _out: u32) -> Wasi {
    standard(file)?;
    Err(Errno::CannotSeek)
}

fn file_status(guest: &mut Guest<'_>, file: u32, out: u32) -> Wasi {
    standard(file)?;
    let (memory, _) = split(guest)?;
    let status = slice_mut(memory, out, FDSTAT_BYTES)?;
    status.fill(0);
    status[0] = CHARACTER_DEVICE;
    Ok(())
}

fn set_flags(_: &mut Guest<'_>, file: u32, _flags: u32) -> Wasi {
    standard(file)
}

fn no_directory(_: &mut Guest<'_>, _file: u32, _out: u32) -> Wasi {
    Err(Errno::BadFile)
}

fn no_directory_name(_: &mut Guest<'_>, _file: u32, _at: u32, _len: u32) -> Wasi {
    Err(Errno::BadFile)
}

fn standard(file: u32) -> Wasi {
    if [STDIN, STDOUT, STDERR].contains(&file) { Ok(()) } else { Err(Errno::BadFile) }
}
