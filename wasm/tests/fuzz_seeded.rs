//! A short run of the fuzz target `proxy_wasm_encodings`, the same every time.

#[path = "../../fuzz/shared/bytes.rs"]
mod bytes;
#[path = "../../fuzz/shared/encodings.rs"]
mod encodings;
#[path = "../../fuzz/shared/random.rs"]
mod random;
#[path = "../../fuzz/shared/seeded.rs"]
mod seeded;

const ROUNDS: usize = 100_000;
const INPUT_BYTES_MAX: usize = 2048;

#[test]
fn changed_lists_decode_to_what_they_say_or_not_at_all() {
    let seeds = seeded::files("fuzz/seeds/proxy_wasm_encodings");
    let mut random = seeded::random();
    let mut decoded = 0;
    let whole = seeds.iter().filter(|seed| seeded::run(seed, encodings::check)).count();
    assert!(whole > 0, "no seed is in order");
    for _ in 0..ROUNDS {
        let mut input = random.pick(&seeds).cloned().unwrap_or_default();
        bytes::mutate(&mut input, &seeds, INPUT_BYTES_MAX, &mut random);
        decoded += usize::from(seeded::run(&input, encodings::check));
    }
    assert!(decoded > ROUNDS / 20, "only {decoded} of {ROUNDS} inputs held a list: the seeds are of no use");
}
