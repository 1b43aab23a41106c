//! Does what the request's `x-probe` header says, so that one module reaches most of the host. For tests alone.

#[cfg(target_family = "wasm")]
mod probe;
