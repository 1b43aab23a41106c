//! The encodings that cross the boundary of Proxy-Wasm guests.
#![no_main]

#[path = "../shared/encodings.rs"]
mod encodings;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    encodings::check(input);
});
