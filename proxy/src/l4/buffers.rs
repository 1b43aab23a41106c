//! Buffers that the connections of one worker take turns with: whoever has nothing to hold holds none, so an idle
//! tunnel costs no buffer.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
};

/// One read's worth; also the largest datagram that there is.
pub(super) const BUFFER_BYTES: usize = 64 << 10;

/// Free buffers that a worker keeps; more are given back to the allocator.
const FREE_MAX: usize = 32;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of [`BUFFER_BYTES`]. What it holds when it is taken is of no meaning.
#[derive(Debug)]
pub(super) struct Buffer(Box<[u8]>);

// === impl Buffer ===

impl Buffer {
    pub(super) fn take() -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        Self(free.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice()))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.0);
        // While the thread ends there may be no list any more; then the buffer simply goes.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < FREE_MAX {
                free.push(bytes);
            }
        });
    }
}

/// How many buffers this thread has at rest.
#[cfg(test)]
pub(super) fn free() -> usize {
    FREE.with_borrow(Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_no_more_than_the_limit_are_kept() {
        let all: Vec<_> = (0..FREE_MAX + 3).map(|_| Buffer::take()).collect();
        assert_eq!((free(), all[0].len()), (0, BUFFER_BYTES));
        drop(all);
        assert_eq!(free(), FREE_MAX);
        let _one = Buffer::take();
        assert_eq!(free(), FREE_MAX - 1);
    }
}
