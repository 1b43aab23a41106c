//! What the tests share: a running `portolan dev`, manifests for it, and ways to ask it. Judges nothing.

mod ask;
mod backend;
pub mod certificates;
mod dev;
pub mod manifests;
mod names;
mod process;
pub mod raw;

pub use ask::Reply;
pub use backend::Backend;
pub use dev::{Dev, DevBuilder, eventually};
pub use process::{Finished, portolan};
