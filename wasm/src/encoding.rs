//! The two encodings that cross the guest boundary as bytes: header pairs and property paths.
//! Pure: never touches guest memory, never allocates more than its input justifies, never panics.

use std::borrow::Cow;

/// Why bytes from a guest are not what they claim to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// The bytes end inside a count, a length, a name or a value.
    #[error("pairs end before their declared length")]
    Truncated,
    /// Bytes follow the last pair.
    #[error("bytes follow the last pair")]
    Trailing,
    /// More pairs than allowed.
    #[error("more pairs than allowed")]
    TooMany,
    /// More bytes than allowed.
    #[error("more bytes than allowed")]
    TooLarge,
}

/// Bounds on a list of pairs, as text that a guest sends or asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairLimits {
    /// Most pairs in one list.
    pub count: usize,
    /// Most bytes of one encoded list.
    pub bytes: usize,
}

/// A name and its value, borrowed from the encoded list.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// A name and its value, owned where they had to be made.
pub type OwnedPair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Bytes before the first pair: the number of pairs.
const COUNT_BYTES: usize = 4;
/// Bytes per pair in the table of lengths.
const LENGTHS_BYTES: usize = 8;

/// Decodes a list of pairs: `count`, then `(name length, value length)` each, then each name and value with a NUL
/// after it; integers are 32 bits, little endian. No bytes at all is the empty list.
///
/// # Errors
/// [`EncodingError`] when a length points outside `bytes`, bytes are left over, or a limit is passed.
pub fn decode_pairs(bytes: &[u8], limits: PairLimits) -> Result<Vec<Pair<'_>>, EncodingError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    if bytes.len() > limits.bytes {
        return Err(EncodingError::TooLarge);
    }
    let count = read_u32(bytes, 0)?;
    if count > limits.count {
        return Err(EncodingError::TooMany);
    }
    let table_end = count
        .checked_mul(LENGTHS_BYTES)
        .and_then(|table| table.checked_add(COUNT_BYTES))
        .ok_or(EncodingError::Truncated)?;
    if table_end > bytes.len() {
        return Err(EncodingError::Truncated);
    }
    let mut pairs = Vec::with_capacity(count);
    let mut at = table_end;
    for index in 0..count {
        let lengths = COUNT_BYTES + index * LENGTHS_BYTES;
        let name = take_terminated(bytes, &mut at, read_u32(bytes, lengths)?)?;
        let value = take_terminated(bytes, &mut at, read_u32(bytes, lengths + 4)?)?;
        pairs.push((name, value));
    }
    if at == bytes.len() { Ok(pairs) } else { Err(EncodingError::Trailing) }
}

/// Encodes pairs into `out` (which is cleared first), in the form that [`decode_pairs`] reads.
///
/// # Errors
/// [`EncodingError::TooMany`] or [`EncodingError::TooLarge`] when a limit is passed; `out` is then empty.
pub fn encode_pairs(pairs: &[OwnedPair<'_>], limits: PairLimits, out: &mut Vec<u8>) -> Result<(), EncodingError> {
    out.clear();
    if pairs.len() > limits.count {
        return Err(EncodingError::TooMany);
    }
    let text: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let total = COUNT_BYTES + pairs.len() * LENGTHS_BYTES + text;
    if total > limits.bytes {
        return Err(EncodingError::TooLarge);
    }
    out.reserve(total);
    push_len(out, pairs.len())?;
    for (name, value) in pairs {
        push_len(out, name.len())?;
        push_len(out, value.len())?;
    }
    for (name, value) in pairs {
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    Ok(())
}

/// Splits a property path at its NULs. A NUL at the end, which C++ guests send, adds no empty segment.
pub fn path_segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let path = path.strip_suffix(&[0]).unwrap_or(path);
    path.split(|byte| *byte == 0)
}

/// For fuzzers: decodes `bytes` as pairs and as a path; what decodes must survive a round trip.
///
/// # Panics
/// When a round trip changes the pairs: the bug that a fuzzer looks for.
pub fn fuzz_encodings(bytes: &[u8]) {
    let limits = PairLimits { count: 1024, bytes: 1 << 20 };
    if let Ok(pairs) = decode_pairs(bytes, limits) {
        let owned: Vec<_> = pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))).collect();
        let mut encoded = Vec::new();
        encode_pairs(&owned, limits, &mut encoded).expect("what was decoded within limits encodes within them");
        assert_eq!(decode_pairs(&encoded, limits).as_deref(), Ok(&pairs[..]), "pairs changed in a round trip");
    }
    let bytes_in_segments: usize = path_segments(bytes).map(<[u8]>::len).sum();
    assert!(bytes_in_segments <= bytes.len(), "a path grew");
}

fn read_u32(bytes: &[u8], at: usize) -> Result<usize, EncodingError> {
    let field = bytes.get(at..at + 4).and_then(|field| <[u8; 4]>::try_from(field).ok());
    let value = u32::from_le_bytes(field.ok_or(EncodingError::Truncated)?);
    usize::try_from(value).map_err(|_| EncodingError::TooLarge)
}

