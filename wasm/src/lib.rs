//! Portolan: wasm.
