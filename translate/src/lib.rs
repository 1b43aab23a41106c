//! Objects → snapshot and statuses. Pure and total: no async, no clock, no randomness, no IO, no logging; the same input
//! gives the same output. A bad object yields its condition and the behaviour that the specification asks for; it
//! changes nothing else.
#![forbid(unsafe_code)]

mod changes;
mod conditions;
pub mod edges;
mod gateway;
mod last_certificates;
mod mesh;
pub mod objects;
mod pass;
mod policy_status;
mod ports;
mod recent;
pub mod references;
mod refs;
mod route;
mod selector;
pub mod snapshot;
pub mod statuses;
mod translation;
mod wasm_filters;

pub use edges::Edges;
pub use gateway::{gateway_config, is_supported_bundle};
pub use last_certificates::LastCertificates;
pub use objects::{ObjectName, Objects};
pub use references::{Reference, References};
pub use snapshot::Snapshot;
pub use statuses::Statuses;
pub use translation::{ListenerPort, Translation, translate};
