//! What host functions work on: the store's data of one instance. Never calls the guest.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::AbortHandle;
use wasmtime::{Memory, ResourceLimiter, TypedFunc, UpdateDeadline};

use super::Instance;
use super::slots::{ROOT, Slot, Slots};
use crate::config::FilterConfig;
use crate::host::{CallResponse, Host};
use crate::shared::{FilterShared, LimitKind, Metric};

/// What all instances of one plugin use.
pub(crate) struct Env {
    pub(crate) name: Rc<str>,
    pub(crate) config: Arc<FilterConfig>,
    pub(crate) host: Rc<dyn Host>,
    pub(crate) shared: Arc<FilterShared>,
    /// Log lines about failures, which are the host's own and have a rate of their own.
    pub(crate) failure_logs: RefCell<LogRate>,
}

/// The store's data of one instance.
pub struct State {
    pub(crate) env: Rc<Env>,
    /// For tasks that come back to this instance; empty until it is made.
    pub(crate) instance: Weak<Instance>,
    pub(crate) guest: Option<Guest>,
    pub(crate) limiter: Limiter,
    /// Of the call that runs.
    pub(crate) deadline: Deadline,
    pub(crate) slots: Slots,
    /// The context that host functions act on: the callback's, until the guest sets another.
    pub(crate) effective: u32,
    pub(crate) calls: Calls,
    /// The answer that `proxy_on_http_call_response` is being called with.
    pub(crate) call_response: Option<CallResponse>,
    /// Streams that said `proxy_done` and are to be deleted after the callback.
    pub(crate) done: Vec<u32>,
    pub(crate) ticks: Ticks,
    pub(crate) logs: LogRate,
    pub(crate) output: Output,
    pub(crate) metrics: HashMap<u32, Arc<Metric>>,
    /// Queues that this instance is told about.
    pub(crate) queues: Vec<(u32, Task)>,
    /// Kept between host calls, so that most need no allocation.
    pub(crate) scratch: Vec<u8>,
}

/// What of the guest the host reaches from inside a host function.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) memory: Memory,
    /// Not there while it runs.
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
}

/// How long a call into the guest may take. Read at ticks of the engine's clock alone, so that the many calls during which
/// none comes read no clock.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    allowed: Duration,
    /// The first tick during the call.
    since: Option<Instant>,
}

/// HTTP calls that are awaited.
#[derive(Default)]
pub(crate) struct Calls {
    last_token: u32,
    pending: HashMap<u32, Call>,
}

/// An HTTP call that is awaited; dropping it ends it.
pub(crate) struct Call {
    pub(crate) context: u32,
    #[expect(dead_code, reason = "held to be dropped")]
    pub(crate) task: Task,
}

/// A task of the instance; dropping this ends it.
#[derive(Debug)]
pub(crate) struct Task(pub(crate) AbortHandle);

/// Ticks, while there is a period.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    pub(crate) period: Option<Duration>,
    pub(crate) task: Option<Task>,
}

/// Counts log lines by the second.
#[derive(Debug, Default)]
pub(crate) struct LogRate {
    second: u64,
    lines: u32,
    dropped: u64,
}

/// Output of the guest whose line has not ended yet.
#[derive(Debug, Default)]
pub(crate) struct Output {
    output: Vec<u8>,
    error: Vec<u8>,
}

/// What to do with a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogVerdict {
    /// Write it, and say first how many were dropped before it.
    Write {
        dropped: u64,
    },
    Drop,
}

/// Keeps an instance's memory within its limit.
pub(crate) struct Limiter {
    memory_max: usize,
    shared: Arc<FilterShared>,
    pub(crate) refused: bool,
}

// === impl State ===

