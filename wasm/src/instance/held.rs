//! A message's head as its stream holds it: the caller's own while its phase runs, then what later phases may read of
//! it. That is seldom read, so it is kept in a form that costs no memory of its own until it is.

use std::rc::Rc;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::head::{Latent, Lend, RequestHead, ResponseHead, root_path};

/// What a head is made of.
pub(crate) trait Head: Default {
    /// What is kept as it is: it takes no memory of its own.
    type Kept;
    /// Packs what takes memory, and copies the rest.
    fn pack(&self, packed: &mut Packed) -> Self::Kept;
    /// Takes in what was kept.
    fn put(&mut self, kept: Self::Kept);
    /// Takes back what was packed.
    fn unpack(&mut self, packed: &mut Packed);
    /// Forgets it; the map's memory stays. Callers hold what is left while theirs is lent.
    fn clear(&mut self);
}

/// A head, or nothing.
#[derive(Default)]
pub(crate) struct Held<H> {
    head: H,
    packed: Packed,
    state: Holding,
}

/// Texts as bytes, each after its length. Cheaper to make and to forget than clones are.
#[derive(Default)]
pub(crate) struct Packed(Vec<u8>);

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
    pub(crate) fn lend(&mut self, theirs: &mut impl Lend<H>) -> &H {
        self.reset();
        theirs.swap(&mut self.head);
        self.state = Holding::Lent;
        &self.head
    }

    /// Gives the caller's head back; `keep`: it can be read on.
    pub(crate) fn give_back(&mut self, theirs: &mut impl Lend<H>, keep: bool) {
        let kept = keep.then(|| self.head.pack(&mut self.packed));
        theirs.swap(&mut self.head);
        self.state = Holding::Nothing;
        if let Some(kept) = kept {
            self.head.put(kept);
            self.state = Holding::Packed;
        }
    }

    /// The head, if there is one.
    pub(crate) fn get(&mut self) -> Option<&mut H> {
        if self.state == Holding::Packed {
            self.head.unpack(&mut self.packed);
            self.state = Holding::Copy;
        }
        (self.state != Holding::Nothing).then_some(&mut self.head)
    }

    /// Forgets it; memory stays for the next.
    pub(crate) fn reset(&mut self) {
        self.packed.0.clear();
        self.head.clear();
        self.state = Holding::Nothing;
    }
}

// === impl Packed ===

impl Packed {
    fn put(&mut self, text: &[u8]) {
        self.0.extend_from_slice(&text.len().to_ne_bytes());
        self.0.extend_from_slice(text);
    }

    fn put_headers(&mut self, headers: &HeaderMap) {
        for (name, value) in headers {
            self.put(name.as_str().as_bytes());
            self.put(value.as_bytes());
        }
    }
}

/// The next text that was packed.
fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk()?;
    *rest = after;
    rest.split_off(..usize::from_ne_bytes(*len))
}

fn take_headers(mut rest: &[u8], headers: &mut HeaderMap) {
    while let (Some(name), Some(value)) = (next(&mut rest), next(&mut rest)) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
}

// === impl Head ===

impl Head for RequestHead {
    type Kept = (Method, Scheme, Option<Rc<dyn Latent>>);

    fn pack(&self, packed: &mut Packed) -> Self::Kept {
        let Self { method, scheme, path, headers, latent } = self;
        packed.put(path.as_str().as_bytes());
        packed.put_headers(headers);
        (method.clone(), scheme.clone(), latent.clone())
    }

    fn put(&mut self, kept: Self::Kept) {
        (self.method, self.scheme, self.latent) = kept;
    }

    fn unpack(&mut self, packed: &mut Packed) {
        let mut rest = &packed.0[..];
        if let Some(Ok(path)) = next(&mut rest).map(PathAndQuery::try_from) {
            self.path = path;
        }
        take_headers(rest, &mut self.headers);
        packed.0.clear();
    }

    fn clear(&mut self) {
        self.headers.clear();
        (self.method, self.path, self.latent) = (Method::GET, root_path(), None);
    }
}

impl Head for ResponseHead {
    type Kept = StatusCode;

    fn pack(&self, packed: &mut Packed) -> Self::Kept {
        packed.put_headers(&self.headers);
        self.status
    }

    fn put(&mut self, kept: Self::Kept) {
        self.status = kept;
    }

    fn unpack(&mut self, packed: &mut Packed) {
        take_headers(&packed.0, &mut self.headers);
        packed.0.clear();
    }

    fn clear(&mut self) {
        self.headers.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
