//! Wasm filters in the path of a request: the engine drives phases, and does not know which ABI a filter speaks.

mod body;
mod host;
mod info;

pub use body::{Answered, Chain, FilteredBody, Side, Stop};
pub use info::Info;

use crate::{
    error::{ErrorKind, RequestError},
    worker::Worker,
};
use bytes::Bytes;
use hashbrown::HashMap;
use http::{
    HeaderValue, Response, StatusCode, header, request,
    uri::{PathAndQuery, Scheme},
};
use portolan_telemetry::metrics::{FilterCalls, FilterFailure as FailureMetric};
use portolan_translate::{
    Snapshot,
    snapshot::{FailureMode, WasmFilter},
};
use portolan_wasm::{
    EndOfStream, FailureKind, FilterConfig, FilterFailure, Latent, Lend, Limits, LocalResponse, Outcome, Phases,
    Plugin, RequestHead, Stream,
};
use smallvec::SmallVec;
use std::{cell::RefCell, rc::Rc, sync::Arc, time::Instant};

/// Filters of one worker, by their address in the snapshot, which each entry keeps from meaning anything else.
#[derive(Default)]
pub struct Filters(RefCell<HashMap<usize, SetUp>>);

/// A filter's object, and the filter as it runs or why it does not.
type SetUp = (Arc<WasmFilter>, Result<Rc<Filter>, Arc<str>>);

/// A filter that runs on this worker.
pub struct Filter {
    spec: Arc<WasmFilter>,
    plugin: Plugin,
    calls: FilterCalls,
}

/// A request's stream in one filter.
pub struct FilterStream {
    filter: Rc<Filter>,
    stream: Stream,
}

/// Streams in filters, of which there is seldom more than one.
pub type Streams = SmallVec<[Rc<FilterStream>; 1]>;

/// The head of a request on its way into a filter.
pub struct LentRequest<'a> {
    /// The head.
    pub head: &'a mut request::Parts,
    /// Headers that are not among those of the head yet; `None` once they are.
    pub latent: &'a mut Option<Rc<dyn Latent>>,
    /// Whether it came over TLS.
    pub tls: bool,
}

/// What a filter made of a phase.
pub enum Verdict {
    /// The request goes on.
    Continue,
    /// The filter answers.
    Respond(Box<LocalResponse>),
}

// === impl Filters ===

impl Filters {
    /// The filter as it runs here; it is set up when the first request comes.
    fn get(&self, worker: &Rc<Worker>, spec: &Arc<WasmFilter>) -> Result<Rc<Filter>, Arc<str>> {
        let mut filters = self.0.borrow_mut();
        let entry = filters.entry(Arc::as_ptr(spec) as usize);
        entry.or_insert_with(|| (spec.clone(), Filter::new(worker, spec.clone()).map(Rc::new))).1.clone()
    }

    /// Once a second: forgets filters that have left the snapshot; their streams keep what they need.
    pub fn sweep(&self, snapshot: &Snapshot) {
        self.0.borrow_mut().retain(|_, (spec, _)| snapshot.wasm_filters.iter().any(|served| Arc::ptr_eq(served, spec)));
    }
}

// === impl Filter ===

impl Filter {
    fn new(worker: &Rc<Worker>, spec: Arc<WasmFilter>) -> Result<Self, Arc<str>> {
        let digest = spec.module.clone()?;
        let module = worker.shared.module(&digest).ok_or("its module is not loaded")?;
        let name: Arc<str> = spec.name.to_string().into();
        let config = FilterConfig {
            name: name.to_string(),
            module,
            configuration: spec.configuration.clone(),
            services: spec.services.keys().map(ToString::to_string).collect(),
            limits: Limits {
                time_per_call: spec.time_per_call,
                memory: usize::try_from(spec.memory_bytes_max).unwrap_or(usize::MAX),
                instances: spec.instances.into(),
                ..Limits::default()
            },
        };
        let host = host::WorkerHost::new(worker, spec.clone());
        let plugin = Plugin::new(Arc::new(config), Rc::new(host), &worker.shared.wasm);
        Ok(Self { spec, plugin, calls: worker.metrics.filter(&name) })
    }

    /// What a failure means for the request: an error, or that it goes on without this filter.
    fn failed(&self, failure: &FilterFailure) -> Result<(), RequestError> {
        self.calls.failed(metric_of(failure.kind));
        tracing::debug!(%failure, "a filter failed");
        unless_open(&self.spec, &failure.to_string())
    }
}