impl State {
    pub(crate) fn new(env: Rc<Env>) -> Self {
        let limiter = Limiter { memory_max: env.config.limits.memory, shared: Arc::clone(&env.shared), refused: false };
        Self {
            env,
            instance: Weak::new(),
            guest: None,
            limiter,
            deadline: Deadline::default(),
            slots: Slots::default(),
            effective: ROOT,
            calls: Calls::default(),
            call_response: None,
            done: Vec::new(),
            ticks: Ticks::default(),
            logs: LogRate::default(),
            output: Output::default(),
            metrics: HashMap::new(),
            queues: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The stream that host functions act on; none for the root context.
    pub(crate) fn slot(&mut self) -> Option<&mut Slot> {
        self.slots.get_mut(self.effective)
    }

    pub(crate) fn limit_reached(&self, kind: LimitKind) {
        self.env.shared.counters.limit_reached(kind);
    }

    /// Ends all that would come back to the guest.
    pub(crate) fn end_tasks(&mut self) {
        self.calls.pending.clear();
        self.queues.clear();
        self.ticks = Ticks::default();
    }

    /// Whether anything is left that could resume a paused stream: an answer, a tick, a queue, or another stream.
    pub(crate) fn can_resume(&self) -> bool {
        !self.calls.pending.is_empty()
            || self.ticks.period.is_some()
            || !self.queues.is_empty()
            || self.slots.live() > 1
    }
}

// === impl Deadline ===

impl Deadline {
    /// For a call that begins now.
    pub(crate) fn of(allowed: Duration) -> Self {
        Self { allowed, since: None }
    }

    /// What a tick means for the call: never its end before the time that is allowed.
    pub(crate) fn tick(&mut self) -> UpdateDeadline {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) >= self.allowed { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) }
    }
}

// === impl Calls ===

impl Calls {
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// A token that no awaited call has.
    pub(crate) fn next_token(&mut self) -> u32 {
        loop {
            self.last_token = self.last_token.wrapping_add(1);
            if self.last_token != 0 && !self.pending.contains_key(&self.last_token) {
                return self.last_token;
            }
        }
    }

    pub(crate) fn insert(&mut self, token: u32, call: Call) {
        self.pending.insert(token, call);
    }

    pub(crate) fn remove(&mut self, token: u32) -> Option<u32> {
        self.pending.remove(&token).map(|call| call.context)
    }

    pub(crate) fn end_of(&mut self, context: u32) {
        self.pending.retain(|_, call| call.context != context);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Output ===

impl Output {
    pub(crate) fn line(&mut self, is_error: bool) -> &mut Vec<u8> {
        if is_error { &mut self.error } else { &mut self.output }
    }
}

// === impl LogRate ===

impl LogRate {
    pub(crate) fn count(&mut self, now: Duration, most: u32) -> LogVerdict {
        if self.second != now.as_secs() {
            self.second = now.as_secs();
            self.lines = 0;
        }
        if self.lines >= most {
            self.dropped += 1;
            return LogVerdict::Drop;
        }
        self.lines += 1;
        LogVerdict::Write { dropped: std::mem::take(&mut self.dropped) }
    }
}

// === impl Limiter ===

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= self.memory_max;
        if !allowed {
            self.refused = true;
            self.shared.counters.limit_reached(LimitKind::Memory);
        }
        Ok(allowed)
    }

    fn table_growing(&mut self, _current: usize, _desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds tables for all instances alike.
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_past_the_rate_are_dropped_and_their_number_is_told() {
        let mut rate = LogRate::default();
        let at = Duration::from_secs;
        assert_eq!(rate.count(at(1), 2), LogVerdict::Write { dropped: 0 });
        assert_eq!(rate.count(at(1), 2), LogVerdict::Write { dropped: 0 });
        assert_eq!(rate.count(at(1), 2), LogVerdict::Drop);
        assert_eq!(rate.count(at(1), 2), LogVerdict::Drop);
        assert_eq!(rate.count(at(2), 2), LogVerdict::Write { dropped: 2 });
        assert_eq!(rate.count(at(2), 2), LogVerdict::Write { dropped: 0 });
    }

    #[test]
    fn a_call_is_never_ended_before_its_time() {
        let mut long = Deadline::of(Duration::from_secs(3600));
        for _ in 0..3 {
            assert!(matches!(long.tick(), UpdateDeadline::Continue(1)));
        }
        let mut short = Deadline::of(Duration::from_millis(2));
        assert!(matches!(short.tick(), UpdateDeadline::Continue(1)), "the first tick may come at once");
        std::thread::sleep(Duration::from_millis(2));
        assert!(matches!(short.tick(), UpdateDeadline::Interrupt));
    }

    #[test]
    fn tokens_skip_zero_and_those_in_use() {
        let mut calls = Calls { last_token: u32::MAX - 1, ..Calls::default() };
        let (abort, _) = AbortHandle::new_pair();
        calls.insert(1, Call { context: ROOT, task: Task(abort) });
        assert_eq!(calls.next_token(), u32::MAX);
        assert_eq!(calls.next_token(), 2);
    }
}
