//! The host, driven as the engine drives it: by phases, with guests in Rust, Go and WebAssembly text.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

mod arbitrary;
mod hostile;
mod languages;
mod life_cycle;
mod limits;
mod modules;
mod pauses;
mod phases;
mod sharing;
mod support;
