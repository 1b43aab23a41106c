//! The sockets that the process listens on: bound once, shared by all workers, retired without resetting a queued
//! connection, handed to a new process. It reads no request and knows no route.
//!
//! One listening socket per address, of which each worker has a duplicate, and no `SO_REUSEPORT`: with that, each
//! worker's socket has a queue of its own, which the kernel resets when the worker closes it, and another process may
//! take a share of the connections by accident.

mod bind;
#[cfg(target_os = "linux")]
mod handshakes;
mod retire;
mod takeover;

pub use bind::{BindError, Bound, Listeners};
pub use retire::Listener;
pub use takeover::{Inherited, Takeover, TakeoverError, TakeoverServer};
