//! The short runs of tests: seeds from files, a fixed seed for what is done to them, and what to say when one fails.

use super::random::Random;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

/// The seed unless `PORTOLAN_FUZZ_SEED` says otherwise.
const SEED: u64 = 0x5eed_0f90_7014_7777;

/// The generator of this run; its seed is printed, so that a failure can be had again.
pub fn random() -> Random {
    let seed = match std::env::var("PORTOLAN_FUZZ_SEED") {
        Ok(text) => parse(&text).unwrap_or_else(|| panic!("PORTOLAN_FUZZ_SEED={text} is no number")),
        Err(_) => SEED,
    };
    println!("PORTOLAN_FUZZ_SEED={seed:#x}");
    Random::new(seed)
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The files below a folder, by name, from the root of the repository.
pub fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| fs::read(path).expect("a seed can be read")).collect()
}

/// What a check says of an input; if it fails, the input is shown before.
pub fn run<T>(input: &[u8], check: impl FnOnce(&[u8]) -> T) -> T {
    catch_unwind(AssertUnwindSafe(|| check(input))).unwrap_or_else(|panic| {
        println!("failed on {} bytes: b\"{}\"", input.len(), input.escape_ascii());
        resume_unwind(panic)
    })
}
