//! One instance of a module: its start, the calls into it, and its end. Synchronous: what awaits is the stream's part
//! and the tasks'. A trap ends the instance, never the worker.

mod exports;
mod held;
mod phases;
mod slots;
mod start;
mod state;
mod tasks;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use wasmtime::{Store, Trap, TypedFunc, WasmParams, WasmResults};

pub use state::State;

pub(crate) use exports::Exports;
pub(crate) use held::Held;
pub(crate) use phases::{BodyStep, Settled, Step, joined, to_u32};
pub(crate) use slots::{Life, ROOT, Slot};
pub(crate) use state::{Call, Env, Guest, LogVerdict, Task};

use crate::attributes::StreamInfo;
use crate::host::LogLevel;
use crate::outcome::{FailureKind, FilterFailure};
use crate::shared::LimitKind;

/// Most streams of an instance that may ask for time in `proxy_on_done`; more are deleted at once.
const LINGERING_MAX: usize = 256;

/// A started instance. Streams, and the plugin while it is in service, hold it.
pub(crate) struct Instance {
    inner: RefCell<Inner>,
    exports: Exports,
    pub(crate) env: Rc<Env>,
    /// Streams that were served to their end.
    served: Cell<u64>,
    /// Set with `Inner::Dead`; here so that asking needs no borrow.
    dead: Cell<bool>,
    /// Streams that lingered are being deleted.
    deleting: Cell<bool>,
}

enum Inner {
    // Boxed: a store is large, and moves when the instance dies.
    Live(Box<Store<State>>),
    /// The guest is gone, and its memory; what streams had lent to it is still there to be taken back.
    Dead {
        state: Box<State>,
        failure: FilterFailure,
    },
    /// Between the two.
    Ending,
}

// === impl Inner ===

impl Inner {
    fn state(&mut self) -> Option<&mut State> {
        match self {
            Self::Live(store) => Some(store.data_mut()),
            Self::Dead { state, .. } => Some(state),
            Self::Ending => None,
        }
    }
}

// === impl Instance ===

