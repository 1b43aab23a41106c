//! What the host asks of its surroundings: callouts, logs, time, randomness, timers and tasks of the worker.
//! Never says how: no HTTP client, no runtime and no clock is named here.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::HeaderMap;

use crate::head::{RequestHead, ResponseHead};

/// The worker, as far as its filters need it. Called in the middle of guest code: no method may call back into the
/// plugin before it returns.
pub trait Host {
    /// Sends `request` to the service which the filter knows as `service`. The host ends the call at
    /// `request.timeout`, and reads no more of the body than `request.response_bytes_max`.
    fn http_call(
        &self,
        service: &str,
        request: CallRequest,
    ) -> LocalBoxFuture<'static, Result<CallResponse, CallError>>;

    /// Takes a log line of a filter; it is within the filter's limits, and may hold line breaks.
    fn log(&self, filter: &str, level: LogLevel, message: &str);

    /// The least level that is logged; filters ask, to save themselves the work.
    fn log_level(&self) -> LogLevel;

    /// The time of day.
    fn now(&self) -> SystemTime;

    /// Time since some fixed point, never going back.
    fn monotonic(&self) -> Duration;

    /// Fills `bytes` with random ones, fit for keys.
    fn random(&self, bytes: &mut [u8]);

    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;

    /// Runs `task` on this worker to its end.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);
}

/// An HTTP call of a filter.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// Method, path, authority and headers as the filter wrote them.
    pub head: RequestHead,
    /// The whole body.
    pub body: Bytes,
    /// Trailers; mostly empty.
    pub trailers: HeaderMap,
    /// When to give up.
    pub timeout: Duration,
    /// Most bytes of the response's body.
    pub response_bytes_max: usize,
}

/// The answer to a filter's HTTP call.
#[derive(Debug, Clone, Default)]
pub struct CallResponse {
    /// Status and headers.
    pub head: ResponseHead,
    /// The whole body.
    pub body: Bytes,
    /// Trailers; mostly empty.
    pub trailers: HeaderMap,
}

/// Why a filter's HTTP call has no answer. The ABI does not tell filters which: they see no headers at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The service's timeout passed.
    #[error("no answer in time")]
    TimedOut,
    /// The body is larger than a filter may hold.
    #[error("the answer's body is too large")]
    TooLarge,
    /// The service cannot be reached, or broke off.
    #[error("{0}")]
    Failed(String),
}

/// Levels of a filter's log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `trace`
    Trace,
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
    /// `critical`
    Critical,
}

// === impl LogLevel ===

impl LogLevel {
    pub(crate) fn from_abi(level: u32) -> Option<Self> {
        let levels = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Critical];
        levels.get(usize::try_from(level).ok()?).copied()
    }

    pub(crate) fn to_abi(self) -> u32 {
        match self {
            Self::Trace => 0,
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
            Self::Critical => 5,
        }
    }
}
