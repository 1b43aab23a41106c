//! Metrics: handles that workers keep and record through, a registry that adds them up when somebody asks.
//! Recording takes no lock, no hash and no allocation; a label never takes a value that a client chose.

mod engine;
mod http;
mod instrument;
pub mod layout;
pub mod names;
mod prometheus;
mod registry;
mod snapshot;
mod table;

#[cfg(test)]
mod tests;

pub use engine::{ConfigLoads, Connections, FilterCalls, FilterFailure, L4Bytes, Upstream};
pub use http::{ActiveRequests, Exchange, HttpClient, HttpServer, ListenerLabels, RouteLabels};
pub(crate) use http::{CLIENT_FAILED_FROM, SERVER_FAILED_FROM, error_label};
pub use instrument::{Counter, Entered, Gauge, Histogram, Instrument, Metric, Unit, UpDownCounter};
pub use names::keys;
pub use prometheus::prometheus_name;
pub use registry::{OVERFLOW_KEY, Registry, SERIES_MAX_DEFAULT, WorkerId, WorkerMetrics};
pub use snapshot::{Distribution, Family, Reading, Series, Snapshot, Summary};

/// The media type of [`Registry::prometheus`].
pub const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
