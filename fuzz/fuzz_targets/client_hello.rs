//! The ClientHello reader against any bytes, and against what rustls reads.
#![no_main]

#[path = "../shared/client_hello.rs"]
mod client_hello;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    client_hello::check(input);
});
