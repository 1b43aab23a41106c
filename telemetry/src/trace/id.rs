//! Trace and span ids, and the generator that a worker draws them from. Ids are unique, not secret.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::num::{NonZeroU64, NonZeroU128};

/// Identifies a trace; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub(super) NonZeroU128);

/// Identifies a span; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub(super) NonZeroU64);

/// A worker's generator of ids (xoshiro256++, <https://prng.di.unimi.it/>). Not for secrets.
#[derive(Clone, Debug)]
pub struct IdRng([u64; 4]);

// === impl ids ===

impl TraceId {
    /// The id as 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> [u8; 32] {
        let mut digits = [0; 32];
        write_hex(&self.bytes(), &mut digits);
        digits
    }

    /// The id's bytes, as OTLP wants them.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    /// The lower half, which is random by the W3C's recommendation.
    pub(super) fn low(self) -> u64 {
        self.0.get() as u64
    }
}

impl SpanId {
    /// The id as 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> [u8; 16] {
        let mut digits = [0; 16];
        write_hex(&self.bytes(), &mut digits);
        digits
    }

    /// The id's bytes, as OTLP wants them.
    #[must_use]
    pub fn bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

/// Writes bytes, four at a time, as twice as many lower-case hexadecimal digits.
#[inline]
pub(super) fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    let (words, _) = bytes.as_chunks::<4>();
    for (eight, word) in digits.chunks_exact_mut(8).zip(words) {
        eight.copy_from_slice(&hex_word(u32::from_be_bytes(*word)));
    }
}

/// Eight digits at once: this runs for every request, a digit at a time it would be a third of a trace's cost.
#[inline]
fn hex_word(word: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // One nibble a byte.
    let mut nibbles = u64::from(word);
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & (ONES * 0x0f);
    let letters = ((nibbles + ONES * 6) >> 4) & ONES;
    (nibbles + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

// === impl IdRng ===

impl IdRng {
    /// A generator that repeats for the same seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut state = seed;
        // SplitMix64 fills the state, which must not be all zero.
        IdRng(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    /// A generator seeded by the operating system, through the seed of std's hash maps.
    #[must_use]
    pub fn from_system() -> Self {
        IdRng(std::array::from_fn(|word| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_usize(word);
            // An all-zero state would stay zero.
            hasher.finish() | u64::from(word == 0)
        }))
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let next = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        next
    }

    /// A new trace id.
    #[inline]
    pub fn trace_id(&mut self) -> TraceId {
        let high = u128::from(self.next_u64());
        let low = u128::from(self.next_u64());
        TraceId(NonZeroU128::new(high << 64 | low).unwrap_or(NonZeroU128::MIN))
    }

    /// A new span id.
    #[inline]
    pub fn span_id(&mut self) -> SpanId {
        SpanId(NonZeroU64::new(self.next_u64()).unwrap_or(NonZeroU64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn digits_are_those_of_the_standard_library() {
        let mut rng = IdRng::from_seed(9);
        for _ in 0..1_000 {
            let id = rng.trace_id();
            assert_eq!(id.hex(), format!("{:032x}", id.0).as_bytes());
        }
    }

    #[test]
    fn generators_of_one_seed_agree_and_do_not_repeat_themselves() {
        let (mut one, mut other) = (IdRng::from_seed(7), IdRng::from_seed(7));
        let ids: HashSet<TraceId> = (0..10_000).map(|_| one.trace_id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!((0..10_000).all(|_| ids.contains(&other.trace_id())));
    }

    #[test]
    fn generators_of_the_system_differ() {
        assert_ne!(IdRng::from_system().trace_id(), IdRng::from_system().trace_id());
    }
}
