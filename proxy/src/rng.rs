//! A small generator of random numbers for choices that need no secrecy: endpoints, shares, samples.

use std::cell::Cell;

/// xorshift64*; one per worker.
#[derive(Debug)]
pub struct Rng(Cell<u64>);

impl Rng {
    /// A generator from a seed.
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed | 1))
    }

    /// A random number.
    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A random number below `bound`, which is not zero.
    pub fn below(&self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}
