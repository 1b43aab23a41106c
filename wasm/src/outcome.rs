//! What comes of a phase: go on, answer, reset, or a failure with its kind. Never decides what a failure means for the
//! request: that is the failure mode's, which the engine knows.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the backend.
    Request,
    /// To the client.
    Response,
}

/// Whether more of a message follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOfStream {
    /// Body or trailers may follow.
    No,
    /// This was the last.
    Yes,
}

/// What comes of headers.
#[derive(Debug)]
#[must_use]
pub enum Outcome {
    /// On to the next filter.
    Continue,
    /// Answer with this instead. From a response phase: in place of the response, if nothing of it has left yet.
    Respond(Box<LocalResponse>),
    /// The filter closes the stream: reset it without an answer.
    Reset,
    /// The filter did not decide.
    Failed(FilterFailure),
}

/// What comes of a piece of a body.
#[derive(Debug)]
#[must_use]
pub enum BodyOutcome {
    /// Send these bytes on, which may be none.
    Forward(Bytes),
    /// The filter holds the body back; go on with the next piece (or with [`released`](crate::Stream::released)).
    Hold,
    /// As [`Outcome::Respond`].
    Respond(Box<LocalResponse>),
    /// As [`Outcome::Reset`].
    Reset,
    /// As [`Outcome::Failed`]; what was held can be had by [`take_held`](crate::Stream::take_held).
    Failed(FilterFailure),
}

/// What comes of trailers.
#[derive(Debug)]
#[must_use]
pub enum TrailersOutcome {
    /// Send these bytes, which the filter had held back, and then the trailers.
    Continue(Bytes),
    /// As [`Outcome::Respond`].
    Respond(Box<LocalResponse>),
    /// As [`Outcome::Reset`].
    Reset,
    /// As [`Outcome::Failed`].
    Failed(FilterFailure),
}

/// An answer that a filter gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResponse {
    /// Status of the answer; for a gRPC client it is 200 with `grpc_status`.
    pub status: StatusCode,
    /// Why, for the access log alone.
    pub details: String,
    /// Headers, in the filter's order.
    pub headers: HeaderMap,
    /// Body; with a `grpc_status`, its message.
    pub body: Bytes,
    /// Set where the filter answers a gRPC request: send it as `grpc-status`, and the body as `grpc-message`.
    pub grpc_status: Option<u32>,
}

/// A filter that failed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterFailure {
    /// The filter's name.
    pub filter: Rc<str>,
    /// What happened.
    pub kind: FailureKind,
    /// What happened, in words, for the log.
    pub message: Rc<str>,
}

/// How a filter failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The module cannot be started: its start, `on_vm_start` or `on_configure` trapped or said no.
    Start,
    /// A callback trapped (a panic, an access out of bounds, `proc_exit`).
    Trap,
    /// A callback took longer than `time_per_call`.
    Deadline,
    /// A callback ended after the memory cap had refused it memory.
    Memory,
    /// Another stream's callback ended the instance that served this one.
    InstanceLost,
    /// No instance will take a stream: they keep failing and are given a pause, or are full.
    Unavailable,
    /// A body that the filter holds back is larger than `body_buffer`.
    BodyTooLarge(Direction),
    /// The filter paused, and nothing is left that could resume it.
    Stuck,
}

// === impl EndOfStream ===

impl EndOfStream {
    pub(crate) fn to_abi(self) -> u32 {
        match self {
            Self::No => 0,
            Self::Yes => 1,
        }
    }
}

impl From<bool> for EndOfStream {
    fn from(end: bool) -> Self {
        if end { Self::Yes } else { Self::No }
    }
}

// === impl FilterFailure ===

impl fmt::Display for FilterFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter {}: {}: {}", self.filter, self.kind.name(), self.message)
    }
}

impl std::error::Error for FilterFailure {}

// === impl FailureKind ===

impl FailureKind {
    /// All kinds, in the order of [`FilterStats::failures`](crate::FilterStats::failures).
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::InstanceLost,
        Self::Unavailable,
        Self::BodyTooLarge(Direction::Request),
        Self::BodyTooLarge(Direction::Response),
        Self::Stuck,
    ];

    /// A short name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::InstanceLost => "instance_lost",
            Self::Unavailable => "unavailable",
            Self::BodyTooLarge(Direction::Request) => "request_too_large",
            Self::BodyTooLarge(Direction::Response) => "response_too_large",
            Self::Stuck => "stuck",
        }
    }

    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|kind| *kind == self).expect("ALL lists every kind")
    }
}
