//! What is told about a request once it is over: metrics always, a line of the access log and a span where wanted.
//! It travels with the response's body, so that it knows how the exchange really ended.

use crate::{
    body::ResponseBody,
    clock,
    conn::Conn,
    error::{ErrorKind, RequestError},
    filter::{FilterStream, Info, Streams},
    worker::RuleState,
};
use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use portolan_telemetry::{
    FlagKind, HttpMethod, HttpVersion, ResponseFlag, Scheme,
    access_log::Entry,
    clock::UnixNanos,
    metrics::{Exchange, HttpServer},
    trace::{RequestTrace, ServerSpan, SpanTimes},
};
use std::{
    cell::Cell,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};
use tokio::time::Sleep;

/// What is known of a request so far.
pub struct Record {
    conn: Rc<Conn>,
    start: Instant,
    method: HttpMethod,
    version: HttpVersion,
    status: Option<StatusCode>,
    flag: ResponseFlag,
    request_bytes: Option<Rc<Cell<u64>>>,
    response_bytes: u64,
    series: Option<Rc<HttpServer>>,
    trace: RequestTrace,
    /// Streams of Wasm filters, which end with the request.
    streams: Streams,
    info: Option<Rc<Info>>,
    /// More than metrics need; there only if somebody will read it.
    details: Option<Box<Details>>,
    done: bool,
}

/// What the access log and spans tell beyond the metrics.
#[derive(Default)]
struct Details {
    started: Option<UnixNanos>,
    method: Method,
    host: String,
    target: String,
    user_agent: Option<Bytes>,
    rule: Option<Rc<RuleState>>,
    backend: Option<Arc<str>>,
    endpoint: Option<SocketAddr>,
    retries: u32,
    failure: Option<Arc<str>>,
}

/// A response's body on its way to the client, with what is told at its end.
pub struct Outgoing {
    body: ResponseBody,
    record: Option<Box<Record>>,
    deadline: Option<Pin<Box<Sleep>>>,
}

// === impl Record ===

impl Record {
    /// A request that has just arrived.
    pub fn begin(conn: Rc<Conn>, start: Instant, head: &http::request::Parts, trace: RequestTrace) -> Self {
        let worker = &conn.worker;
        let wanted = worker.shared.access_log.is_some() || worker.shared.spans.wants(&trace.context);
        let details = wanted.then(|| Box::new(Details::of(head)));
        conn.watch.began();
        Self {
            start,
            method: HttpMethod::from(&head.method),
            version: HttpVersion::from(head.version),
            status: None,
            flag: FlagKind::ClientClosed.into(),
            request_bytes: None,
            response_bytes: 0,
            series: None,
            trace,
            streams: Streams::new(),
            info: None,
            details,
            done: false,
            conn,
        }
    }

    /// The place of the request in its trace.
    pub fn trace(&self) -> &RequestTrace {
        &self.trace
    }

    /// When the request arrived.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// The rule that was taken.
    pub fn matched(&mut self, rule: &Rc<RuleState>) {
        self.series = Some(rule.series(None));
        if let Some(details) = &mut self.details {
            details.rule = Some(rule.clone());
        }
    }

    /// The backend that was picked.
    pub fn picked(&mut self, series: Rc<HttpServer>, backend: &Arc<str>) {
        self.series = Some(series);
        if let Some(info) = &self.info {
            info.picked(backend.clone());
        }
        if let Some(details) = &mut self.details {
            details.backend = Some(backend.clone());
        }
    }

    /// The endpoint that a try goes to.
    pub fn tried(&mut self, endpoint: SocketAddr, retry: u32) {
        if let Some(info) = &self.info {
            info.tried(endpoint);
        }
        if let Some(details) = &mut self.details {
            details.endpoint = Some(endpoint);
            details.retries = retry;
        }
    }

    /// Keeps a filter's stream open until the request is over.
    pub fn keep(&mut self, stream: Rc<FilterStream>, info: Option<Rc<Info>>) {
        self.streams.push(stream);
        self.info = info;
    }

    /// Counts the bytes of the request's body.
    pub fn meter(&mut self) -> Rc<Cell<u64>> {
        self.request_bytes.get_or_insert_default().clone()
    }