impl Instance {
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.get()
    }

    /// Streams served to their end: a sign of health.
    pub(crate) fn served(&self) -> u64 {
        self.served.get()
    }

    pub(crate) fn streams(&self) -> usize {
        self.with_state(|state| state.slots.live()).unwrap_or(0)
    }

    /// Creates a stream's context.
    pub(crate) fn open(&self, info: Rc<dyn StreamInfo>) -> Result<u32, FilterFailure> {
        let most = self.env.config.limits.streams;
        let id = self.with_state(|state| state.slots.insert(info, most)).flatten().ok_or_else(|| {
            self.env.shared.counters.limit_reached(LimitKind::Streams);
            self.failure(FailureKind::Unavailable, "the instance serves as many streams as it may")
        })?;
        if let Some(create) = &self.exports.context_create
            && let Err(failure) = self.call(id, create, (id, ROOT))
        {
            self.forget(id);
            return Err(failure);
        }
        Ok(id)
    }

    /// Ends a stream's context: log, done, delete, which is Envoy's order.
    pub(crate) fn close(&self, id: u32) {
        let ended = self.try_close(id);
        match ended {
            Ok(Life::Lingering) => {}
            Ok(Life::Open | Life::Ending) => {
                self.served.set(self.served.get() + u64::from(!self.is_dead()));
                self.forget(id);
            }
            // The failure was counted and logged, and the stream is at its end anyhow.
            Err(_) => self.forget(id),
        }
    }

    fn try_close(&self, id: u32) -> Result<Life, FilterFailure> {
        if self.is_dead() {
            return Ok(Life::Ending);
        }
        self.with_slot(id, |slot, calls| {
            // The client left while the filter was waiting for an answer, which nobody needs any more. Calls that no
            // stream waited for go on: filters send logs and audits so.
            if slot.request.paused || slot.response.paused {
                calls.end_of(id);
            }
            slot.request.body_open = false;
            slot.response.body_open = false;
        });
        if let Some(log) = &self.exports.log {
            self.call(id, log, id)?;
        }
        if let Some(done) = &self.exports.done {
            let wants_time = self.call(id, done, id)? == 0;
            if wants_time && self.linger(id) {
                return Ok(Life::Lingering);
            }
        }
        if let Some(delete) = &self.exports.delete {
            self.call(id, delete, id)?;
        }
        Ok(Life::Ending)
    }

    fn linger(&self, id: u32) -> bool {
        self.with_state(|state| {
            let room = state.slots.lingering() < LINGERING_MAX;
            match state.slots.get_mut(id) {
                // With `proxy_done` said already there is nothing to wait for.
                Some(slot) if room && !slot.done => {
                    slot.life = Life::Lingering;
                    true
                }
                _ => false,
            }
        })
        .unwrap_or(false)
    }

    /// Deletes the streams that lingered and said `proxy_done`. Not by recursion: deleting one may say it of others.
    fn delete_done(&self) {
        if self.deleting.replace(true) {
            return;
        }
        while let Some(id) = self.with_state(|state| state.done.pop()).flatten() {
            self.with_slot(id, |slot, _| slot.life = Life::Ending);
            if let Some(delete) = &self.exports.delete {
                // A trap was counted and logged by `call`; the stream ended long ago.
                let deleted = self.call(id, delete, id);
                drop(deleted);
            }
            self.forget(id);
        }
        self.deleting.set(false);
    }

    fn forget(&self, id: u32) {
        self.with_state(|state| {
            state.slots.remove(id);
            // The last stream that is left may have counted on this one to be resumed.
            if state.slots.live() == 1 {
                state.slots.wake_all();
            }
        });
    }

    /// Calls the guest, with `context` as the one that host functions act on. A trap ends the instance.
    pub(crate) fn call<P: WasmParams, R: WasmResults>(
        &self,
        context: u32,
        func: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, FilterFailure> {
        self.call_within(self.env.config.limits.time_per_call, context, func, params)
    }

    fn call_within<P: WasmParams, R: WasmResults>(
        &self,
        allowed: Duration,
        context: u32,
        func: &TypedFunc<P, R>,
        params: P,
    ) -> Result<R, FilterFailure> {
        let mut inner = self.inner.borrow_mut();
        let store = match &mut *inner {
            Inner::Live(store) => store,
            Inner::Dead { failure, .. } => return Err(self.lost(failure)),
            Inner::Ending => return Err(self.failure(FailureKind::InstanceLost, "the instance is ending")),
        };
        let state = store.data_mut();
        state.effective = context;
        state.limiter.refused = false;
        state.deadline = state::Deadline::of(allowed);
        store.set_epoch_deadline(1);
        match func.call(&mut **store, params) {
            Ok(result) => {
                let anything_done = !store.data().done.is_empty();
                drop(inner);
                if anything_done {
                    self.delete_done();
                }
                Ok(result)
            }
            Err(error) => {
                let failure = self.classify(&error, store.data().limiter.refused);
                self.end(&mut inner, failure.clone());
                Err(failure)
            }
        }
    }

    /// The guest is gone: its memory is freed now, whoever still holds streams of it.
    fn end(&self, inner: &mut Inner, failure: FilterFailure) {
        self.dead.set(true);
        if let Inner::Live(store) = std::mem::replace(inner, Inner::Ending) {
            let mut state = Box::new(store.into_data());
            state.guest = None;
            crate::hostcalls::flush_output(&mut state);
            state.end_tasks();
            state.slots.wake_all();
            *inner = Inner::Dead { state, failure };
        }
    }

    fn classify(&self, error: &wasmtime::Error, memory_refused: bool) -> FilterFailure {
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => FailureKind::Deadline,
            _ if memory_refused => FailureKind::Memory,
            _ => FailureKind::Trap,
        };
        if kind == FailureKind::Deadline {
            self.env.shared.counters.limit_reached(LimitKind::Time);
        }
        let failure = self.failure(kind, &format!("{error:#}"));
        self.env.report(&failure);
        failure
    }

    fn lost(&self, cause: &FilterFailure) -> FilterFailure {
        self.env.shared.counters.failed(FailureKind::InstanceLost);
        let message = format!("another stream ended its instance: {}: {}", cause.kind.name(), cause.message);
        self.failure(FailureKind::InstanceLost, &message)
    }

    fn failure(&self, kind: FailureKind, message: &str) -> FilterFailure {
        self.env.failure(kind, message)
    }

    /// None only while the instance is being ended.
    pub(crate) fn with_state<R>(&self, work: impl FnOnce(&mut State) -> R) -> Option<R> {
        self.inner.borrow_mut().state().map(work)
    }

    pub(crate) fn with_slot<R>(&self, id: u32, work: impl FnOnce(&mut Slot, &mut state::Calls) -> R) -> Option<R> {
        let mut inner = self.inner.borrow_mut();
        let state = inner.state()?;
        state.slots.get_mut(id).map(|slot| work(slot, &mut state.calls))
    }
}

impl Env {
    pub(crate) fn failure(&self, kind: FailureKind, message: &str) -> FilterFailure {
        FilterFailure { filter: Rc::clone(&self.name), kind, message: message.into() }
    }

    /// Counts a failure and logs it, within the rate of log lines: a filter that fails with every request must not
    /// flood the log either.
    fn report(&self, failure: &FilterFailure) {
        self.shared.counters.failed(failure.kind);
        let verdict = self.failure_logs.borrow_mut().count(self.host.monotonic(), self.config.limits.logs_per_second);
        match verdict {
            LogVerdict::Write { .. } => self.host.log(&self.name, LogLevel::Error, &failure.message),
            LogVerdict::Drop => self.shared.counters.limit_reached(LimitKind::LogRate),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // The root context's end. That it may ask for time is not honoured: nothing is left that would wait.
        if let Some(done) = self.exports.done.as_ref().filter(|_| !self.is_dead()) {
            let ended = self.call(ROOT, done, ROOT);
            drop(ended);
        }
        if let Some(delete) = self.exports.delete.as_ref().filter(|_| !self.is_dead()) {
            let ended = self.call(ROOT, delete, ROOT);
            drop(ended);
        }
        // Tasks end with the state.
    }
}
