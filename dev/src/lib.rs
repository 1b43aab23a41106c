//! The pieces by which `portolan dev` plays a cluster on a laptop: addresses, a local CA, pods played by echo servers
//! or by the user's own commands, and the endpoints that follow. Reads no manifest, routes nothing, needs no root.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod ca;
pub mod cluster;
pub mod command;
pub mod echo;
mod files;
mod name;
pub mod workloads;

pub use files::FileError;
pub use name::{PortKey, QualifiedName, Transport};