    /// The request ended otherwise than by a backend's answer.
    pub fn flag(&mut self, flag: ResponseFlag) {
        self.flag = flag;
    }

    /// The request failed.
    pub fn failed(&mut self, error: &RequestError) {
        self.flag = flag_of(error);
        if let Some(details) = &mut self.details {
            details.failure = error.detail.clone();
        }
    }

    /// The response is decided.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        if self.flag.kind() == FlagKind::ClientClosed {
            self.flag = FlagKind::Ok.into();
        }
    }

    /// The response's body, which carries the record to its end.
    pub fn into_body(mut self, body: ResponseBody, deadline: Option<Pin<Box<Sleep>>>) -> Outgoing {
        match &body {
            // A whole body is as good as sent.
            ResponseBody::Empty | ResponseBody::Full(_) => {
                self.response_bytes = body.size_hint().lower();
                self.finish();
                Outgoing { body, record: None, deadline: None }
            }
            _ => Outgoing { body, record: Some(Box::new(self)), deadline },
        }
    }

    fn finish(&mut self) {
        self.done = true;
        self.conn.watch.ended();
        let duration = clock::now().saturating_duration_since(self.start);
        let exchange = Exchange {
            method: self.method,
            version: self.version,
            status: self.status,
            flag: self.flag.kind(),
            duration,
            request_bytes: self.request_bytes.as_ref().map_or(0, |bytes| bytes.get()),
            response_bytes: self.response_bytes,
        };
        if let Some(info) = &self.info {
            info.request_bytes.set(exchange.request_bytes);
            info.response_bytes.set(exchange.response_bytes);
        }
        self.streams.clear();
        match &self.series {
            Some(series) => series.record(&exchange),
            None => self.conn.unrouted_series().record(&exchange),
        }
        if let Some(details) = self.details.take() {
            self.tell(&details, &exchange);
        }
    }

    fn tell(&self, details: &Details, exchange: &Exchange) {
        let shared = &self.conn.worker.shared;
        let names = details.rule.as_ref().map(|rule| rule.names());
        if let Some(log) = &shared.access_log {
            log.log(&Entry {
                time: details.started.unwrap_or_else(UnixNanos::now),
                trace: Some(&self.trace.context),
                method: details.method.as_str().as_bytes(),
                host: Some(details.host.as_bytes()),
                path: details.target.as_bytes(),
                protocol: self.version,
                status: self.status,
                route: names.map(|names| &*names.route),
                rule: names.map(|names| &*names.rule),
                backend: details.backend.as_deref(),
                endpoint: details.endpoint,
                duration: exchange.duration,
                request_bytes: exchange.request_bytes,
                response_bytes: exchange.response_bytes,
                client: Some(self.conn.peer),
                user_agent: details.user_agent.as_deref(),
                flag: &self.flag,
                retries: details.retries,
                filter_failure: details.failure.as_deref(),
            });
        }
        if shared.spans.wants(&self.trace.context) {
            let start = details.started.unwrap_or_else(UnixNanos::now);
            let client = self.conn.peer.ip().to_string();
            let span = ServerSpan {
                trace: self.trace,
                trace_state: String::new(),
                times: SpanTimes { start, end: UnixNanos::now() },
                method: self.method,
                version: self.version,
                scheme: if self.conn.tls.is_some() { Scheme::Https } else { Scheme::Http },
                path: details.target.split('?').next().unwrap_or_default(),
                host: &details.host,
                port: self.conn.client_port(),
                client: &client,
                status: self.status,
                flag: &self.flag,
                route: names.map(|names| names.route.clone()),
                rule: names.map(|names| names.rule.clone()),
                backend: details.backend.clone(),
            };
            shared.spans.submit(span.into_span());
        }
    }
}

impl Drop for Record {
    /// A request that is dropped half-way was left by its client.
    fn drop(&mut self) {
        if !self.done {
            self.finish();
        }
    }
}

