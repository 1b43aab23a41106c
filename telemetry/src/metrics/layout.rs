//! The buckets of a histogram: log-linear, so that a quantile is within 6 %, and split at the exported boundaries, so
//! that what is exported is exact. Never allocates after it is built.

use std::sync::LazyLock;

/// Buckets a value above the resolved range falls into, and one below it.
const OUTER_BUCKETS: usize = 2;

/// The boundaries that the semantic conventions give for `http.server.request.duration`, in nanoseconds.
const REQUEST_DURATION_BOUNDS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// A filter's call takes microseconds where a request takes milliseconds.
const FILTER_DURATION_BOUNDS: [u64; 13] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

const BODY_SIZE_BOUNDS: [u64; 11] =
    [0, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24, 1 << 26];

/// Requests and upstream tries: 4 µs to 137 s.
pub static REQUEST_DURATION: LazyLock<Layout> =
    LazyLock::new(|| Layout::new(Range { log2_min: 12, log2_max: 37, log2_parts: 3 }, &REQUEST_DURATION_BOUNDS));
/// Calls of a filter: 256 ns to 8.6 s.
pub static FILTER_DURATION: LazyLock<Layout> =
    LazyLock::new(|| Layout::new(Range { log2_min: 8, log2_max: 33, log2_parts: 3 }, &FILTER_DURATION_BOUNDS));
/// Bodies, in bytes: one bucket a power of two, from 64 B to 1 GiB.
pub static BODY_SIZE: LazyLock<Layout> =
    LazyLock::new(|| Layout::new(Range { log2_min: 6, log2_max: 30, log2_parts: 0 }, &BODY_SIZE_BOUNDS));

/// What a layout resolves: `[2^log2_min, 2^log2_max)`, each power of two in `2^log2_parts` equal parts.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Logarithm of the lowest value that has a bucket of its own.
    pub log2_min: u32,
    /// Logarithm of the lowest value beyond the range.
    pub log2_max: u32,
    /// Logarithm of the number of buckets a power of two.
    pub log2_parts: u32,
}

/// The buckets of one kind of histogram.
#[derive(Debug)]
pub struct Layout {
    range: Range,
    cells: Box<[Cell]>,
    /// Inclusive lower and upper end of each bucket.
    ends: Box<[(u64, u64)]>,
    bounds: Box<[u64]>,
    /// For each exported boundary, how many buckets lie at or below it.
    buckets_up_to: Box<[usize]>,
}

/// One log-linear part. An exported boundary within splits it into two buckets or more.
#[derive(Debug)]
struct Cell {
    first_bucket: usize,
    splits: Vec<u64>,
}

// === impl Layout ===

impl Layout {
    /// A layout of a range, exported at `bounds` (ascending, each inclusive: `value <= bound`).
    ///
    /// # Panics
    /// If the range is empty, finer than whole numbers, or `bounds` do not ascend: layouts are constants of the program.
    #[must_use]
    pub fn new(range: Range, bounds: &[u64]) -> Self {
        assert!(range.log2_parts <= range.log2_min && range.log2_min < range.log2_max && range.log2_max < 64);
        assert!(bounds.is_sorted() && bounds.windows(2).all(|pair| pair[0] != pair[1]));
        let mut cells = Vec::new();
        let mut ends = Vec::new();
        for (low, high) in range.parts() {
            // A boundary at a part's own end splits nothing.
            let splits: Vec<u64> = bounds.iter().copied().filter(|bound| (low..high).contains(bound)).collect();
            let first_bucket = ends.len();
            let mut start = low;
            for split in &splits {
                ends.push((start, *split));
                start = split + 1;
            }
            ends.push((start, high));
            cells.push(Cell { first_bucket, splits });
        }
        let buckets_up_to = bounds.iter().map(|bound| ends.partition_point(|(_, high)| high <= bound)).collect();
        Layout { range, cells: cells.into(), ends: ends.into(), bounds: bounds.into(), buckets_up_to }
    }

