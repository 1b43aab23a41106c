//! The test client behind `portolan request`, and a load generator that counts exactly. Serves nothing.
//!
//! One [`Request`] goes through a [`Client`] and comes back as an [`Answer`] or a [`Failure`]; a [`Load`] sends many
//! and comes back as a [`Tally`]. Names, addresses and CA of a running `portolan dev` come in through [`Directory`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use portolan_client::{Client, Load, NoDirectory, Options, Request, run_load};
//!
//! let client = Client::new(Arc::new(NoDirectory), Options::default())?;
//! let request = Request::new("http://shop.localhost:8080/".parse()?);
//! let tally = run_load(&client, &Load::new(request, 20_000, 32)).await;
//! assert_eq!((tally.failed(), tally.unsuccessful), (0, 0), "{tally:?}");
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod answer;
mod args;
mod client;
mod connect;
mod console;
mod directory;
mod failure;
mod grpc;
mod http3;
mod http_over_tcp;
mod load;
mod print;
mod raw;
mod request;
mod run;
mod tally;
mod target;
mod tls;
mod websocket;

pub use answer::{Answer, Backend, Code, KEPT_BYTES_MAX, KEPT_MESSAGES_MAX, Link, Observer, Spoken, TlsInfo};
pub use args::{DATA_BYTES_MAX, Format, RequestArgs, UsageError};
pub use client::{Client, Options, Session, SetupError, TIMEOUT_DEFAULT};
pub use console::{Colour, Console};
pub use directory::{Directory, NoDirectory, Override};
pub use failure::{Failure, FailureKind, Fate};
pub use grpc::{EchoRequest, EchoResponse, MESSAGE_BYTES_MAX, Metadata};
pub use load::{CONCURRENCY_MAX, Load, Progress, run_load};
pub use raw::QUIET;
pub use request::{GrpcMethod, HttpVersion, Protocol, Request};
pub use run::{Exit, run, run_on};
pub use tally::{DISTINCT_MAX, Latencies, OTHERS, Tally};
pub use target::{Scheme, Target, TargetError};
pub use tls::{ClientIdentity, TlsSetupError, Trust};