impl Details {
    fn of(head: &http::request::Parts) -> Self {
        let host = head.uri.authority().map(|authority| authority.as_str());
        let host = host.or_else(|| head.headers.get(header::HOST)?.to_str().ok());
        Self {
            started: Some(UnixNanos::now()),
            method: head.method.clone(),
            host: host.unwrap_or_default().to_owned(),
            target: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            user_agent: head.headers.get(header::USER_AGENT).map(|value| Bytes::copy_from_slice(value.as_bytes())),
            ..Self::default()
        }
    }
}

/// The log's flag for a failure.
fn flag_of(error: &RequestError) -> ResponseFlag {
    let subject = || error.detail.clone().unwrap_or_else(|| "".into());
    match error.kind {
        ErrorKind::BadRequest | ErrorKind::MethodNotAllowed | ErrorKind::Misdirected | ErrorKind::UpgradeRefused => {
            FlagKind::BadRequest.into()
        }
        ErrorKind::HeadersTooLarge => ResponseFlag::limit("header_bytes_max"),
        ErrorKind::TooManyHeaders => ResponseFlag::limit("headers_max"),
        ErrorKind::UriTooLong => ResponseFlag::limit("uri_bytes_max"),
        ErrorKind::BodyTooLarge => ResponseFlag::limit("body_bytes_max"),
        ErrorKind::BodyTimeout => ResponseFlag::limit("body_idle_timeout"),
        ErrorKind::NotFound => FlagKind::NoRoute.into(),
        ErrorKind::UnresolvedFilter => ResponseFlag::filter_unresolved(subject()),
        ErrorKind::FilterFailed => ResponseFlag::filter_failed(subject()),
        ErrorKind::FilterAnswered => ResponseFlag::filter_denied(subject()),
        ErrorKind::InvalidBackend => FlagKind::InvalidBackend.into(),
        ErrorKind::NoEndpoint => FlagKind::NoEndpoint.into(),
        ErrorKind::UpstreamConnect => FlagKind::UpstreamConnect.into(),
        ErrorKind::UpstreamReset | ErrorKind::UpstreamCancelled => FlagKind::UpstreamReset.into(),
        ErrorKind::UpstreamProtocol => FlagKind::UpstreamProtocol.into(),
        ErrorKind::UpstreamTimeout => FlagKind::UpstreamTimeout.into(),
        ErrorKind::RequestTimeout => FlagKind::RequestTimeout.into(),
        ErrorKind::ClientClosed => FlagKind::ClientClosed.into(),
    }
}

/// The metrics' flag for a failure.
pub fn flag_kind(error: &RequestError) -> FlagKind {
    flag_of(error).kind()
}

// === impl Outgoing ===

impl Outgoing {
    /// A body of which nothing is told, for what never was a request.
    pub fn untold(body: ResponseBody) -> Self {
        Self { body, record: None, deadline: None }
    }

    /// The headers of the trailers count as nothing; data is counted.
    fn count(&mut self, frame: &Frame<Bytes>) {
        if let (Some(record), Some(data)) = (&mut self.record, frame.data_ref()) {
            record.response_bytes += data.len() as u64;
        }
    }

    fn end(&mut self, failure: Option<&RequestError>) {
        let Some(mut record) = self.record.take() else { return };
        if let Some(error) = failure {
            record.failed(error);
        }
        record.finish();
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = RequestError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestError>>> {
        let this = self.get_mut();
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            let error = RequestError::from(ErrorKind::RequestTimeout);
            this.deadline = None;
            this.body = ResponseBody::Empty;
            this.end(Some(&error));
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                this.count(&frame);
                if this.body.is_end_stream() {
                    this.end(None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                this.end(Some(&error));
                Poll::Ready(Some(Err(error)))
            }
            None => {
                this.end(None);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Outgoing {
    /// A body that is dropped half-way was left by its client.
    fn drop(&mut self) {
        if let Some(record) = &mut self.record
            && !self.body.is_end_stream()
        {
            record.flag = FlagKind::ClientClosed.into();
        }
    }
}

/// Whether a request's HTTP version multiplexes.
pub fn multiplexes(version: Version) -> bool {
    matches!(version, Version::HTTP_2 | Version::HTTP_3)
}
