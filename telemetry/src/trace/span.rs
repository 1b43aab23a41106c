//! Spans, by the HTTP semantic conventions. Made only for what is sampled; bounded in number and size of attributes, and
//! never holding a header's value.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;

use super::context::{RequestTrace, TraceContext};
use super::id::SpanId;
use crate::attributes::{Key, Value};
use crate::clock::UnixNanos;
use crate::exchange::{HttpMethod, HttpVersion, Scheme};
use crate::flag::ResponseFlag;
use crate::metrics::{CLIENT_FAILED_FROM, SERVER_FAILED_FROM, error_label, keys};

/// Longer text is cut at a character.
pub const ATTRIBUTE_BYTES_MAX: usize = 1024;
/// Further events are counted only.
pub const EVENTS_MAX: usize = 64;
/// Longer names are cut at a character.
const NAME_BYTES_MAX: usize = 256;

/// Which side of an exchange a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// The proxy answered a client.
    Server,
    /// The proxy asked an endpoint.
    Client,
}

/// A span attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum SpanValue {
    /// Text.
    Text(Cow<'static, str>),
    /// A name of the configuration.
    Name(Arc<str>),
    /// A whole number.
    Int(i64),
}

/// What happened within a span, such as a filter's failure.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanEvent {
    /// When.
    pub at: UnixNanos,
    /// What.
    pub name: &'static str,
    /// Details.
    pub attributes: Vec<(Key, SpanValue)>,
}

/// When a span began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanTimes {
    /// When it began.
    pub start: UnixNanos,
    /// When it ended.
    pub end: UnixNanos,
}

/// A finished span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<SpanId>,
    pub(crate) parent_is_remote: bool,
    pub(crate) trace_state: String,
    pub(crate) kind: SpanKind,
    pub(crate) name: String,
    pub(crate) times: SpanTimes,
    pub(crate) attributes: Vec<(Key, SpanValue)>,
    pub(crate) events: Vec<SpanEvent>,
    pub(crate) events_dropped: u32,
    pub(crate) error: Option<String>,
}

/// What the server span of a request says.
#[derive(Clone, Debug)]
pub struct ServerSpan<'a> {
    /// The request's place in its trace.
    pub trace: RequestTrace,
    /// The request's `tracestate` ([`RequestTrace::trace_state`]).
    pub trace_state: String,
    /// From the request's first byte to the end of its response.
    pub times: SpanTimes,
    /// The method.
    pub method: HttpMethod,
    /// The version spoken with the client.
    pub version: HttpVersion,
    /// The scheme.
    pub scheme: Scheme,
    /// The path, without the query.
    pub path: &'a str,
    /// The host that the client asked for.
    pub host: &'a str,
    /// The port that it asked at.
    pub port: u16,
    /// The client's address.
    pub client: &'a str,
    /// The response's status; none if there was no response.
    pub status: Option<StatusCode>,
    /// Who ended the request.
    pub flag: &'a ResponseFlag,
    /// `kind/namespace/name`.
    pub route: Option<Arc<str>>,
    /// The rule's name, or its index.
    pub rule: Option<Arc<str>>,
    /// `namespace/name:port`.
    pub backend: Option<Arc<str>>,
}

/// What the client span of one try says.
#[derive(Clone, Debug)]
pub struct ClientSpan<'a> {
    /// The try's place in its trace: a child of the server span's context.
    pub context: TraceContext,
    /// The server span.
    pub parent: SpanId,
    /// From the choice of an endpoint to the end of its response.
    pub times: SpanTimes,
    /// The method.
    pub method: HttpMethod,
    /// The version spoken with the endpoint, where a connection was made.
    pub version: Option<HttpVersion>,
    /// The endpoint's address.
    pub address: &'a str,
    /// The endpoint's port.
    pub port: u16,
    /// `namespace/name:port`.
    pub backend: Option<Arc<str>>,
    /// The response's status; none if there was no response.
    pub status: Option<StatusCode>,
    /// Who ended the try.
    pub flag: &'a ResponseFlag,
    /// 0 for a request's first try.
    pub retry: u32,
}

// === impl SpanValue ===

impl SpanValue {
    /// Text of any origin, cut to [`ATTRIBUTE_BYTES_MAX`].
    #[must_use]
    pub fn text(text: &str) -> Self {
        SpanValue::Text(Cow::Owned(cut(text, ATTRIBUTE_BYTES_MAX).to_owned()))
    }
}

impl From<Value> for SpanValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Static(text) => SpanValue::Text(Cow::Borrowed(text)),
            Value::Str(name) => SpanValue::Name(name),
            Value::Int(number) => SpanValue::Int(number),
        }
    }
}

