//! One stream in one filter, as the engine drives it: a phase is an async call that is pending while the filter
//! pauses. Never knows what the outcome does to the request.

use std::cell::Cell;
use std::fmt;
use std::future::{Ready, poll_fn, ready};
use std::rc::Rc;

use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture};
use http::HeaderMap;

use crate::head::{Lend, RequestHead, ResponseHead};
use crate::instance::{BodyStep, Instance, Settled, Slot, Step, joined};
use crate::map::MapRef;
use crate::outcome::{BodyOutcome, Direction, EndOfStream, Outcome, TrailersOutcome};

/// A stream that a filter takes part in. Methods take `&self`, so that both directions can be driven at once; each
/// direction is driven by one caller, in order.
///
/// A phase may be dropped while it is pending: what was lent is given back, and the stream can then only be finished.
/// After a failure, `failureMode: Open` may go on without the filter: heads and trailers are back with the caller, as
/// the filter left them, and [`Stream::take_held`] gives what it held of the body.
pub struct Stream {
    instance: Rc<Instance>,
    id: u32,
    finished: Cell<bool>,
}

/// A headers phase whose callback has run: decided, or paused until the filter decides.
pub type Phase<'a> = Either<Ready<Outcome>, LocalBoxFuture<'a, Outcome>>;

/// Whether the engine's choice of a route is still good after the request's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteChoice {
    /// The filter did not say otherwise.
    Kept,
    /// The filter called `clear_route_cache`: match the route again, with the head as it now is.
    Cleared,
}

impl Stream {
    pub(crate) fn new(instance: Rc<Instance>, id: u32) -> Self {
        Self { instance, id, finished: Cell::new(false) }
    }

