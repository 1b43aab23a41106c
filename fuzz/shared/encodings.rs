//! What must hold of the encodings of Proxy-Wasm: no panic, round trips, limits kept; for any bytes, and for lists that
//! were in order before a few bytes changed.

use portolan_wasm::{EncodingError, OwnedPair, PairLimits, decode_pairs, encode_pairs, fuzz_encodings, path_segments};
use std::borrow::Cow;

/// Pairs that an input can describe.
const PAIRS_MAX: usize = 64;

/// Checks an input: as it is if the first byte is even, otherwise as the description of a list.
/// Says whether it held a list.
pub fn check(input: &[u8]) -> bool {
    let Some((kind, rest)) = input.split_first() else { return false };
    if kind.is_multiple_of(2) {
        fuzz_encodings(rest);
        return limits_hold(rest, usize::from(*kind));
    }
    let (pairs, changes) = describe(rest, usize::from(*kind) / 2);
    let mut list = round_trip(&pairs);
    path_splits(&pairs);
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % list.len();
        list[at] = change[2];
        fuzz_encodings(&list);
        limits_hold(&list, usize::from(change[2]));
        fuzz_encodings(&list[..at]);
    }
    true
}

/// Pairs out of bytes (two lengths and the text of each), and what is left.
fn describe(mut bytes: &[u8], count: usize) -> (Vec<OwnedPair<'_>>, &[u8]) {
    let mut pairs = Vec::new();
    while pairs.len() < count.min(PAIRS_MAX) {
        let Some(([name, value], rest)) = bytes.split_first_chunk() else { break };
        let (name, rest) = rest.split_at(usize::from(*name).min(rest.len()));
        let (value, rest) = rest.split_at(usize::from(*value).min(rest.len()));
        pairs.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        bytes = rest;
    }
    (pairs, bytes)
}

fn round_trip(pairs: &[OwnedPair<'_>]) -> Vec<u8> {
    let limits = PairLimits { count: PAIRS_MAX, bytes: 1 << 20 };
    let mut list = Vec::new();
    encode_pairs(pairs, limits, &mut list).expect("the pairs are within the limits");
    let back = decode_pairs(&list, limits).expect("what was encoded decodes");
    assert!(
        back.iter().copied().eq(pairs.iter().map(|(name, value)| (&**name, &**value))),
        "a round trip changes pairs"
    );
    let exact = PairLimits { count: pairs.len(), bytes: list.len() };
    assert!(decode_pairs(&list, exact).is_ok(), "a limit that is just kept is no error");
    let short = PairLimits { bytes: list.len() - 1, ..exact };
    assert_eq!(decode_pairs(&list, short), Err(EncodingError::TooLarge));
    list
}

/// No more pairs than allowed, whatever the bytes say.
fn limits_hold(bytes: &[u8], most: usize) -> bool {
    let decoded = decode_pairs(bytes, PairLimits { count: most, bytes: most * 8 });
    let within = |pairs: &Vec<_>| pairs.len() <= most && bytes.len() <= most * 8;
    assert!(decoded.as_ref().is_ok_and(within) || decoded.is_err(), "a limit was passed");
    decoded.is_ok()
}

/// A path's segments are those that were joined, with or without a NUL at the end.
fn path_splits(pairs: &[OwnedPair<'_>]) {
    let names: Vec<&[u8]> = pairs.iter().map(|(name, _)| &**name).filter(|name| !name.contains(&0)).collect();
    if names.last().is_none_or(|last| last.is_empty()) {
        return;
    }
    let mut path = names.join(&0);
    assert!(path_segments(&path).eq(names.iter().copied()), "a path splits elsewhere than at its NULs");
    path.push(0);
    assert!(path_segments(&path).eq(names.iter().copied()), "a NUL at the end adds a segment");
}
