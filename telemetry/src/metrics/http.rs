//! What a worker records for each request and each upstream try: the HTTP semantic conventions' metrics.
//! A handle belongs to one (listener, route rule, backend); it looks up nothing but its own few combinations.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::instrument::{Entered, Histogram, UpDownCounter};
use super::names::{self, keys};
use super::registry::WorkerMetrics;
use super::table::Table;
use crate::attributes::{Key, Labels, Value};
use crate::clock;
use crate::exchange::{HttpMethod, HttpVersion, Scheme};
use crate::flag::FlagKind;

/// Status codes above have no meaning (RFC 9110, section 15) and share one label.
const STATUS_MAX: u16 = 599;
/// The label of such a status code.
const STATUS_OTHER: &str = "_OTHER";

/// From here on a server has failed: a client's own fault (4xx) is none of the server's.
pub(crate) const SERVER_FAILED_FROM: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
/// From here on a client has failed.
pub(crate) const CLIENT_FAILED_FROM: StatusCode = StatusCode::BAD_REQUEST;

/// What labels a listener's series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenerLabels {
    /// `namespace/name` of the Gateway, or of the frontend Service.
    pub gateway: Arc<str>,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The scheme it serves; none below HTTP.
    pub scheme: Option<Scheme>,
    /// The port that clients use.
    pub port: u16,
}

/// What labels the series of a route's rule and backend. What a request did not get as far as is absent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteLabels {
    /// Where the request came in.
    pub listener: ListenerLabels,
    /// `kind/namespace/name`.
    pub route: Option<Arc<str>>,
    /// The rule's name, or its index.
    pub rule: Option<Arc<str>>,
    /// `namespace/name:port`.
    pub backend: Option<Arc<str>>,
}

/// One finished request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Its method.
    pub method: HttpMethod,
    /// The version spoken with the peer.
    pub version: HttpVersion,
    /// The response's status; none if there was no response.
    pub status: Option<StatusCode>,
    /// Who ended it.
    pub flag: FlagKind,
    /// How long it took.
    pub duration: Duration,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

/// A worker's handle for the requests of one (listener, route rule, backend).
#[derive(Debug)]
pub struct HttpServer {
    metrics: WorkerMetrics,
    labels: Labels,
    series: Table<ServerSeries>,
}

/// A worker's handle for the tries at one backend on behalf of one route rule.
#[derive(Debug)]
pub struct HttpClient {
    metrics: WorkerMetrics,
    labels: Labels,
    series: Table<Histogram>,
}

/// A worker's handle for the requests in progress at one listener.
#[derive(Debug)]
pub struct ActiveRequests {
    metrics: WorkerMetrics,
    labels: Labels,
    series: Table<UpDownCounter>,
}

#[derive(Debug)]
struct ServerSeries {
    duration: Histogram,
    request_size: Histogram,
    response_size: Histogram,
}

// === impl labels ===

impl ListenerLabels {
    /// As a label set.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let scheme = self.scheme.map(|scheme| (keys::URL_SCHEME, scheme.as_str().into()));
        let fixed = [
            (keys::GATEWAY, self.gateway.clone().into()),
            (keys::LISTENER, self.listener.clone().into()),
            (keys::SERVER_PORT, self.port.into()),
        ];
        Labels::new(fixed.into_iter().chain(scheme))
    }
}

impl RouteLabels {
    /// As a label set.
    #[must_use]
    pub fn labels(&self) -> Labels {
        let named = |key: Key, name: &Option<Arc<str>>| name.clone().map(|name| (key, Value::Str(name)));
        let names =
            [named(keys::ROUTE, &self.route), named(keys::RULE, &self.rule), named(keys::BACKEND, &self.backend)];
        self.listener.labels().with(names.into_iter().flatten())
    }
}

// === impl Exchange ===

impl Exchange {
    /// The combination of what an exchange adds to a handle's labels.
    #[inline]
    fn key(&self) -> u32 {
        let status = self.status.map_or(0, |status| u32::from(status.as_u16().min(STATUS_MAX + 1)));
        let error = if self.flag.is_error() { self.flag as u32 } else { 0 };
        error << 16 | status << 6 | (self.version as u32) << 4 | self.method as u32
    }

