//! Which traces are sampled: as the parent decided, and a share of those that begin here. Never looks at a request.

use super::id::TraceId;

/// Parent-based sampling with a ratio for roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Traces whose id's lower 63 bits are below are sampled, so that all proxies agree on a trace.
    below: u64,
}

impl Sampler {
    /// Samples no trace that begins here.
    pub const NEVER: Sampler = Sampler { below: 0 };

    /// Samples this share of the traces that begin here: 0 none, 1 all, what lies outside as the nearer of them.
    #[must_use]
    pub fn ratio(share: f64) -> Self {
        // The cast saturates; NaN is 0.
        Sampler { below: (share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64 }
    }

    /// Whether a trace that begins here is sampled.
    #[inline]
    #[must_use]
    pub fn root(self, trace: TraceId) -> bool {
        (trace.low() >> 1) < self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::IdRng;

    #[test]
    fn a_tenth_of_the_roots_is_about_a_tenth() {
        let mut rng = IdRng::from_seed(1);
        let sampler = Sampler::ratio(0.1);
        let sampled = (0..100_000).filter(|_| sampler.root(rng.trace_id())).count();
        assert!((9_500..10_500).contains(&sampled), "{sampled}");
    }

    #[test]
    fn the_ends_are_all_and_none() {
        let mut rng = IdRng::from_seed(2);
        for _ in 0..1_000 {
            let trace = rng.trace_id();
            assert!(Sampler::ratio(1.0).root(trace));
            assert!(!Sampler::ratio(0.0).root(trace) && !Sampler::ratio(f64::NAN).root(trace));
            assert!(!Sampler::NEVER.root(trace));
        }
    }
}
