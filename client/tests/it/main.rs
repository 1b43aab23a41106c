//! The client against small servers on loopback. Needs no network, no fixed port and no running `dev`.

mod certificates;
mod command;
mod grpc;
mod http;
mod http3;
mod load;
mod raw;
mod servers;
mod websocket;