    /// The request's headers. The filter works on the head itself; it has been called when this returns.
    #[must_use]
    pub fn request_headers<'a, T: Lend<RequestHead> + 'a>(&'a self, head: T, end: EndOfStream) -> Phase<'a> {
        self.headers(Direction::Request, end, Lent::new(self, head, Place::<T>::REQUEST_HEAD))
    }

    /// The response's headers, in the same way.
    #[must_use]
    pub fn response_headers<'a, T: Lend<ResponseHead> + 'a>(&'a self, head: T, end: EndOfStream) -> Phase<'a> {
        self.headers(Direction::Response, end, Lent::new(self, head, Place::<T>::RESPONSE_HEAD))
    }

    fn headers<'a, T: 'a>(&'a self, direction: Direction, end: EndOfStream, lent: Lent<'a, T>) -> Phase<'a> {
        match self.instance.headers(self.id, direction, lent.count, end) {
            Step::Settled(settled) => Either::Left(ready(settled.into())),
            Step::Paused => Either::Right(Box::pin(async move {
                let settled = self.settled(direction).await;
                drop(lent);
                settled.into()
            })),
        }
    }

    /// A piece of the request's body; an empty one may end it.
    pub async fn request_body(&self, piece: Bytes, end: EndOfStream) -> BodyOutcome {
        self.body(Direction::Request, piece, end).await
    }

    /// A piece of the response's body; an empty one may end it.
    pub async fn response_body(&self, piece: Bytes, end: EndOfStream) -> BodyOutcome {
        self.body(Direction::Response, piece, end).await
    }

    /// The request's trailers.
    pub async fn request_trailers(&self, trailers: &mut HeaderMap) -> TrailersOutcome {
        self.trailers(Direction::Request, trailers).await
    }

    /// The response's trailers.
    pub async fn response_trailers(&self, trailers: &mut HeaderMap) -> TrailersOutcome {
        self.trailers(Direction::Response, trailers).await
    }

    /// Pending until the filter releases what it holds of a body, answers, resets or is lost: to be awaited beside the
    /// next piece after [`BodyOutcome::Hold`], and beside the upstream's response. Safe to drop at any time.
    pub async fn released(&self, direction: Direction) -> BodyOutcome {
        match poll_fn(|cx| self.instance.poll_decision(self.id, direction, cx)).await {
            Settled::Continue => BodyOutcome::Forward(self.instance.take_body(self.id, direction)),
            settled => settled.into(),
        }
    }

    /// What the filter holds back of a body, for when it is left out after a failure.
    pub fn take_held(&self, direction: Direction) -> Bytes {
        self.instance.take_body(self.id, direction)
    }

    /// Whether the filter asked, since this was last called, that the route be matched again.
    pub fn take_route_choice(&self) -> RouteChoice {
        let cleared = self.instance.with_slot(self.id, |slot, _| std::mem::take(&mut slot.route_cleared));
        if cleared.unwrap_or(false) { RouteChoice::Cleared } else { RouteChoice::Kept }
    }

    /// The stream is over: the filter logs and forgets it. Attributes of the response must be known by now. Dropping
    /// the stream does the same.
    pub fn finish(&self) {
        if !self.finished.replace(true) {
            self.instance.close(self.id);
        }
    }

    async fn body(&self, direction: Direction, piece: Bytes, end: EndOfStream) -> BodyOutcome {
        match self.instance.body(self.id, direction, piece, end) {
            BodyStep::Forward(bytes) => BodyOutcome::Forward(bytes),
            BodyStep::Hold(released) if released.is_empty() => BodyOutcome::Hold,
            BodyStep::Hold(released) => BodyOutcome::Forward(released),
            BodyStep::Settled(settled) => settled.into(),
            BodyStep::Wait(released) => match self.settled(direction).await {
                Settled::Continue => {
                    BodyOutcome::Forward(joined(released, self.instance.take_body(self.id, direction)))
                }
                settled => settled.into(),
            },
        }
    }

    async fn trailers(&self, direction: Direction, trailers: &mut HeaderMap) -> TrailersOutcome {
        let place = match direction {
            Direction::Request => Place::REQUEST_TRAILERS,
            Direction::Response => Place::RESPONSE_TRAILERS,
        };
        let lent = Lent::new(self, trailers, place);
        let settled = match self.instance.trailers(self.id, direction, lent.count) {
            Step::Settled(settled) => settled,
            Step::Paused => self.settled(direction).await,
        };
        drop(lent);
        match settled {
            Settled::Continue => TrailersOutcome::Continue(self.instance.take_body(self.id, direction)),
            Settled::Respond(response) => TrailersOutcome::Respond(response),
            Settled::Reset => TrailersOutcome::Reset,
            Settled::Failed(failure) => TrailersOutcome::Failed(failure),
        }
    }

    async fn settled(&self, direction: Direction) -> Settled {
        poll_fn(|cx| self.instance.poll_settled(self.id, direction, cx)).await
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("filter", &self.instance.env.name).field("id", &self.id).finish()
    }
}

impl From<Settled> for Outcome {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Continue => Self::Continue,
            Settled::Respond(response) => Self::Respond(response),
            Settled::Reset => Self::Reset,
            Settled::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Of what is no `Continue`: bytes to forward are the caller's.
impl From<Settled> for BodyOutcome {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Continue => Self::Forward(Bytes::new()),
            Settled::Respond(response) => Self::Respond(response),
            Settled::Reset => Self::Reset,
            Settled::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Something of the caller's that is with the filter until this is dropped, however the phase ends.
struct Lent<'a, T> {
    stream: &'a Stream,
    held: T,
    place: Place<T>,
    /// The pairs that the filter is told of.
    count: usize,
}

/// How something is lent to a slot, and given back; `keep`: a copy stays, for later phases and the log.
struct Place<T> {
    /// Says how many pairs there are.
    lend: fn(&mut Slot, &mut T) -> usize,
    give_back: fn(&mut Slot, &mut T, keep: bool),
}

impl<T: Lend<RequestHead>> Place<T> {
    const REQUEST_HEAD: Self = Self {
        lend: |slot, theirs| MapRef::Request(slot.request_head.lend(theirs)).len(),
        give_back: |slot, theirs, keep| slot.request_head.give_back(theirs, keep),
    };
}

impl<T: Lend<ResponseHead>> Place<T> {
    const RESPONSE_HEAD: Self = Self {
        lend: |slot, theirs| MapRef::Response(slot.response_head.lend(theirs)).len(),
        give_back: |slot, theirs, keep| slot.response_head.give_back(theirs, keep),
    };
}

impl Place<&mut HeaderMap> {
    const REQUEST_TRAILERS: Self = Self {
        lend: |slot, theirs| slot.request.lend_trailers(theirs),
        give_back: |slot, theirs, _| slot.request.give_back_trailers(theirs),
    };
    const RESPONSE_TRAILERS: Self = Self {
        lend: |slot, theirs| slot.response.lend_trailers(theirs),
        give_back: |slot, theirs, _| slot.response.give_back_trailers(theirs),
    };
}

impl<'a, T> Lent<'a, T> {
    fn new(stream: &'a Stream, mut held: T, place: Place<T>) -> Self {
        let count = stream.instance.with_slot(stream.id, |slot, _| (place.lend)(slot, &mut held));
        Self { stream, held, place, count: count.unwrap_or_default() }
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        let keep = self.stream.instance.env.config.module.reads_headers();
        self.stream.instance.with_slot(self.stream.id, |slot, _| (self.place.give_back)(slot, &mut self.held, keep));
    }
}