    /// The number of buckets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never: a layout has at least its two outer buckets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The exported boundaries, ascending, in raw units.
    #[must_use]
    pub fn bounds(&self) -> &[u64] {
        &self.bounds
    }

    /// The bucket of a value; every value has one.
    #[inline]
    #[must_use]
    pub fn bucket(&self, value: u64) -> usize {
        let cell = &self.cells[self.range.part_of(value)];
        cell.splits.iter().fold(cell.first_bucket, |bucket, split| bucket + usize::from(value > *split))
    }

    /// The value that stands for a bucket: its relative error is the same at both ends.
    #[must_use]
    pub fn middle(&self, bucket: usize) -> f64 {
        let (low, high) = self.ends[bucket];
        // The highest bucket has no end that means anything.
        let (low, high) = (low as f64, if high == u64::MAX { low as f64 } else { high as f64 });
        if low + high == 0.0 { 0.0 } else { 2.0 * low * high / (low + high) }
    }

    /// How many buckets lie at or below each exported boundary.
    #[must_use]
    pub fn buckets_up_to(&self) -> &[usize] {
        &self.buckets_up_to
    }
}

// === impl Range ===

impl Range {
    /// Inclusive ends of the parts, the two outer ones included.
    fn parts(self) -> impl Iterator<Item = (u64, u64)> {
        let parts = 1_u64 << self.log2_parts;
        let inner = (self.log2_min..self.log2_max).flat_map(move |log| {
            let width = 1_u64 << (log - self.log2_parts);
            (0..parts).map(move |part| {
                let low = (1_u64 << log) + part * width;
                (low, low + width - 1)
            })
        });
        let below = (0, (1_u64 << self.log2_min) - 1);
        let above = (1_u64 << self.log2_max, u64::MAX);
        std::iter::once(below).chain(inner).chain(std::iter::once(above))
    }

    #[inline]
    fn part_of(self, value: u64) -> usize {
        if value >> self.log2_min == 0 {
            return 0;
        }
        let log = 63 - value.leading_zeros();
        if log >= self.log2_max {
            return (((self.log2_max - self.log2_min) as usize) << self.log2_parts) + OUTER_BUCKETS - 1;
        }
        let part = (value >> (log - self.log2_parts)) as usize & ((1 << self.log2_parts) - 1);
        (((log - self.log2_min) as usize) << self.log2_parts) + part + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all() -> [&'static Layout; 3] {
        [&REQUEST_DURATION, &FILTER_DURATION, &BODY_SIZE]
    }

    #[test]
    fn buckets_follow_one_another_without_a_gap() {
        for layout in all() {
            assert_eq!(layout.ends[0].0, 0);
            assert_eq!(layout.ends[layout.len() - 1].1, u64::MAX);
            assert!(layout.ends.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        }
    }

    #[test]
    fn an_exported_boundary_is_inclusive_and_exact() {
        for layout in all() {
            for (bound, up_to) in layout.bounds().iter().zip(layout.buckets_up_to()) {
                assert_eq!(layout.bucket(*bound), up_to - 1, "{bound}");
                assert_eq!(layout.bucket(bound + 1), *up_to, "{bound}");
            }
        }
    }

    #[test]
    fn memory_of_a_duration_histogram_stays_below_two_kibibytes() {
        assert!(REQUEST_DURATION.len() * 8 <= 2048, "{}", REQUEST_DURATION.len());
        assert!(BODY_SIZE.len() * 8 <= 512, "{}", BODY_SIZE.len());
    }

    proptest! {
        #[test]
        fn every_value_lies_between_the_ends_of_its_bucket(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            for layout in all() {
                let (low, high) = layout.ends[layout.bucket(value)];
                prop_assert!((low..=high).contains(&value));
            }
        }

        #[test]
        fn the_middle_of_a_bucket_is_within_six_percent(value in (1_u64 << 12)..(1 << 37)) {
            let middle = REQUEST_DURATION.middle(REQUEST_DURATION.bucket(value));
            prop_assert!((middle - value as f64).abs() <= 0.06 * value as f64, "{value} {middle}");
        }
    }
}
