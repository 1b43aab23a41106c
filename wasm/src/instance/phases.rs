//! The phases of a stream, as one synchronous step each: call the guest, then see what it decided. What a pause waits
//! for is polled here too. Never awaits.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::exports::HeadersFn;
use super::slots::Slot;
use super::{Inner, Instance};
use crate::outcome::{Direction, EndOfStream, FailureKind, FilterFailure, LocalResponse};
use crate::shared::LimitKind;

/// What was decided about a phase.
#[derive(Debug)]
pub(crate) enum Settled {
    Continue,
    Respond(Box<LocalResponse>),
    Reset,
    Failed(FilterFailure),
}

/// What comes of a headers or trailers callback.
#[derive(Debug)]
pub(crate) enum Step {
    Settled(Settled),
    Paused,
}

/// What comes of a body callback.
#[derive(Debug)]
pub(crate) enum BodyStep {
    Forward(Bytes),
    /// These bytes were released before, and may go; the rest is held.
    Hold(Bytes),
    /// The end is held: wait for a decision, then forward these bytes and all that is held.
    Wait(Bytes),
    Settled(Settled),
}

/// What a body callback returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyAction {
    Continue,
    Hold,
    /// The guest has consumed what it saw.
    Consume,
}

impl BodyAction {
    fn from_abi(action: u32) -> Self {
        match action {
            0 => Self::Continue,
            3 => Self::Consume,
            _ => Self::Hold,
        }
    }
}

/// Whether a headers callback lets the stream go on: 0 does, and so does 2 ("continue and end the stream"), whose end
/// the engine sees by itself. All other values stop everything, as in Envoy.
fn headers_continue(action: u32) -> bool {
    matches!(action, 0 | 2)
}

impl Instance {
    pub(crate) fn headers(&self, id: u32, direction: Direction, count: usize, end: EndOfStream) -> Step {
        let Some(func) = &self.exports.side(direction).headers else { return Step::Settled(Settled::Continue) };
        self.with_slot(id, |slot, _| slot.side(direction).resumed = false);
        let count = to_u32(count);
        let action = match func {
            HeadersFn::WithEnd(func) => self.call(id, func, (id, count, end.to_abi())),
            HeadersFn::WithoutEnd(func) => self.call(id, func, (id, count)),
        };
        self.step(id, direction, action.map(headers_continue))
    }

    pub(crate) fn trailers(&self, id: u32, direction: Direction, count: usize) -> Step {
        let Some(func) = &self.exports.side(direction).trailers else { return Step::Settled(Settled::Continue) };
        self.with_slot(id, |slot, _| slot.side(direction).resumed = false);
        let action = self.call(id, func, (id, to_u32(count)));
        self.step(id, direction, action.map(|action| action == 0))
    }

    fn step(&self, id: u32, direction: Direction, goes_on: Result<bool, FilterFailure>) -> Step {
        let goes_on = match goes_on {
            Ok(goes_on) => goes_on,
            Err(failure) => return Step::Settled(Settled::Failed(failure)),
        };
        self.with_slot(id, |slot, _| {
            if let Some(decided) = take_decision(slot) {
                return Step::Settled(decided);
            }
            let side = slot.side(direction);
            if goes_on || std::mem::take(&mut side.resumed) {
                side.paused = false;
                Step::Settled(Settled::Continue)
            } else {
                side.paused = true;
                Step::Paused
            }
        })
        .unwrap_or_else(|| Step::Settled(Settled::Failed(self.gone())))
    }

    pub(crate) fn body(&self, id: u32, direction: Direction, piece: Bytes, end: EndOfStream) -> BodyStep {
        let Some(func) = &self.exports.side(direction).body else { return BodyStep::Forward(piece) };
        if let Some(lost) = self.lost_failure() {
            // The piece is kept for `take_held`, like all that the filter was given.
            self.with_slot(id, |slot, _| slot.side(direction).body.push(piece));
            return BodyStep::Settled(Settled::Failed(lost));
        }
        let pushed = self.with_slot(id, |slot, _| {
            let side = slot.side(direction);
            // What the guest let go between two pieces is not its business any more.
            let released = if std::mem::take(&mut side.resumed) { side.body.take() } else { Bytes::new() };
            side.body.push(piece);
            side.body_open = true;
            (released, side.body.len())
        });
        let Some((released, size)) = pushed else { return BodyStep::Settled(Settled::Failed(self.gone())) };
        let action = match self.call(id, func, (id, to_u32(size), end.to_abi())) {
            Ok(action) => BodyAction::from_abi(action),
            Err(failure) => {
                self.with_slot(id, |slot, _| give_back(slot, direction, released));
                return BodyStep::Settled(Settled::Failed(failure));
            }
        };
        let settled = self.with_slot(id, |slot, _| {
            let step = settle_body(slot, direction, action, end, released);
            (step, slot.side(direction).body.len())
        });
        match settled {
            // What passes may be of any size; what is held may not.
            Some((_, held)) if held > self.env.config.limits.body_buffer => {
                BodyStep::Settled(Settled::Failed(self.too_large(direction, held)))
            }
            Some((step, _)) => step,
            None => BodyStep::Settled(Settled::Failed(self.gone())),
        }
    }

