//! A body on its way through filters: piece by piece, each filter may change, hold back or end it. Holds one piece, and
//! what the filters hold within their limits.

use super::{FilterStream, reset};
use crate::{
    body::BodyError,
    error::{ErrorKind, RequestError},
};
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use portolan_wasm::{BodyOutcome, Direction, EndOfStream, LocalResponse, TrailersOutcome};
use std::{
    cell::RefCell,
    collections::VecDeque,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Whose body it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request's: filters see it in the order of the route.
    Request,
    /// The response's: filters see it in the opposite order.
    Response,
}

/// A filter's answer in the middle of a body, for whoever sent the request.
pub type Answered = Rc<RefCell<Option<Box<LocalResponse>>>>;

/// A body after its filters.
pub struct FilteredBody<B> {
    state: State<B>,
}

enum State<B> {
    Idle(Box<Driver<B>>),
    Running(LocalBoxFuture<'static, (Box<Driver<B>>, Step)>),
    Ended,
}

type Step = Option<Result<Frame<Bytes>, BodyError>>;

struct Driver<B> {
    body: B,
    chain: Chain,
    answered: Answered,
    out: VecDeque<Frame<Bytes>>,
    ended: bool,
}

/// Filters that look at one body.
pub struct Chain {
    side: Side,
    /// In the order in which they see the body.
    filters: Vec<Rc<FilterStream>>,
}

/// Why a body goes no further.
pub enum Stop {
    /// The filter of this name answers in its place.
    Answered(Box<LocalResponse>, String),
    /// It failed.
    Failed(RequestError),
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static> FilteredBody<B> {
    /// A body that goes through a chain. A filter's answer is put into `answered`, and the body fails.
    pub fn new(body: B, chain: Chain, answered: Answered) -> Self {
        let driver = Driver { body, chain, answered, out: VecDeque::new(), ended: false };
        Self { state: State::Idle(Box::new(driver)) }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static> Body for FilteredBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Step> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Idle(driver) => this.state = State::Running(Box::pin(driver.step())),
                State::Running(mut running) => {
                    let Poll::Ready((driver, step)) = running.as_mut().poll(cx) else {
                        this.state = State::Running(running);
                        return Poll::Pending;
                    };
                    if matches!(step, Some(Ok(_))) {
                        this.state = State::Idle(driver);
                    }
                    return Poll::Ready(step);
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static> Driver<B> {
    /// The next frame that comes out of the filters.
    async fn step(mut self: Box<Self>) -> (Box<Self>, Step) {
        let step = self.next().await;
        (self, step)
    }

    async fn next(&mut self) -> Step {
        loop {
            if let Some(frame) = self.out.pop_front() {
                return Some(Ok(frame));
            }
            if self.ended {
                return None;
            }
            let advanced = match self.body.frame().await {
                None => self.end(None).await,
                Some(Err(error)) => return Some(Err(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data(data, self.body.is_end_stream()).await,
                    Err(frame) => self.end(frame.into_trailers().ok()).await,
                },
            };
            if let Err(stop) = advanced {
                return Some(Err(self.fail(stop)));
            }
        }
    }

    fn fail(&self, stop: Stop) -> BodyError {
        match stop {
            Stop::Failed(error) => error,
            Stop::Answered(response, name) => {
                *self.answered.borrow_mut() = Some(response);
                RequestError::new(ErrorKind::FilterAnswered, name)
            }
        }
    }

    /// The body has ended, with trailers or without.
    async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Stop> {
        let Some(mut trailers) = trailers else { return self.data(Bytes::new(), true).await };
        self.ended = true;
        let held = self.chain.trailers(&mut trailers).await?;
        if !held.is_empty() {
            self.out.push_back(Frame::data(held));
        }
        self.out.push_back(Frame::trailers(trailers));
        Ok(())
    }

    async fn data(&mut self, data: Bytes, end: bool) -> Result<(), Stop> {
        self.ended = end;
        let piece = self.chain.data(data, end).await?;
        if !piece.is_empty() {
            self.out.push_back(Frame::data(piece));
        }
        Ok(())
    }
}

// === impl Chain ===

impl Chain {
    /// `filters` are given in the order in which they see the body.
    pub fn new(side: Side, filters: Vec<Rc<FilterStream>>) -> Self {
        Self { side, filters }
    }

    /// Takes a body that is there as a whole through the filters.
    pub async fn whole(&self, body: Bytes) -> Result<Bytes, Stop> {
        self.data(body, true).await
    }

    /// Takes a piece through the filters; what comes out, which may be nothing.
    async fn data(&self, mut piece: Bytes, end: bool) -> Result<Bytes, Stop> {
        for filter in &self.filters {
            let takes_part = match self.side {
                Side::Request => filter.phases().request_body,
                Side::Response => filter.phases().response_body,
            };
            if !takes_part {
                continue;
            }
            let outcome = match self.side {
                Side::Request => filter.stream.request_body(piece, EndOfStream::from(end)).await,
                Side::Response => filter.stream.response_body(piece, EndOfStream::from(end)).await,
            };
            match self.settle(filter, outcome, end).await? {
                Some(forwarded) => piece = forwarded,
                None => return Ok(Bytes::new()),
            }
        }
        Ok(piece)
    }

    /// What goes on to the next filter; `None`: nothing now.
    async fn settle(&self, filter: &FilterStream, outcome: BodyOutcome, end: bool) -> Result<Option<Bytes>, Stop> {
        let outcome = match outcome {
            // At the end nothing more comes that could make it let go; it will by itself, or fail.
            BodyOutcome::Hold if end => filter.stream.released(self.direction()).await,
            other => other,
        };
        match outcome {
            BodyOutcome::Forward(bytes) => Ok(Some(bytes)),
            BodyOutcome::Hold => Ok(None),
            BodyOutcome::Respond(response) => Err(Stop::Answered(response, filter.name())),
            BodyOutcome::Reset => Err(Stop::Failed(reset(&filter.name()))),
            BodyOutcome::Failed(failure) => {
                filter.filter.failed(&failure).map_err(Stop::Failed)?;
                Ok(Some(filter.stream.take_held(self.direction())))
            }
        }
    }

    /// Takes trailers through the filters; what they let go of the body before them.
    async fn trailers(&self, trailers: &mut HeaderMap) -> Result<Bytes, Stop> {
        let mut held = Bytes::new();
        for filter in &self.filters {
            if !held.is_empty() {
                // What an earlier filter let go at the trailers is still body to the later ones.
                let outcome = match self.side {
                    Side::Request => filter.stream.request_body(std::mem::take(&mut held), EndOfStream::No).await,
                    Side::Response => filter.stream.response_body(std::mem::take(&mut held), EndOfStream::No).await,
                };
                held = self.settle(filter, outcome, false).await?.unwrap_or_default();
            }
            let outcome = match self.side {
                Side::Request => filter.stream.request_trailers(trailers).await,
                Side::Response => filter.stream.response_trailers(trailers).await,
            };
            match outcome {
                TrailersOutcome::Continue(bytes) => held = joined(held, bytes),
                TrailersOutcome::Respond(response) => return Err(Stop::Answered(response, filter.name())),
                TrailersOutcome::Reset => return Err(Stop::Failed(reset(&filter.name()))),
                TrailersOutcome::Failed(failure) => {
                    filter.filter.failed(&failure).map_err(Stop::Failed)?;
                    held = joined(held, filter.stream.take_held(self.direction()));
                }
            }
        }
        Ok(held)
    }

    fn direction(&self) -> Direction {
        match self.side {
            Side::Request => Direction::Request,
            Side::Response => Direction::Response,
        }
    }
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (_, true) => first,
        _ => [first, second].concat().into(),
    }
}
