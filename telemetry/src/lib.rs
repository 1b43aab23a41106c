//! What the engine tells about itself: metrics, traces and one access log line per request.
//! Recording never blocks, never locks and never waits for a reader; what cannot be kept is dropped and counted.

#![forbid(unsafe_code)]

pub mod access_log;
pub mod attributes;
pub mod clock;
pub mod exchange;
pub mod flag;
pub mod metrics;
pub mod otlp;
pub mod trace;

pub use attributes::{Key, Labels, Value};
pub use exchange::{HttpMethod, HttpVersion, Scheme};
pub use flag::{FlagKind, ResponseFlag};
