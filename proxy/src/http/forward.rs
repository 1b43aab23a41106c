//! Forwarding a request: an endpoint, a connection, a try; and another try where the route or the protocol allows it.

use super::{Added, headers::Forwarded, record, record::Record, respond::Passage, session::Session, upgrade::Upgrade};
use crate::{
    body::{RequestBody, ResponseBody},
    clock,
    error::{ErrorKind, RequestError},
    upstream::{
        BackendState, EndpointState, connect,
        h1::{Transfer, TransferError, Tunnel},
        h2,
    },
    worker::Worker,
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request};
use http_body_util::BodyExt;
use portolan_telemetry::{
    FlagKind, HttpMethod, HttpVersion, ResponseFlag,
    clock::UnixNanos,
    metrics::{Exchange, HttpClient},
    trace::{ClientSpan, SpanId, SpanTimes, TraceContext},
};
use portolan_translate::snapshot::{BackendIndex, BackendProtocol, Retry};
use std::{net::SocketAddr, rc::Rc, time::Duration};
use tokio::time::Instant;

/// A request that has its backend.
pub struct Outbound<'a> {
    /// Where it stands.
    pub passage: &'a Passage<'a>,
    /// The backend.
    pub index: BackendIndex,
    /// Whether the client takes trailers.
    pub trailers: bool,
    /// The session that the client brought.
    pub session: Option<Session>,
    /// Whether the client wants to leave HTTP.
    pub upgrade: Option<&'a Upgrade>,
    /// What the backend is told of the client, where it is not among the headers yet.
    pub forwarded: Option<&'a Forwarded>,
}

/// The backend's answer.
pub struct Reply {
    /// Status and headers.
    pub response: Response<()>,
    /// Body.
    pub body: ResponseBody,
    /// The stream, if the backend switched protocols.
    pub tunnel: Option<Tunnel>,
    /// The endpoint's opaque identity.
    pub endpoint: u64,
    /// When the body must have ended.
    pub deadline: Option<Instant>,
}

/// A try that failed.
struct Failure {
    error: RequestError,
    /// The request's body, if nothing of it was sent.
    body: Option<RequestBody>,
    /// Whether the request cannot have been acted on, or may be acted on twice.
    harmless: bool,
}

/// What is left to send if a try is not the last.
enum Replay {
    /// The request has no body.
    Empty,
    /// Its body is held.
    Held(Bytes),
    /// Its body streams, and can be sent again only while nothing of it is gone.
    Once,
}

/// What was tried so far.
#[derive(Default)]
struct Tries {
    /// Tries that the route asked for, after the first.
    asked: u32,
    /// Whether the one try that nobody asked for is used up.
    unasked: bool,
    last: Option<SocketAddr>,
    /// Whether the next try must not use an idle connection.
    fresh: bool,
}