    /// What was decided about a paused direction; registers the waker otherwise.
    pub(crate) fn poll_settled(&self, id: u32, direction: Direction, cx: &mut Context<'_>) -> Poll<Settled> {
        let stuck = match self.poll_decision(id, direction, cx) {
            Poll::Ready(settled) => return Poll::Ready(settled),
            Poll::Pending => self.with_state(|state| !state.can_resume()).unwrap_or(true),
        };
        if !stuck {
            return Poll::Pending;
        }
        let failure = self.failure(FailureKind::Stuck, "it paused with no HTTP call, tick, queue or other stream left");
        self.env.report(&failure);
        Poll::Ready(Settled::Failed(failure))
    }

    /// As [`Instance::poll_settled`], where more of the message may come that lets the guest go on.
    pub(crate) fn poll_decision(&self, id: u32, direction: Direction, cx: &mut Context<'_>) -> Poll<Settled> {
        if let Some(lost) = self.lost_failure() {
            return Poll::Ready(Settled::Failed(lost));
        }
        self.with_slot(id, |slot, _| {
            if let Some(decided) = take_decision(slot) {
                return Poll::Ready(decided);
            }
            let side = slot.side(direction);
            if std::mem::take(&mut side.resumed) {
                side.paused = false;
                return Poll::Ready(Settled::Continue);
            }
            side.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .unwrap_or_else(|| Poll::Ready(Settled::Failed(self.gone())))
    }

    /// What the guest holds back of a body, which is then its own no more.
    pub(crate) fn take_body(&self, id: u32, direction: Direction) -> Bytes {
        self.with_slot(id, |slot, _| {
            let side = slot.side(direction);
            side.body_open = false;
            side.body.take()
        })
        .unwrap_or_default()
    }

    fn lost_failure(&self) -> Option<FilterFailure> {
        if !self.is_dead() {
            return None;
        }
        match &*self.inner.borrow() {
            Inner::Dead { failure, .. } => Some(self.lost(failure)),
            Inner::Live(_) | Inner::Ending => None,
        }
    }

    fn too_large(&self, direction: Direction, size: usize) -> FilterFailure {
        self.env.shared.counters.limit_reached(LimitKind::BodyBuffer);
        let most = self.env.config.limits.body_buffer;
        let message = format!("it holds {size} bytes of a body, more than the {most} of limits.body_buffer");
        let failure = self.failure(FailureKind::BodyTooLarge(direction), &message);
        self.env.report(&failure);
        failure
    }

    fn gone(&self) -> FilterFailure {
        self.failure(FailureKind::InstanceLost, "the stream has ended")
    }
}

/// What the guest decided by a host call, if anything: it outranks what the callback returned.
fn take_decision(slot: &mut Slot) -> Option<Settled> {
    if let Some(response) = slot.local_response.take() {
        return Some(Settled::Respond(response));
    }
    std::mem::take(&mut slot.reset).then_some(Settled::Reset)
}

fn settle_body(
    slot: &mut Slot,
    direction: Direction,
    action: BodyAction,
    end: EndOfStream,
    released: Bytes,
) -> BodyStep {
    if let Some(decided) = take_decision(slot) {
        return BodyStep::Settled(decided);
    }
    let side = slot.side(direction);
    if action == BodyAction::Continue || std::mem::take(&mut side.resumed) {
        side.paused = false;
        side.body_open = false;
        return BodyStep::Forward(joined(released, side.body.take()));
    }
    if action == BodyAction::Consume {
        side.body.take();
    }
    side.paused = true;
    match end {
        EndOfStream::No => BodyStep::Hold(released),
        EndOfStream::Yes => BodyStep::Wait(released),
    }
}

fn give_back(slot: &mut Slot, direction: Direction, released: Bytes) {
    let body = &mut slot.side(direction).body;
    let held = body.take();
    body.push(released);
    body.push(held);
}

pub(crate) fn joined(first: Bytes, second: Bytes) -> Bytes {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (_, true) => first,
        _ => [first, second].concat().into(),
    }
}

pub(crate) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
