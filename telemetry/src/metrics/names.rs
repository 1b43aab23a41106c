//! The metrics that Portolan has: the HTTP semantic conventions' where they have one, ours elsewhere.
//! A label's values come from a bounded set or from the configuration, never from a client.

use super::instrument::{Counter, Gauge, Histogram, Metric, Unit, UpDownCounter};
use super::layout;

const REQUESTS: Unit = Unit::Count("{request}");
const CONNECTIONS: Unit = Unit::Count("{connection}");

/// Attribute keys.
#[allow(missing_docs, reason = "each constant is named as its key")]
pub mod keys {
    use crate::attributes::Key;

    pub const HTTP_REQUEST_METHOD: Key = "http.request.method";
    pub const HTTP_RESPONSE_STATUS_CODE: Key = "http.response.status_code";
    pub const URL_SCHEME: Key = "url.scheme";
    pub const SERVER_PORT: Key = "server.port";
    pub const NETWORK_PROTOCOL_VERSION: Key = "network.protocol.version";
    pub const NETWORK_IO_DIRECTION: Key = "network.io.direction";
    pub const ERROR_TYPE: Key = "error.type";
    pub const GATEWAY: Key = "portolan.gateway";
    pub const LISTENER: Key = "portolan.listener";
    /// `kind/namespace/name`.
    pub const ROUTE: Key = "portolan.route";
    /// The rule's name, or its index.
    pub const RULE: Key = "portolan.rule";
    /// `namespace/name:port`.
    pub const BACKEND: Key = "portolan.backend";
    pub const FILTER: Key = "portolan.filter";
    pub const FILTER_METRIC: Key = "portolan.filter.metric";
    /// The kind of an object of the API.
    pub const KIND: Key = "portolan.kind";
    /// The type of a condition of a status.
    pub const CONDITION: Key = "portolan.condition";
    /// What became of a write.
    pub const OUTCOME: Key = "portolan.outcome";
    pub const LIMIT: Key = "portolan.limit";
    pub const REASON: Key = "reason";
}

/// Duration of a request, from its first byte to the end of its response.
pub static HTTP_SERVER_REQUEST_DURATION: Metric<Histogram> = Metric::histogram(
    "http.server.request.duration",
    Unit::Seconds,
    "Duration of HTTP server requests.",
    &layout::REQUEST_DURATION,
);
/// Requests in progress.
pub static HTTP_SERVER_ACTIVE_REQUESTS: Metric<UpDownCounter> =
    Metric::up_down("http.server.active_requests", REQUESTS, "Number of active HTTP server requests.");
/// Size of request bodies.
pub static HTTP_SERVER_REQUEST_BODY_SIZE: Metric<Histogram> = Metric::histogram(
    "http.server.request.body.size",
    Unit::Bytes,
    "Size of HTTP server request bodies.",
    &layout::BODY_SIZE,
);
/// Size of response bodies.
pub static HTTP_SERVER_RESPONSE_BODY_SIZE: Metric<Histogram> = Metric::histogram(
    "http.server.response.body.size",
    Unit::Bytes,
    "Size of HTTP server response bodies.",
    &layout::BODY_SIZE,
);
/// Duration of one try at an endpoint.
pub static HTTP_CLIENT_REQUEST_DURATION: Metric<Histogram> = Metric::histogram(
    "http.client.request.duration",
    Unit::Seconds,
    "Duration of HTTP client requests, one for each try.",
    &layout::REQUEST_DURATION,
);

/// Connections accepted.
pub static CONNECTIONS_OPENED: Metric<Counter> =
    Metric::counter("portolan.connections.opened", CONNECTIONS, "Connections accepted from clients.");
/// Connections open.
pub static CONNECTIONS_ACTIVE: Metric<UpDownCounter> =
    Metric::up_down("portolan.connections.active", CONNECTIONS, "Connections of clients that are open.");
/// Bytes of TCP, UDP and TLS passthrough, by direction.
pub static L4_IO: Metric<Counter> =
    Metric::counter("portolan.l4.io", Unit::Bytes, "Bytes of connections forwarded below HTTP, as the client sees it.");

/// Connections made to endpoints.
pub static UPSTREAM_CONNECTS: Metric<Counter> =
    Metric::counter("portolan.upstream.connects", CONNECTIONS, "Connections made to endpoints.");
/// Connections that could not be made.
pub static UPSTREAM_CONNECT_FAILURES: Metric<Counter> = Metric::counter(
    "portolan.upstream.connect.failures",
    CONNECTIONS,
    "Connections to endpoints that could not be made.",
);
/// Connections open to endpoints.
pub static UPSTREAM_CONNECTIONS_ACTIVE: Metric<UpDownCounter> =
    Metric::up_down("portolan.upstream.connections.active", CONNECTIONS, "Connections to endpoints that are open.");
/// Tries beyond a request's first.
pub static UPSTREAM_RETRIES: Metric<Counter> =
    Metric::counter("portolan.upstream.retries", REQUESTS, "Tries beyond the first of a request.");
/// Retries that the budget refused.
pub static UPSTREAM_RETRIES_REFUSED: Metric<Counter> =
    Metric::counter("portolan.upstream.retries.refused", REQUESTS, "Retries that the retry budget refused.");