/// Forwards a request and waits for the head of the answer.
pub async fn forward(
    outbound: &Outbound<'_>,
    head: &mut request::Parts,
    body: RequestBody,
    record: &mut Record,
) -> Result<Reply, RequestError> {
    let passage = outbound.passage;
    let worker = &passage.conn.worker;
    let backend = worker.upstreams.get(passage.view.snapshot(), outbound.index);
    let backend = backend.ok_or_else(|| RequestError::new(ErrorKind::InvalidBackend, "the backend has gone"))?;
    let key = &backend.backend.key;
    let (series, client) = passage.state.both_series(Some((outbound.index, key)));
    record.picked(series, &backend.name);
    if key.protocol == BackendProtocol::Http2 && outbound.trailers {
        head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if passage.rule.retry.is_some() {
        worker.retry_budget.request();
    }
    let (mut body, replay) = hold(outbound, body).await?;
    let mut tries = Tries::default();
    loop {
        // Before the endpoint's time begins to run.
        if key.protocol != BackendProtocol::Http2 {
            worker.batch.gather().await;
        }
        let endpoint = endpoint(outbound, &backend, &tries).ok_or(ErrorKind::NoEndpoint)?;
        record.tried(endpoint.endpoint.address, tries.number());
        let started = clock::now();
        if tries.number() > 0 {
            backend.metrics.retried();
        }
        let span = TrySpan::begin(record, worker);
        let trace = span.as_ref().map_or(record.trace().context, |span| span.context);
        let added = Added { forwarded: outbound.forwarded, trace: Some(trace) };
        let attempt = Try { outbound, backend: &backend, endpoint: &endpoint, added, fresh: tries.fresh };
        let result = match passage.rule.timeouts.backend_request {
            None => attempt.send(head, body).await,
            Some(limit) => Box::pin(attempt.within(limit, head, body)).await,
        };
        let now = clock::now();
        let latency = now.saturating_duration_since(started);
        told(&client, head, &result, latency);
        if let Some(span) = span {
            span.end(worker, head, &backend, endpoint.endpoint.address, tries.number(), &result);
        }
        tries.last = Some(endpoint.endpoint.address);
        match result {
            Ok(reply) => {
                endpoint.health.succeeded();
                endpoint.observe(latency, now);
                let status = reply.response.status();
                if !outbound.wants_again(&backend, status, &replay, &mut tries) {
                    return Ok(reply);
                }
                drop(reply);
                body = replay.again().unwrap_or_default();
            }
            Err(failure) => {
                if counts_against_endpoint(failure.error.kind) && endpoint.health.failed(clock::process_ms()) {
                    backend.metrics.ejected();
                }
                body = outbound.again_after(&backend, failure, &replay, &mut tries)?;
            }
        }
        if let Some(backoff) = passage.rule.retry.as_ref().map(|retry| retry.backoff).filter(|_| tries.asked > 0) {
            tokio::time::sleep(jittered(backoff, &worker.rng)).await;
        }
    }
}

/// Holds the request's body where the route asks for retries and it is small enough.
async fn hold(outbound: &Outbound<'_>, body: RequestBody) -> Result<(RequestBody, Replay), RequestError> {
    use http_body::Body;
    match body {
        RequestBody::Empty => Ok((RequestBody::Empty, Replay::Empty)),
        RequestBody::Full(bytes) => Ok((RequestBody::Full(bytes.clone()), Replay::Held(bytes))),
        body if outbound.passage.rule.retry.is_none() => Ok((body, Replay::Once)),
        body => {
            let limit = outbound.passage.conn.worker.shared.limits.buffer_bytes_max;
            let fits = body.size_hint().exact().is_some_and(|length| length <= limit as u64);
            if !fits {
                return Ok((body, Replay::Once));
            }
            let bytes = body.collect().await?.to_bytes();
            Ok((RequestBody::Full(bytes.clone()), Replay::Held(bytes)))
        }
    }
}

/// The session's endpoint at first; the less loaded of two otherwise.
fn endpoint(outbound: &Outbound<'_>, backend: &BackendState, tries: &Tries) -> Option<Rc<EndpointState>> {
    let sticky = outbound.session.filter(|_| tries.last.is_none()).and_then(|session| backend.by_id(session.endpoint));
    sticky.or_else(|| backend.pick(&outbound.passage.conn.worker.rng, tries.last))
}

/// One try.
struct Try<'a> {
    outbound: &'a Outbound<'a>,
    backend: &'a BackendState,
    endpoint: &'a Rc<EndpointState>,
    added: Added<'a>,
    /// It must not use an idle connection.
    fresh: bool,
}

