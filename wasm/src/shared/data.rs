//! Shared data of one filter: keys and values over all workers, with compare-and-swap. Never grows past its limit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// What an entry is taken to cost beside its key and value.
const ENTRY_BYTES: usize = 64;

/// Keys and values of one filter.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
    last_cas: u32,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    cas: u32,
}

/// Why a value was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetError {
    /// The entry changed since the caller read it.
    CasMismatch,
    /// No room.
    Full,
}

impl SharedData {
    /// The value and the number which a conditional [`SharedData::set`] names; the number is never 0.
    pub(crate) fn value(&self, key: &[u8]) -> Option<(Bytes, u32)> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.get(key).map(|entry| (entry.value.clone(), entry.cas))
    }

    /// Sets a value: always if `cas` is 0 or the key is new, else only if the entry still has that number.
    pub(crate) fn set(&self, key: &[u8], value: &[u8], cas: u32, most: usize) -> Result<(), SetError> {
        if key.len().saturating_add(value.len()) > most {
            return Err(SetError::Full);
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let held = match inner.entries.get(key) {
            Some(entry) if cas != 0 && cas != entry.cas => return Err(SetError::CasMismatch),
            Some(entry) => key.len() + entry.value.len() + ENTRY_BYTES,
            None => 0,
        };
        let bytes = inner.bytes - held + key.len() + value.len() + ENTRY_BYTES;
        if bytes > most && bytes > inner.bytes {
            return Err(SetError::Full);
        }
        inner.bytes = bytes;
        inner.last_cas = inner.last_cas.checked_add(1).unwrap_or(1);
        let entry = Entry { value: Bytes::copy_from_slice(value), cas: inner.last_cas };
        match inner.entries.get_mut(key) {
            Some(held) => *held = entry,
            None => drop(inner.entries.insert(key.into(), entry)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_swap_succeeds_only_with_the_number_last_read() {
        let data = SharedData::default();
        data.set(b"k", b"1", 0, 1000).unwrap();
        let (value, cas) = data.value(b"k").unwrap();
        assert_eq!(&value[..], b"1");
        assert_eq!(data.set(b"k", b"2", cas, 1000), Ok(()));
        assert_eq!(data.set(b"k", b"3", cas, 1000), Err(SetError::CasMismatch));
        assert_eq!(&data.value(b"k").unwrap().0[..], b"2");
        assert_eq!(data.set(b"k", b"4", 0, 1000), Ok(()));
    }

    #[test]
    fn the_limit_holds_and_replacing_frees_what_it_replaces() {
        let data = SharedData::default();
        let most = 2 * ENTRY_BYTES + 10;
        data.set(b"a", b"1234", 0, most).unwrap();
        data.set(b"b", b"1234", 0, most).unwrap();
        assert_eq!(data.set(b"c", b"", 0, most), Err(SetError::Full));
        assert_eq!(data.set(b"a", b"12345", 0, most), Err(SetError::Full));
        assert_eq!(data.set(b"a", b"12", 0, most), Ok(()));
        assert_eq!(data.set(b"b", b"123456", 0, most), Ok(()));
    }

    #[test]
    fn concurrent_increments_by_swap_lose_none() {
        let data = SharedData::default();
        data.set(b"n", &0u32.to_le_bytes(), 0, 1000).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| increment(&data)));
            }
        });
        assert_eq!(&data.value(b"n").unwrap().0[..], 800u32.to_le_bytes());
    }

    fn increment(data: &SharedData) {
        loop {
            let (value, cas) = data.value(b"n").unwrap();
            let next = u32::from_le_bytes(value[..].try_into().unwrap()) + 1;
            if data.set(b"n", &next.to_le_bytes(), cas, 1000).is_ok() {
                return;
            }
        }
    }
}
