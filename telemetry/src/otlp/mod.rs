//! Exports metrics and spans by OTLP over gRPC, from a thread and runtime of its own. Off unless configured.
//! A collector that is down or slow costs dropped spans, which are counted, and never a worker's time.

mod config;
mod encode;
mod export;
mod metrics;
mod spans;

pub use config::{Header, OtlpConfig, OtlpConfigError};
pub use export::{Otlp, OtlpError};