fn take_terminated<'a>(bytes: &'a [u8], at: &mut usize, len: usize) -> Result<&'a [u8], EncodingError> {
    let end = at.checked_add(len).ok_or(EncodingError::Truncated)?;
    let text = bytes.get(*at..end).ok_or(EncodingError::Truncated)?;
    // The terminator must be there; guests differ in what they put into it, so its value is not checked.
    bytes.get(end).ok_or(EncodingError::Truncated)?;
    *at = end + 1;
    Ok(text)
}

fn push_len(out: &mut Vec<u8>, len: usize) -> Result<(), EncodingError> {
    let len = u32::try_from(len).map_err(|_| EncodingError::TooLarge)?;
    out.extend_from_slice(&len.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: PairLimits = PairLimits { count: 8, bytes: 4096 };

    fn encoded(pairs: &[(&str, &str)]) -> Vec<u8> {
        let pairs: Vec<_> =
            pairs.iter().map(|(n, v)| (Cow::Borrowed(n.as_bytes()), Cow::Borrowed(v.as_bytes()))).collect();
        let mut out = Vec::new();
        encode_pairs(&pairs, LIMITS, &mut out).unwrap();
        out
    }

    #[test]
    fn pairs_have_the_layout_of_the_abi() {
        assert_eq!(encoded(&[("a", "bc")]), b"\x01\0\0\0\x01\0\0\0\x02\0\0\0a\0bc\0");
    }

    #[test]
    fn no_bytes_are_the_empty_list() {
        assert_eq!(decode_pairs(b"", LIMITS), Ok(vec![]));
        assert_eq!(decode_pairs(b"\0\0\0\0", LIMITS), Ok(vec![]));
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = encoded(&[("name", "value"), ("x", "")]);
        for end in 1..whole.len() {
            assert_eq!(decode_pairs(&whole[..end], LIMITS), Err(EncodingError::Truncated), "cut at {end}");
        }
    }

    #[test]
    fn trailing_bytes_and_absurd_counts_are_refused() {
        let mut bytes = encoded(&[("a", "b")]);
        bytes.push(0);
        assert_eq!(decode_pairs(&bytes, LIMITS), Err(EncodingError::Trailing));
        assert_eq!(decode_pairs(b"\xff\xff\xff\xff", LIMITS), Err(EncodingError::TooMany));
        let many = PairLimits { count: usize::MAX, bytes: 64 };
        assert_eq!(decode_pairs(b"\xff\xff\xff\xff", many), Err(EncodingError::Truncated));
        assert_eq!(decode_pairs(&[0; 65], many), Err(EncodingError::TooLarge));
    }

    #[test]
    fn lengths_that_point_outside_are_refused() {
        let bytes = b"\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xffab\0\0";
        assert_eq!(decode_pairs(bytes, LIMITS), Err(EncodingError::Truncated));
    }

    #[test]
    fn encoding_keeps_to_its_limits() {
        let pair = (Cow::Borrowed(&b"a"[..]), Cow::Borrowed(&b"b"[..]));
        let mut out = Vec::new();
        assert_eq!(encode_pairs(&vec![pair.clone(); 9], LIMITS, &mut out), Err(EncodingError::TooMany));
        let small = PairLimits { count: 8, bytes: 15 };
        assert_eq!(encode_pairs(&[pair], small, &mut out), Err(EncodingError::TooLarge));
    }

    #[test]
    fn paths_split_at_nul_and_a_final_nul_adds_nothing() {
        let split = |path: &'static [u8]| path_segments(path).collect::<Vec<_>>();
        assert_eq!(split(b"request\0headers\0x"), [&b"request"[..], b"headers", b"x"]);
        assert_eq!(split(b"source\0address\0"), [&b"source"[..], b"address"]);
        assert_eq!(split(b"a\0\0b"), [&b"a"[..], b"", b"b"]);
    }

    proptest! {
        #[test]
        fn pairs_survive_a_round_trip(pairs in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..6)) {
            let limits = PairLimits { count: 6, bytes: 1 << 20 };
            let cows: Vec<_> = pairs.iter().map(|(n, v)| (Cow::Borrowed(&n[..]), Cow::Borrowed(&v[..]))).collect();
            let mut bytes = Vec::new();
            encode_pairs(&cows, limits, &mut bytes).unwrap();
            let back = decode_pairs(&bytes, limits).unwrap();
            let back: Vec<_> = back.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            prop_assert_eq!(back, pairs);
        }

        #[test]
        fn any_bytes_decode_or_fail_without_a_panic(bytes in any::<Vec<u8>>()) {
            fuzz_encodings(&bytes);
        }

        #[test]
        fn changed_lists_decode_or_fail_without_a_panic(at in 0usize..29, value in any::<u8>()) {
            let mut bytes = encoded(&[("name", "value"), ("x", "")]);
            let at = at % bytes.len();
            bytes[at] = value;
            fuzz_encodings(&bytes);
        }
    }
}