/// Opens a request's stream in a filter. `None`: the filter cannot run, and is to be passed over.
pub fn open(worker: &Rc<Worker>, spec: &Arc<WasmFilter>, info: Rc<Info>) -> Result<Option<FilterStream>, RequestError> {
    let filter = match worker.filters.get(worker, spec) {
        Ok(filter) => filter,
        Err(reason) => {
            worker.metrics.filter(&spec.name.to_string().into()).failed(FailureMetric::Load);
            return unless_open(spec, &reason).map(|()| None);
        }
    };
    match filter.plugin.open_stream(info) {
        Ok(stream) => Ok(Some(FilterStream { filter, stream })),
        Err(failure) => filter.failed(&failure).map(|()| None),
    }
}

fn unless_open(spec: &WasmFilter, reason: &str) -> Result<(), RequestError> {
    match spec.failure_mode {
        FailureMode::Open => Ok(()),
        FailureMode::Closed => Err(RequestError::new(ErrorKind::FilterFailed, format_args!("{}: {reason}", spec.name))),
    }
}

fn metric_of(kind: FailureKind) -> FailureMetric {
    match kind {
        FailureKind::Start => FailureMetric::Load,
        FailureKind::Trap | FailureKind::InstanceLost => FailureMetric::Trap,
        FailureKind::Deadline => FailureMetric::Deadline,
        FailureKind::Memory => FailureMetric::Memory,
        FailureKind::Unavailable => FailureMetric::BreakerOpen,
        FailureKind::BodyTooLarge(_) => FailureMetric::HostLimit,
        FailureKind::Stuck => FailureMetric::Abi,
    }
}

// === impl FilterStream ===

impl FilterStream {
    /// The phases that the filter takes part in.
    pub fn phases(&self) -> Phases {
        self.filter.plugin.phases()
    }

    /// The filter's name.
    pub fn name(&self) -> String {
        self.filter.spec.name.to_string()
    }

    /// The request's headers.
    pub async fn request_headers(&self, head: LentRequest<'_>, end: EndOfStream) -> Result<Verdict, RequestError> {
        if !self.phases().request_headers {
            return Ok(Verdict::Continue);
        }
        let started = Instant::now();
        let outcome = self.stream.request_headers(head, end).await;
        self.judge(outcome, started)
    }

    /// The response's headers.
    pub async fn response_headers(
        &self,
        response: &mut Response<()>,
        end: EndOfStream,
    ) -> Result<Verdict, RequestError> {
        if !self.phases().response_headers {
            return Ok(Verdict::Continue);
        }
        let started = Instant::now();
        let outcome = self.stream.response_headers(response, end).await;
        self.judge(outcome, started)
    }

    fn judge(&self, outcome: Outcome, started: Instant) -> Result<Verdict, RequestError> {
        self.filter.calls.called(started.elapsed());
        match outcome {
            Outcome::Continue => Ok(Verdict::Continue),
            Outcome::Respond(response) => Ok(Verdict::Respond(response)),
            Outcome::Reset => Err(reset(&self.name())),
            Outcome::Failed(failure) => self.filter.failed(&failure).map(|()| Verdict::Continue),
        }
    }
}

fn reset(name: &str) -> RequestError {
    RequestError::new(ErrorKind::FilterFailed, format_args!("{name} closed the stream"))
}

// === impl LentRequest ===

impl Lend<RequestHead> for LentRequest<'_> {
    fn swap(&mut self, head: &mut RequestHead) {
        std::mem::swap(&mut self.head.method, &mut head.method);
        std::mem::swap(&mut self.head.headers, &mut head.headers);
        // The authority stands in Host alone.
        let path = std::mem::take(&mut self.head.uri).into_parts().path_and_query;
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        self.head.uri = std::mem::replace(&mut head.path, path).into();
        head.scheme = if self.tls { Scheme::HTTPS } else { Scheme::HTTP };
        std::mem::swap(self.latent, &mut head.latent);
    }
}

/// A filter's own answer as a response.
pub fn local_response(local: LocalResponse) -> (Response<()>, Bytes) {
    let mut response = Response::new(());
    *response.headers_mut() = local.headers;
    // The framing is ours.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().remove(header::TRANSFER_ENCODING);
    match local.grpc_status {
        None => {
            *response.status_mut() = local.status;
            (response, local.body)
        }
        Some(status) => {
            *response.status_mut() = StatusCode::OK;
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(status));
            if let Ok(message) = HeaderValue::from_bytes(&local.body) {
                headers.insert("grpc-message", message);
            }
            (response, Bytes::new())
        }
    }
}
