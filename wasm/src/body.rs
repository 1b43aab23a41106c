//! The bytes of a body that a filter holds or sees. A piece that passes untouched is never copied.

use bytes::{Bytes, BytesMut};

/// A growing body: shared while it is one untouched piece, owned once it was joined or changed.
#[derive(Debug)]
pub(crate) enum Body {
    Shared(Bytes),
    Owned(BytesMut),
}

/// A change would pass the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Default for Body {
    fn default() -> Self {
        Self::Shared(Bytes::new())
    }
}

impl Body {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// The bytes without a copy, while they are one untouched piece.
    pub(crate) fn shared(&self) -> Option<Bytes> {
        match self {
            Self::Shared(bytes) => Some(bytes.clone()),
            Self::Owned(_) => None,
        }
    }

    pub(crate) fn take(&mut self) -> Bytes {
        match std::mem::take(self) {
            Self::Shared(bytes) => bytes,
            Self::Owned(bytes) => bytes.freeze(),
        }
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            *self = Self::Shared(piece);
        } else if !piece.is_empty() {
            self.owned().extend_from_slice(&piece);
        }
    }

    /// Replaces up to `len` bytes from `start` on: `(0, 0)` prepends, a start at or past the end appends, `(0, all)`
    /// replaces. Envoy knows these three; any other range works alike.
    pub(crate) fn splice(&mut self, start: usize, len: usize, data: &[u8], most: usize) -> Result<(), TooLarge> {
        let start = start.min(self.len());
        let end = start.saturating_add(len).min(self.len());
        let total = self.len() - (end - start) + data.len();
        if total > most && total > self.len() {
            return Err(TooLarge);
        }
        let body = self.owned();
        let tail = body.split_off(end);
        body.truncate(start);
        body.extend_from_slice(data);
        body.unsplit(tail);
        Ok(())
    }

    fn owned(&mut self) -> &mut BytesMut {
        if let Self::Shared(bytes) = self {
            let bytes = std::mem::take(bytes);
            *self = Self::Owned(bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..])));
        }
        match self {
            Self::Owned(bytes) => bytes,
            Self::Shared(_) => unreachable!("made owned above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(text: &'static str) -> Body {
        Body::Shared(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn an_untouched_piece_is_not_copied() {
        let piece = Bytes::from(vec![7; 100]);
        let mut body = Body::default();
        body.push(piece.clone());
        assert_eq!(body.take().as_ptr(), piece.as_ptr());
        assert_eq!(body.len(), 0);
    }

    #[test]
    fn splice_prepends_appends_and_replaces() {
        let spliced = |start, len| {
            let mut body = body("body");
            body.splice(start, len, b"-", 100).unwrap();
            String::from_utf8(body.take().to_vec()).unwrap()
        };
        assert_eq!(spliced(0, 0), "-body");
        assert_eq!(spliced(0, 4), "-");
        assert_eq!(spliced(0, usize::MAX), "-");
        assert_eq!(spliced(4, 0), "body-");
        assert_eq!(spliced(usize::MAX, usize::MAX), "body-");
        assert_eq!(spliced(1, 2), "b-y");
    }

    #[test]
    fn growth_past_the_limit_is_refused_and_shrinking_never_is() {
        let mut body = body("body");
        assert_eq!(body.splice(4, 0, b"12", 5), Err(TooLarge));
        assert_eq!(body.splice(0, 2, b"1", 2), Ok(()));
        assert_eq!(body.as_slice(), b"1dy");
    }

    proptest! {
        #[test]
        fn splice_agrees_with_a_vector(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 0..4),
            start in 0usize..40, len in 0usize..40, data in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut body = Body::default();
            for piece in &pieces {
                body.push(Bytes::from(piece.clone()));
            }
            let mut reference = pieces.concat();
            body.splice(start, len, &data, 1000).unwrap();
            let from = start.min(reference.len());
            let to = (from + len).min(reference.len());
            reference.splice(from..to, data);
            prop_assert_eq!(body.as_slice(), &reference[..]);
        }
    }
}
