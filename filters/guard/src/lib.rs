//! Allows or denies requests by rules on path and headers, and tags what passes. Never looks at bodies.

pub mod rules;

#[cfg(target_family = "wasm")]
mod filter;
