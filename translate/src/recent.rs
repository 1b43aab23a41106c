//! Values that come again and again, kept once.

use std::{collections::VecDeque, sync::Arc};

/// How many values are remembered.
const REMEMBERED: usize = 16;

/// The last few different values.
pub(crate) struct Recent<T>(VecDeque<Arc<T>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq> Recent<T> {
    /// The value, as it was shared before if it is among the last few.
    pub(crate) fn share(&mut self, value: T) -> Arc<T> {
        if let Some(known) = self.0.iter().find(|known| ***known == value) {
            return known.clone();
        }
        let value = Arc::new(value);
        self.0.truncate(REMEMBERED - 1);
        self.0.push_front(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_are_shared_and_no_more_is_kept() {
        let mut recent = Recent::default();
        let first = recent.share(0);
        assert!(Arc::ptr_eq(&first, &recent.share(0)));
        for other in 1..=REMEMBERED {
            recent.share(other);
        }
        assert!(!Arc::ptr_eq(&first, &recent.share(0)));
        assert_eq!(recent.0.len(), REMEMBERED);
    }
}
