//! A small append-only table from a key to handles, read without a lock. It never shrinks; its keys come from a bounded
//! vocabulary.

use std::sync::OnceLock;

/// Entries that lie together; few routes see more combinations of method, status and version.
const SLOTS: usize = 8;

/// The table.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: [OnceLock<(u32, T)>; SLOTS],
    next: OnceLock<Box<Table<T>>>,
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Table { slots: [const { OnceLock::new() }; SLOTS], next: OnceLock::new() }
    }

    /// The entry of a key, made on first use.
    #[inline]
    pub(super) fn get(&self, key: u32, make: impl Fn() -> T) -> &T {
        let mut table = self;
        loop {
            for slot in &table.slots {
                // Another thread may take a free slot for another key first: then go on.
                let (taken_by, entry) = slot.get_or_init(|| (key, make()));
                if *taken_by == key {
                    return entry;
                }
            }
            table = table.next.get_or_init(|| Box::new(Table::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn each_key_is_made_once_however_many_there_are() {
        let table = Table::new();
        let made = Cell::new(0);
        for round in 0..2 {
            for key in 0..100 {
                let entry = table.get(key, || {
                    made.set(made.get() + 1);
                    key * 10
                });
                assert_eq!(*entry, key * 10, "round {round}");
            }
        }
        assert_eq!(made.get(), 100);
    }
}
