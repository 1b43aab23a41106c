//! A message's head as its stream holds it: the caller's own while its phase runs, then what later phases may read of
//! it. That is seldom read, so it is kept in a form that costs no memory of its own until it is.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::head::{RequestHead, ResponseHead};

/// What a head is made of.
pub(crate) trait Head: Default {
    fn headers(&mut self) -> &mut HeaderMap;
    /// Takes over all but the headers.
    fn copy_start(&mut self, of: &Self);
}

/// A head, or nothing.
#[derive(Default)]
pub(crate) struct Held<H> {
    head: H,
    packed: Vec<(HeaderName, HeaderValue)>,
    state: Holding,
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Holding {
    #[default]
    Nothing,
    /// The caller's head.
    Lent,
    /// A copy whose headers are packed.
    Packed,
    /// A copy.
    Copy,
}

impl<H: Head> Held<H> {
    /// Takes the caller's head.
    pub(crate) fn lend(&mut self, theirs: &mut H) {
        self.reset();
        std::mem::swap(&mut self.head, theirs);
        self.state = Holding::Lent;
    }

    /// Gives the caller's head back; `keep`: it can be read on.
    pub(crate) fn give_back(&mut self, theirs: &mut H, keep: bool) {
        std::mem::swap(&mut self.head, theirs);
        self.state = Holding::Nothing;
        if keep {
            self.head.copy_start(theirs);
            self.packed.extend(theirs.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
            self.state = Holding::Packed;
        }
    }

    /// The head, if there is one.
    pub(crate) fn get(&mut self) -> Option<&mut H> {
        if self.state == Holding::Packed {
            let headers = self.head.headers();
            for (name, value) in self.packed.drain(..) {
                headers.append(name, value);
            }
            self.state = Holding::Copy;
        }
        (self.state != Holding::Nothing).then_some(&mut self.head)
    }

    /// Forgets it; memory stays for the next.
    pub(crate) fn reset(&mut self) {
        self.packed.clear();
        self.head.headers().clear();
        self.state = Holding::Nothing;
    }
}

impl Head for RequestHead {
    fn headers(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    fn copy_start(&mut self, of: &Self) {
        let Self { method, scheme, authority, path, headers: _ } = of;
        self.method.clone_from(method);
        self.scheme.clone_from(scheme);
        self.authority.clone_from(authority);
        self.path.clone_from(path);
    }
}

impl Head for ResponseHead {
    fn headers(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    fn copy_start(&mut self, of: &Self) {
        self.status = of.status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn a_head_is_read_on_after_its_phase_only_if_it_is_kept() {
        let mut held = Held::default();
        assert!(held.get().is_none());
        for keep in [true, false, true] {
            let mut headers = HeaderMap::new();
            headers.append("x-a", HeaderValue::from_static("1"));
            headers.append("x-a", HeaderValue::from_static("2"));
            let mut theirs = ResponseHead::new(StatusCode::CREATED, headers.clone());
            held.lend(&mut theirs);
            assert!(theirs.headers.is_empty());
            held.get().unwrap().status = StatusCode::ACCEPTED;
            held.give_back(&mut theirs, keep);
            assert_eq!((theirs.status, &theirs.headers), (StatusCode::ACCEPTED, &headers));
            for _ in 0..2 {
                let read = held.get().map(|head| (head.status, head.headers.clone()));
                assert_eq!(read, keep.then(|| (StatusCode::ACCEPTED, headers.clone())));
            }
        }
        held.reset();
        assert!(held.get().is_none());
    }
}