    fn labels(&self, labels: &Labels, failed_from: StatusCode) -> Labels {
        let status = self.status.map(|status| (keys::HTTP_RESPONSE_STATUS_CODE, status_label(status)));
        let error = error_label(self.status, self.flag, failed_from).map(|error| (keys::ERROR_TYPE, error));
        let fixed = [
            (keys::HTTP_REQUEST_METHOD, self.method.as_str().into()),
            (keys::NETWORK_PROTOCOL_VERSION, self.version.as_str().into()),
        ];
        labels.with(fixed.into_iter().chain(status).chain(error))
    }
}

fn status_label(status: StatusCode) -> Value {
    match status.as_u16() {
        code if code <= STATUS_MAX => code.into(),
        _ => STATUS_OTHER.into(),
    }
}

/// `error.type`: the flag that ended the exchange, else the status code from which on it counts as failed.
pub(crate) fn error_label(status: Option<StatusCode>, flag: FlagKind, failed_from: StatusCode) -> Option<Value> {
    if flag.is_error() {
        return Some(flag.as_str().into());
    }
    status.filter(|status| *status >= failed_from).map(|status| match status.as_u16() {
        code if code <= STATUS_MAX => Value::Str(code.to_string().into()),
        _ => STATUS_OTHER.into(),
    })
}

// === impl handles ===

impl WorkerMetrics {
    /// A handle for the requests of one (listener, route rule, backend).
    #[must_use]
    pub fn http_server(&self, labels: &RouteLabels) -> HttpServer {
        HttpServer { metrics: self.clone(), labels: labels.labels(), series: Table::new() }
    }

    /// A handle for the tries at a backend on behalf of one route rule.
    #[must_use]
    pub fn http_client(&self, labels: &RouteLabels) -> HttpClient {
        // The backend stands for server.address and server.port: endpoints come and go, and each would be a series.
        let own = [keys::ROUTE, keys::RULE, keys::BACKEND];
        HttpClient { metrics: self.clone(), labels: labels.labels().only(&own), series: Table::new() }
    }

    /// A handle for the requests in progress at a listener.
    #[must_use]
    pub fn active_requests(&self, labels: &ListenerLabels) -> ActiveRequests {
        ActiveRequests { metrics: self.clone(), labels: labels.labels(), series: Table::new() }
    }
}

impl HttpServer {
    /// Records a finished request: six relaxed atomic additions.
    #[inline]
    pub fn record(&self, exchange: &Exchange) {
        let make = || ServerSeries::new(&self.metrics, &exchange.labels(&self.labels, SERVER_FAILED_FROM));
        let series = self.series.get(exchange.key(), make);
        series.duration.record(clock::nanos(exchange.duration));
        series.request_size.record(exchange.request_bytes);
        series.response_size.record(exchange.response_bytes);
    }
}

impl ServerSeries {
    fn new(metrics: &WorkerMetrics, labels: &Labels) -> Self {
        ServerSeries {
            duration: metrics.handle(&names::HTTP_SERVER_REQUEST_DURATION, labels),
            request_size: metrics.handle(&names::HTTP_SERVER_REQUEST_BODY_SIZE, labels),
            response_size: metrics.handle(&names::HTTP_SERVER_RESPONSE_BODY_SIZE, labels),
        }
    }
}

impl HttpClient {
    /// Records a finished try: two relaxed atomic additions. The bytes are not recorded.
    #[inline]
    pub fn record(&self, exchange: &Exchange) {
        let make = || {
            let labels = exchange.labels(&self.labels, CLIENT_FAILED_FROM);
            self.metrics.handle(&names::HTTP_CLIENT_REQUEST_DURATION, &labels)
        };
        self.series.get(exchange.key(), make).record(clock::nanos(exchange.duration));
    }
}

impl ActiveRequests {
    /// Counts a request until the guard is dropped.
    #[inline]
    #[must_use = "the request counts as active until the guard is dropped"]
    pub fn enter(&self, method: HttpMethod) -> Entered {
        let make = || {
            let labels = self.labels.with([(keys::HTTP_REQUEST_METHOD, method.as_str().into())]);
            self.metrics.handle(&names::HTTP_SERVER_ACTIVE_REQUESTS, &labels)
        };
        self.series.get(method as u32, make).enter()
    }
}
