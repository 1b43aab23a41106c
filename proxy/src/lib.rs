//! The engine: listens, decodes, routes, filters, forwards; serves whatever `Snapshot` was published last. It knows no
//! Kubernetes client and no files, and not how traffic was led to it.

mod accept;
mod batch;
mod body;
mod budget;
mod clock;
mod conn;
pub mod engine;
pub mod error;
pub mod explain;
mod filter;
mod h1;
mod h2;
mod h3;
pub mod http;
pub mod l4;
pub mod limits;
pub mod listen;
mod rng;
mod serve;
pub mod shared;
pub mod tls;
mod udp;
mod upstream;
mod watch;
mod worker;

pub use engine::Engine;
pub use limits::Limits;
pub use shared::{Options, Shared};
