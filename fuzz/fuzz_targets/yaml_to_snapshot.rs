//! Manifests as text, read, translated and explained; changed as bytes and as objects.
#![no_main]

#[path = "../shared/damage.rs"]
mod damage;
#[path = "../shared/manifests.rs"]
mod manifests;
#[path = "../shared/random.rs"]
mod random;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use random::Random;

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input) {
        manifests::check(text);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    let text = std::str::from_utf8(&data[..size]).ok().filter(|_| random.below(4) > 0);
    let Some(text) = text else { return fuzzer_mutate(data, size, max_size) };
    let changed = damage::mutate(text, text, &mut random);
    if changed.len() > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    data[..changed.len()].copy_from_slice(changed.as_bytes());
    changed.len()
});