// === impl Span ===

impl Span {
    /// Adds what happened within; beyond [`EVENTS_MAX`] it is counted only.
    pub fn event(&mut self, event: SpanEvent) {
        if self.events.len() < EVENTS_MAX {
            self.events.push(event);
        } else {
            self.events_dropped = self.events_dropped.saturating_add(1);
        }
    }

    /// The span's place in its trace.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        self.context
    }
}

// === impl ServerSpan ===

impl ServerSpan<'_> {
    /// The span, named `METHOD ROUTE`: the path has too many values to name spans by.
    #[must_use]
    pub fn into_span(self) -> Span {
        let word = self.method.span_word();
        let name = match &self.route {
            Some(route) => format!("{word} {route}"),
            None => word.to_owned(),
        };
        let mut attributes: Vec<(Key, SpanValue)> = vec![
            (keys::HTTP_REQUEST_METHOD, SpanValue::Text(self.method.as_str().into())),
            ("url.path", SpanValue::text(self.path)),
            (keys::URL_SCHEME, SpanValue::Text(self.scheme.as_str().into())),
            ("server.address", SpanValue::text(self.host)),
            (keys::SERVER_PORT, SpanValue::Int(self.port.into())),
            ("client.address", SpanValue::text(self.client)),
            (keys::NETWORK_PROTOCOL_VERSION, SpanValue::Text(self.version.as_str().into())),
        ];
        push_outcome(&mut attributes, self.status, self.flag, SERVER_FAILED_FROM);
        push_name(&mut attributes, keys::ROUTE, self.route);
        push_name(&mut attributes, keys::RULE, self.rule);
        push_name(&mut attributes, keys::BACKEND, self.backend);
        Span {
            context: self.trace.context,
            parent: self.trace.parent,
            parent_is_remote: self.trace.parent.is_some(),
            trace_state: self.trace_state,
            kind: SpanKind::Server,
            name: cut(&name, NAME_BYTES_MAX).to_owned(),
            times: self.times,
            attributes,
            events: Vec::new(),
            events_dropped: 0,
            error: error_text(self.status, self.flag, SERVER_FAILED_FROM),
        }
    }
}

// === impl ClientSpan ===

impl ClientSpan<'_> {
    /// The span, named by the method.
    #[must_use]
    pub fn into_span(self) -> Span {
        let mut attributes: Vec<(Key, SpanValue)> = vec![
            (keys::HTTP_REQUEST_METHOD, SpanValue::Text(self.method.as_str().into())),
            ("server.address", SpanValue::text(self.address)),
            (keys::SERVER_PORT, SpanValue::Int(self.port.into())),
        ];
        if let Some(version) = self.version {
            attributes.push((keys::NETWORK_PROTOCOL_VERSION, SpanValue::Text(version.as_str().into())));
        }
        if self.retry > 0 {
            attributes.push(("http.request.resend_count", SpanValue::Int(self.retry.into())));
        }
        push_outcome(&mut attributes, self.status, self.flag, CLIENT_FAILED_FROM);
        push_name(&mut attributes, keys::BACKEND, self.backend);
        Span {
            context: self.context,
            parent: Some(self.parent),
            parent_is_remote: false,
            trace_state: String::new(),
            kind: SpanKind::Client,
            name: self.method.span_word().to_owned(),
            times: self.times,
            attributes,
            events: Vec::new(),
            events_dropped: 0,
            error: error_text(self.status, self.flag, CLIENT_FAILED_FROM),
        }
    }
}

fn push_outcome(
    attributes: &mut Vec<(Key, SpanValue)>,
    status: Option<StatusCode>,
    flag: &ResponseFlag,
    failed_from: StatusCode,
) {
    if let Some(status) = status {
        attributes.push((keys::HTTP_RESPONSE_STATUS_CODE, SpanValue::Int(status.as_u16().into())));
    }
    if let Some(error) = error_label(status, flag.kind(), failed_from) {
        attributes.push((keys::ERROR_TYPE, error.into()));
    }
    attributes.push(("portolan.flag", SpanValue::text(&flag.to_string())));
}

fn push_name(attributes: &mut Vec<(Key, SpanValue)>, key: Key, name: Option<Arc<str>>) {
    attributes.extend(name.map(|name| (key, SpanValue::Name(name))));
}

/// The description of a failed span; empty where the status code says it all.
fn error_text(status: Option<StatusCode>, flag: &ResponseFlag, failed_from: StatusCode) -> Option<String> {
    if flag.kind().is_error() {
        return Some(flag.to_string());
    }
    status.filter(|status| *status >= failed_from).map(|_| String::new())
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
