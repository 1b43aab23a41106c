//! `portolan` as its users run it: a real process, real files, real sockets. Nothing here runs in the test's process but
//! clients and backends.
#![allow(missing_docs, clippy::unwrap_used)]

mod agreement;
mod attachment;
mod auth;
mod backends;
mod bad_manifests;
mod commands;
mod crossing;
mod ending;
mod filters;
mod hostile_backend;
mod hostile_http1;
mod hostile_http2;
mod hostile_tls;
mod http3;
mod limits;
mod long_lived;
mod matching;
mod mesh;
mod mutual_tls;
mod paths;
mod protocols;
mod reference;
mod reload;
mod semantics;
mod support;
mod takeover;
mod time;
mod tls;
mod udp;
mod unprivileged;
mod wasm;
