//! `portolan` as its users run it: a real process, real files, real sockets. Nothing here runs in the test's process but
//! clients and backends.
#![allow(missing_docs, clippy::unwrap_used)]

mod attachment;
mod backends;
mod bad_manifests;
mod ending;
mod filters;
mod matching;
mod mesh;
mod mutual_tls;
mod protocols;
mod reload;
mod support;
mod time;
mod tls;
mod udp;
mod unprivileged;
