//! A short run of the fuzz target `yaml_to_snapshot`, the same every time.

#[path = "../../fuzz/shared/bytes.rs"]
mod bytes;
#[path = "../../fuzz/shared/damage.rs"]
mod damage;
#[path = "../../fuzz/shared/manifests.rs"]
mod manifests;
#[path = "../../fuzz/shared/random.rs"]
mod random;
#[path = "../../fuzz/shared/seeded.rs"]
mod seeded;

const ROUNDS: usize = 600;
const INPUT_BYTES_MAX: usize = 8192;

fn check(input: &[u8]) -> usize {
    manifests::check(&String::from_utf8_lossy(input))
}

#[test]
fn damaged_manifests_are_read_translated_and_explained_whatever_was_saved_before() {
    let mut seeds = seeded::files("fuzz/seeds/yaml_to_snapshot");
    seeds.extend(seeded::files("demo/manifests"));
    let mut random = seeded::random();
    let mut answers: usize = seeds.iter().map(|seed| seeded::run(seed, check)).sum();
    for round in 0..ROUNDS {
        let mut input = random.pick(&seeds).cloned().unwrap_or_default();
        if round % 4 == 0 {
            bytes::mutate(&mut input, &seeds, INPUT_BYTES_MAX, &mut random);
        } else {
            input = damaged(&input, &seeds, &mut random);
        }
        answers += seeded::run(&input, check);
    }
    assert!(answers > ROUNDS, "only {answers} requests were explained of {ROUNDS} inputs: the seeds are of no use");
}

fn damaged(input: &[u8], others: &[Vec<u8>], random: &mut random::Random) -> Vec<u8> {
    let other = String::from_utf8_lossy(random.pick(others).map_or(&[][..], Vec::as_slice)).into_owned();
    let mut text = String::from_utf8_lossy(input).into_owned();
    for _ in 0..=random.below(3) {
        text = damage::mutate(&text, &other, random);
    }
    text.into_bytes()
}
