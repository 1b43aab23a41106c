//! The client against small servers on loopback. Needs no network, no fixed port and no running `dev`.
// The servers here are test code outside of test functions, which clippy cannot tell.
#![allow(clippy::unwrap_used)]

mod certificates;
mod command;
mod grpc;
mod http;
mod http3;
mod load;
mod raw;
mod servers;
mod websocket;