impl Try<'_> {
    /// Within the rule's limit for one try.
    async fn within(&self, limit: Duration, head: &request::Parts, body: RequestBody) -> Result<Reply, Failure> {
        let deadline = Instant::now() + limit;
        match tokio::time::timeout_at(deadline, self.send(head, body)).await {
            Ok(result) => result.map(|reply| Reply { deadline: Some(deadline), ..reply }),
            Err(_) => {
                let detail = format_args!("backendRequest timeout {limit:?}");
                let error = RequestError::new(ErrorKind::UpstreamTimeout, detail);
                Err(Failure { error, body: None, harmless: head.method.is_idempotent() })
            }
        }
    }

    /// In the protocol that the backend speaks.
    async fn send(&self, head: &request::Parts, body: RequestBody) -> Result<Reply, Failure> {
        match self.backend.backend.key.protocol {
            BackendProtocol::Http2 => Box::pin(self.http2(head, body)).await,
            _ => self.http1(head, body).await,
        }
    }

    /// Over HTTP/1.1.
    async fn http1(&self, head: &request::Parts, body: RequestBody) -> Result<Reply, Failure> {
        let limits = &self.outbound.passage.conn.worker.shared.limits;
        let connection = match connect::http1(self.backend, self.endpoint, limits, self.fresh).await {
            Ok(connection) => connection,
            Err(error) => return Err(Failure { error, body: Some(body), harmless: true }),
        };
        let reused = connection.reused;
        self.endpoint.began();
        let upgrade = self.outbound.upgrade.map(|upgrade| &upgrade.protocol);
        let mut transfer = Transfer::begin(connection, self.endpoint.clone(), head, self.added, body, upgrade);
        let response = match transfer.response(&head.method, limits.upstream_header_bytes_max).await {
            Ok(response) => response,
            Err(TransferError::Request(error)) => return Err(Failure { error, body: None, harmless: false }),
            Err(broken @ (TransferError::Malformed(_) | TransferError::HeadTooLarge)) => {
                if matches!(broken, TransferError::HeadTooLarge) {
                    self.outbound.passage.conn.worker.limit_reached("upstream_header_bytes_max");
                }
                let error = RequestError::new(ErrorKind::UpstreamProtocol, broken);
                return Err(Failure { error, body: None, harmless: false });
            }
            Err(broken @ TransferError::Broken(_)) => {
                let error = RequestError::new(ErrorKind::UpstreamReset, broken);
                let harmless = reused && head.method.is_idempotent();
                return Err(Failure { error, body: transfer.replayable_body(), harmless });
            }
        };
        let id = self.endpoint.endpoint.id;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let tunnel = transfer.into_tunnel();
            return Ok(Reply { response, body: ResponseBody::Empty, tunnel, endpoint: id, deadline: None });
        }
        let body = match transfer.take_complete_body() {
            Some(bytes) => bytes.into(),
            None => ResponseBody::H1(Box::new(transfer)),
        };
        Ok(Reply { response, body, tunnel: None, endpoint: id, deadline: None })
    }

    /// Over HTTP/2.
    async fn http2(&self, head: &request::Parts, body: RequestBody) -> Result<Reply, Failure> {
        if self.outbound.upgrade.is_some() {
            let error = RequestError::new(ErrorKind::UpgradeRefused, "the backend speaks HTTP/2 alone");
            return Err(Failure { error, body: None, harmless: false });
        }
        let limits = &self.outbound.passage.conn.worker.shared.limits;
        let connection = match h2::connection(self.backend, self.endpoint, limits, self.fresh).await {
            Ok(connection) => connection,
            Err(error) => return Err(Failure { error, body: Some(body), harmless: true }),
        };
        self.endpoint.began();
        let tls = self.backend.backend.tls.is_some();
        let mut transfer =
            match h2::Transfer::begin(connection, self.endpoint.clone(), head, self.added, body, tls).await {
                Ok(transfer) => transfer,
                Err((error, body)) => {
                    self.endpoint.ended();
                    return Err(Failure { error, body: Some(body), harmless: true });
                }
            };
        match transfer.response().await {
            Ok(response) => {
                let body = if transfer.is_end() { ResponseBody::Empty } else { ResponseBody::H2(Box::new(transfer)) };
                Ok(Reply { response, body, tunnel: None, endpoint: self.endpoint.endpoint.id, deadline: None })
            }
            Err(error) => Err(Failure { error, body: None, harmless: false }),
        }
    }
}

// === retries ===

