//! Objects → snapshot and statuses. Pure and total: no async, no clock, no randomness, no IO, no logging; the same input
//! gives the same output. A bad object yields its condition and the behaviour that the specification asks for; it
//! changes nothing else.
#![forbid(unsafe_code)]

pub mod edges;
pub mod objects;
pub mod snapshot;

pub use edges::Edges;
pub use objects::{ObjectName, Objects};
pub use snapshot::Snapshot;