/// Endpoints taken out of use.
pub static UPSTREAM_EJECTIONS: Metric<Counter> = Metric::counter(
    "portolan.upstream.ejections",
    Unit::Count("{endpoint}"),
    "Times that an endpoint was ejected for its failures.",
);

/// Times that a limit was reached, by its name.
pub static LIMIT_REACHED: Metric<Counter> =
    Metric::counter("portolan.limit.reached", Unit::Count("{event}"), "Times that a named limit was reached.");

/// Time spent in a filter, a call.
pub static FILTER_DURATION: Metric<Histogram> = Metric::histogram(
    "portolan.filter.duration",
    Unit::Seconds,
    "Time that a filter's callbacks took.",
    &layout::FILTER_DURATION,
);
/// Failures of a filter, by reason.
pub static FILTER_FAILURES: Metric<Counter> =
    Metric::counter("portolan.filter.failures", Unit::Count("{failure}"), "Failures of filters, by reason.");
/// Counters that filters define.
pub static FILTER_COUNTER: Metric<Counter> =
    Metric::counter("portolan.filter.counter", Unit::Count("{event}"), "Counters that filters define.");
/// Gauges that filters define.
pub static FILTER_GAUGE: Metric<Gauge> =
    Metric::gauge("portolan.filter.gauge", Unit::Count("{value}"), "Gauges that filters define.");
/// Histograms that filters define; values are whole numbers of the filter's own unit.
pub static FILTER_HISTOGRAM: Metric<Histogram> = Metric::histogram(
    "portolan.filter.histogram",
    Unit::Count("{value}"),
    "Histograms that filters define, in the filter's own unit.",
    &layout::BODY_SIZE,
);

/// The configuration in service.
pub static CONFIG_GENERATION: Metric<Gauge> = Metric::gauge(
    "portolan.config.generation",
    Unit::Count("{generation}"),
    "Generation of the configuration in service.",
);
/// Configurations taken into service.
pub static CONFIG_RELOADS: Metric<Counter> =
    Metric::counter("portolan.config.reloads", Unit::Count("{reload}"), "Configurations taken into service.");
/// Configurations of which a part was not taken into service.
pub static CONFIG_RELOAD_FAILURES: Metric<Counter> = Metric::counter(
    "portolan.config.reload.failures",
    Unit::Count("{reload}"),
    "Configurations of which a part could not be taken into service, such as a port that is taken.",
);

/// Whether this controller is the one that writes.
pub static CONTROLLER_LEADING: Metric<Gauge> = Metric::gauge(
    "portolan.controller.leading",
    Unit::Count("{controller}"),
    "1 while this controller is the one that writes, else 0.",
);
/// Duration of one round of the controller, from what is seen to what is to be written.
pub static CONTROLLER_RECONCILE_DURATION: Metric<Histogram> = Metric::histogram(
    "portolan.controller.reconcile.duration",
    Unit::Seconds,
    "Time from what the controller sees to what it wants written.",
    &layout::REQUEST_DURATION,
);
/// Writes of the controller to the API server.
pub static CONTROLLER_WRITES: Metric<Counter> = Metric::counter(
    "portolan.controller.writes",
    Unit::Count("{write}"),
    "Writes of the controller to the API server, by kind and outcome.",
);
/// Objects whose conditions say that something is wrong.
pub static CONTROLLER_PROBLEMS: Metric<Gauge> = Metric::gauge(
    "portolan.controller.problems",
    Unit::Count("{object}"),
    "Objects of which a condition says that something is wrong, by kind and condition.",
);
/// Events that were not sent, because there were too many or the API server did not take them.
pub static CONTROLLER_EVENTS_DROPPED: Metric<Counter> = Metric::counter(
    "portolan.controller.events.dropped",
    Unit::Count("{event}"),
    "Events of objects that were not sent to the API server.",
);
/// Objects that the controller sees.
pub static CONTROLLER_OBJECTS: Metric<Gauge> =
    Metric::gauge("portolan.controller.objects", Unit::Count("{object}"), "Objects that the controller sees, by kind.");

/// Access log lines dropped, because the queue was full or the file could not be written.
pub static ACCESS_LOG_DROPPED: Metric<Counter> =
    Metric::counter("portolan.access_log.dropped", Unit::Count("{line}"), "Access log lines that were dropped.");
/// Spans dropped, because the queue was full or the collector did not take them.
pub static SPANS_DROPPED: Metric<Counter> =
    Metric::counter("portolan.trace.spans.dropped", Unit::Count("{span}"), "Sampled spans that were dropped.");
/// Exports that the collector did not take.
pub static OTLP_EXPORT_FAILURES: Metric<Counter> = Metric::counter(
    "portolan.otlp.export.failures",
    Unit::Count("{export}"),
    "Exports that the collector did not take, by signal.",
);
/// Series in the registry.
pub static METRIC_SERIES: Metric<Gauge> =
    Metric::gauge("portolan.metrics.series", Unit::Count("{series}"), "Series in the registry.");
/// Handles that the cap on series sent to an overflow series.
pub static METRIC_SERIES_DROPPED: Metric<Counter> = Metric::counter(
    "portolan.metrics.series.dropped",
    Unit::Count("{series}"),
    "Label sets that the cap on series sent to an overflow series.",
);

/// The registry's own metrics, which are outside its cap and never removed.
pub(super) const OWN: [&str; 2] = ["portolan.metrics.series", "portolan.metrics.series.dropped"];