impl Outbound<'_> {
    fn retry(&self) -> Option<&Retry> {
        self.passage.rule.retry.as_ref()
    }

    /// Whether the route asks for another try after an answer with this status, and there can be one.
    fn wants_again(&self, backend: &BackendState, status: StatusCode, replay: &Replay, tries: &mut Tries) -> bool {
        let Some(retry) = self.retry() else { return false };
        let wanted = retry.codes.contains(&status.as_u16()) && tries.number() < retry.attempts;
        if !wanted || matches!(replay, Replay::Once) || !self.within_budget(backend) {
            return false;
        }
        tries.asked += 1;
        true
    }

    /// The body of another try after a failure, or the failure if there must not be one.
    fn again_after(
        &self,
        backend: &BackendState,
        failure: Failure,
        replay: &Replay,
        tries: &mut Tries,
    ) -> Result<RequestBody, RequestError> {
        let Failure { error, body, harmless } = failure;
        let Some(body) = replay.again().or(body) else { return Err(error) };
        let (refused, reset) = (error.kind == ErrorKind::UpstreamConnect, error.kind == ErrorKind::UpstreamReset);
        let left = self.retry().map(|retry| tries.number() < retry.attempts);
        // A connection that was closed while it was idle is no word of the backend; where the route says how often and
        // when to try again, all else is as it says.
        let unasked = if left.is_some() { reset } else { reset || refused };
        if harmless && unasked && !tries.unasked && left != Some(false) {
            tries.unasked = true;
            tries.fresh = true;
            return Ok(body);
        }
        let retriable = refused || reset || error.kind == ErrorKind::UpstreamTimeout;
        if left == Some(true) && retriable {
            let within = self.within_budget(backend);
            // Without a retry in its route, a request whose connection was refused would be tried again as well.
            if within || (harmless && refused && !tries.unasked) {
                tries.asked += u32::from(within);
                tries.unasked |= !within;
                tries.fresh = true;
                return Ok(body);
            }
        }
        Err(error)
    }

    fn within_budget(&self, backend: &BackendState) -> bool {
        let worker = &self.passage.conn.worker;
        let within = worker.retry_budget.take(clock::now_coarse());
        if !within {
            worker.limit_reached("retry_budget");
            backend.metrics.retry_refused();
        }
        within
    }
}

impl Tries {
    /// Tries before the next one.
    fn number(&self) -> u32 {
        self.asked + u32::from(self.unasked)
    }
}

impl Replay {
    fn again(&self) -> Option<RequestBody> {
        match self {
            Self::Empty => Some(RequestBody::Empty),
            Self::Held(bytes) => Some(RequestBody::Full(bytes.clone())),
            Self::Once => None,
        }
    }
}

/// Whether a failure says something about the endpoint.
fn counts_against_endpoint(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UpstreamConnect
            | ErrorKind::UpstreamReset
            | ErrorKind::UpstreamTimeout
            | ErrorKind::UpstreamProtocol
    )
}

/// The time, which is the least that there must be between two tries, and up to half of it more, so that retries of many
/// clients do not come at once.
fn jittered(backoff: Duration, rng: &crate::rng::Rng) -> Duration {
    backoff.mul_f64(1.0 + rng.below(500) as f64 / 1000.0)
}

/// Metrics of one try.
fn told(client: &HttpClient, head: &request::Parts, result: &Result<Reply, Failure>, duration: Duration) {
    let (status, flag) = match result {
        Ok(reply) => (Some(reply.response.status()), FlagKind::Ok),
        Err(failure) => (None, record::flag_kind(&failure.error)),
    };
    client.record(&Exchange {
        method: HttpMethod::from(&head.method),
        version: HttpVersion::Http11,
        status,
        flag,
        duration,
        request_bytes: 0,
        response_bytes: 0,
    });
}

// === spans ===

/// The span of one try, where its trace is sampled.
struct TrySpan {
    context: TraceContext,
    parent: SpanId,
    start: UnixNanos,
}

impl TrySpan {
    /// Begins the span, which the backend is told is the parent of what happens there.
    fn begin(record: &Record, worker: &Worker) -> Option<Self> {
        let parent = record.trace().context;
        if !worker.shared.spans.wants(&parent) {
            return None;
        }
        let context = parent.child(&mut worker.ids.borrow_mut());
        Some(Self { context, parent: parent.span_id, start: UnixNanos::now() })
    }

    fn end(
        self,
        worker: &Worker,
        head: &request::Parts,
        backend: &BackendState,
        endpoint: SocketAddr,
        retry: u32,
        result: &Result<Reply, Failure>,
    ) {
        let (status, flag) = match result {
            Ok(reply) => (Some(reply.response.status()), ResponseFlag::from(FlagKind::Ok)),
            Err(failure) => (None, ResponseFlag::from(record::flag_kind(&failure.error))),
        };
        let http2 = backend.backend.key.protocol == BackendProtocol::Http2;
        let span = ClientSpan {
            context: self.context,
            parent: self.parent,
            times: SpanTimes { start: self.start, end: UnixNanos::now() },
            method: HttpMethod::from(&head.method),
            version: Some(if http2 { HttpVersion::Http2 } else { HttpVersion::Http11 }),
            address: &endpoint.ip().to_string(),
            port: endpoint.port(),
            backend: Some(backend.name.clone()),
            status,
            flag: &flag,
            retry,
        };
        worker.shared.spans.submit(span.into_span());
    }
}
