//! A short run of the fuzz target `client_hello`, the same every time.

#[path = "../../fuzz/shared/bytes.rs"]
mod bytes;
#[path = "../../fuzz/shared/client_hello.rs"]
mod client_hello;
#[path = "../../fuzz/shared/random.rs"]
mod random;
#[path = "../../fuzz/shared/seeded.rs"]
mod seeded;

const ROUNDS: usize = 30_000;
const INPUT_BYTES_MAX: usize = 2048;

#[test]
fn changed_client_hellos_are_read_in_one_way_and_as_the_tls_library_does() {
    let seeds = seeded::files("fuzz/seeds/client_hello");
    let mut random = seeded::random();
    let mut read = 0;
    let whole = seeds.iter().filter(|seed| seeded::run(seed, client_hello::check)).count();
    assert!(whole > 0, "no seed is in order");
    for _ in 0..ROUNDS {
        let mut input = random.pick(&seeds).cloned().unwrap_or_default();
        bytes::mutate(&mut input, &seeds, INPUT_BYTES_MAX, &mut random);
        read += usize::from(seeded::run(&input, client_hello::check));
    }
    assert!(read > ROUNDS / 20, "only {read} of {ROUNDS} inputs were a ClientHello: the seeds are of no use");
}
