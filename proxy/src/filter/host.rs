//! What a worker does for its filters: calls to services that they may name, time, randomness, logs.

use crate::{body::RequestBody, error::RequestError, http::call, worker::Worker};
use futures_util::future::{FutureExt, LocalBoxFuture};
use portolan_translate::snapshot::WasmFilter;
use portolan_wasm::{CallError, CallRequest, CallResponse, Host, LogLevel, ResponseHead};
use std::{
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// A worker, as one filter sees it.
pub struct WorkerHost {
    /// Weak, since the worker owns the filter.
    worker: Weak<Worker>,
    spec: Arc<WasmFilter>,
    start: Instant,
}

impl WorkerHost {
    /// What `worker` does for a filter.
    pub fn new(worker: &Rc<Worker>, spec: Arc<WasmFilter>) -> Self {
        Self { worker: Rc::downgrade(worker), spec, start: Instant::now() }
    }
}

impl Host for WorkerHost {
    fn http_call(
        &self,
        service: &str,
        request: CallRequest,
    ) -> LocalBoxFuture<'static, Result<CallResponse, CallError>> {
        let failed = |reason: &str| CallError::Failed(reason.to_owned());
        let worker = self.worker.upgrade().ok_or_else(|| failed("the worker ends"));
        let backend = self.spec.service(service).ok_or_else(|| failed("the service does not resolve"));
        async move {
            let (worker, backend) = (worker?, backend?);
            let timeout = request.timeout;
            let (head, body, bytes_max) = into_parts(request);
            let view = worker.view();
            let asked = call::ask(&worker, view.snapshot(), backend, &head, body, bytes_max);
            let answered = tokio::time::timeout(timeout, asked).await.map_err(|_| CallError::TimedOut)?;
            let answered = answered.map_err(|error: RequestError| CallError::Failed(error.to_string()))?;
            let (parts, ()) = answered.response.into_parts();
            let head = ResponseHead::new(parts.status, parts.headers);
            Ok(CallResponse { head, body: answered.body, trailers: answered.trailers })
        }
        .boxed_local()
    }

    fn log(&self, filter: &str, level: LogLevel, message: &str) {
        match level {
            LogLevel::Trace => tracing::trace!(target: "filter", filter, message),
            LogLevel::Debug => tracing::debug!(target: "filter", filter, message),
            LogLevel::Info => tracing::info!(target: "filter", filter, message),
            LogLevel::Warn => tracing::warn!(target: "filter", filter, message),
            LogLevel::Error | LogLevel::Critical => tracing::error!(target: "filter", filter, message),
        }
    }

    fn log_level(&self) -> LogLevel {
        use tracing::level_filters::LevelFilter;
        match LevelFilter::current() {
            LevelFilter::TRACE => LogLevel::Trace,
            LevelFilter::DEBUG => LogLevel::Debug,
            LevelFilter::INFO => LogLevel::Info,
            LevelFilter::WARN => LogLevel::Warn,
            _ => LogLevel::Error,
        }
    }

    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self, bytes: &mut [u8]) {
        // Fails only where the operating system has no randomness; zeros would be worse than an end.
        aws_lc_rs::rand::fill(bytes).expect("the system has randomness");
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed_local()
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }
}

fn into_parts(request: CallRequest) -> (http::request::Parts, RequestBody, usize) {
    let head = request.head;
    let mut parts = http::Request::new(()).into_parts().0;
    parts.method = head.method;
    parts.uri = head.path.into();
    parts.headers = head.headers;
    crate::http::headers::remove_hop_by_hop(&mut parts.headers);
    let body = if request.body.is_empty() { RequestBody::Empty } else { RequestBody::Full(request.body) };
    (parts, body, request.response_bytes_max)
}
