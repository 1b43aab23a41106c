//! Changes bytes at random, as a fuzzer without coverage would.

use super::random::Random;

/// Bytes at which readers tend to err.
const TELLING: &[u8] = &[0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff, b'\n', b'.', b' ', b':', b'-'];
/// Most changes of one input.
const CHANGES_MAX: usize = 6;

/// Changes an input a few times; `others` are what it can be mixed with.
pub fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], bytes_max: usize, random: &mut Random) {
    for _ in 0..=random.below(CHANGES_MAX) {
        change(bytes, others, random);
    }
    bytes.truncate(bytes_max);
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(16)).min(bytes.len());
    match random.below(8) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..end)),
        2 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
        3 => bytes.insert(at, random.number() as u8),
        4 => {
            let other = random.pick(others).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len() + 1);
            bytes.splice(at.., other[from..].iter().copied());
        }
        5 => set(bytes, at, |byte| byte ^ (1 << (at % 8))),
        6 => set(bytes, at, |byte| byte.wrapping_add(1)),
        _ => {
            let telling = random.pick(TELLING).copied().unwrap_or_default();
            set(bytes, at, |_| telling);
        }
    }
}

fn set(bytes: &mut [u8], at: usize, to: impl FnOnce(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = to(*byte);
    }
}
