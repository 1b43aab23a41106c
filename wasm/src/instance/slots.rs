//! The streams of one instance, as its callbacks see them. Never calls the guest.

use std::rc::Rc;
use std::task::Waker;

use http::HeaderMap;

use super::Held;
use crate::attributes::StreamInfo;
use crate::body::Body;
use crate::head::{RequestHead, ResponseHead};
use crate::outcome::{Direction, LocalResponse};

/// The root context of every instance.
pub(crate) const ROOT: u32 = 1;

/// One bit more than the greatest number of streams at once: the low bits of a context's number are its place.
const INDEX_BITS: u32 = 16;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;
/// Most streams of one instance, whatever the limits say.
const SLOTS_MAX: usize = 1 << INDEX_BITS;

/// Streams by context number. A number is not used again until its place was given away 65,535 times, so that a
/// guest which confuses an old stream with a new one finds none.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
}

/// One stream.
#[derive(Default)]
pub(crate) struct Slot {
    /// The context's number; 0 in a free slot.
    id: u32,
    pub(crate) info: Option<Rc<dyn StreamInfo>>,
    pub(crate) request_head: Held<RequestHead>,
    pub(crate) response_head: Held<ResponseHead>,
    pub(crate) request: Side,
    pub(crate) response: Side,
    pub(crate) local_response: Option<Box<LocalResponse>>,
    pub(crate) reset: bool,
    pub(crate) route_cleared: bool,
    pub(crate) life: Life,
    /// The guest called `proxy_done` for it.
    pub(crate) done: bool,
}

/// What is left to be done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Life {
    #[default]
    Open,
    /// Its `proxy_on_done` asked for time; it ends with `proxy_done`.
    Lingering,
    /// It is being deleted.
    Ending,
}

/// One direction of a stream.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) trailers: HeaderMap,
    pub(crate) trailers_known: bool,
    pub(crate) body: Body,
    /// The guest may see and change the body: it is being called with it, or holds it.
    pub(crate) body_open: bool,
    /// The last callback paused this direction.
    pub(crate) paused: bool,
    /// The guest said `continue`.
    pub(crate) resumed: bool,
    pub(crate) waker: Option<Waker>,
}

// === impl Slots ===

impl Slots {
    /// Takes a place for a new stream; none if `most` are taken.
    pub(crate) fn insert(&mut self, info: Rc<dyn StreamInfo>, most: usize) -> Option<u32> {
        if self.live >= most.min(SLOTS_MAX) {
            return None;
        }
        let id = match self.free.pop() {
            Some(last) => next_generation(last),
            None => {
                let index = u32::try_from(self.slots.len()).ok().filter(|index| *index <= INDEX_MASK)?;
                self.slots.push(Slot::default());
                (1 << INDEX_BITS) | index
            }
        };
        let slot = &mut self.slots[index_of(id)];
        slot.id = id;
        slot.info = Some(info);
        self.live += 1;
        Some(id)
    }

    pub(crate) fn get(&self, id: u32) -> Option<&Slot> {
        self.slots.get(index_of(id)).filter(|slot| slot.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index_of(id)).filter(|slot| slot.id == id)
    }

    pub(crate) fn remove(&mut self, id: u32) {
        if let Some(slot) = self.get_mut(id) {
            slot.reset();
            self.free.push(id);
            self.live -= 1;
        }
    }

    pub(crate) fn live(&self) -> usize {
        self.live
    }

    pub(crate) fn lingering(&self) -> usize {
        self.slots.iter().filter(|slot| slot.id != 0 && slot.life == Life::Lingering).count()
    }

    /// Wakes whoever waits for a stream of this instance.
    pub(crate) fn wake_all(&mut self) {
        self.slots.iter_mut().for_each(Slot::wake);
    }
}

fn index_of(id: u32) -> usize {
    usize::try_from(id & INDEX_MASK).unwrap_or(usize::MAX)
}

fn next_generation(id: u32) -> u32 {
    let generation = (id >> INDEX_BITS) + 1;
    let generation = if generation > INDEX_MASK { 1 } else { generation };
    (generation << INDEX_BITS) | (id & INDEX_MASK)
}

// === impl Slot ===

impl Slot {
    /// The request's head, complete as to the header of this name, or to all.
    pub(crate) fn request_head(&mut self, name: Option<&[u8]>) -> Option<&mut RequestHead> {
        let head = self.request_head.get()?;
        head.settle(name);
        Some(head)
    }

    pub(crate) fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// Makes the place free; memory of heads stays for the next stream. Field by field, for a slot is large.
    fn reset(&mut self) {
        let Self {
            id,
            info,
            request_head,
            response_head,
            request,
            response,
            local_response,
            reset,
            route_cleared,
            life,
            done,
        } = self;
        (*id, *info, *local_response) = (0, None, None);
        request_head.reset();
        response_head.reset();
        request.reset();
        response.reset();
        (*reset, *route_cleared, *done, *life) = (false, false, false, Life::Open);
    }

    /// Wakes both directions: either may be waiting for what has just happened.
    pub(crate) fn wake(&mut self) {
        for side in [&mut self.request, &mut self.response] {
            if let Some(waker) = side.waker.take() {
                waker.wake();
            }
        }
    }
}

// === impl Side ===

impl Side {
    fn reset(&mut self) {
        let Self { trailers, trailers_known, body, body_open, paused, resumed, waker } = self;
        trailers.clear();
        (*trailers_known, *body_open, *paused, *resumed) = (false, false, false, false);
        (*body, *waker) = (Body::default(), None);
    }

    /// Takes the caller's trailers; says how many there are.
    pub(crate) fn lend_trailers(&mut self, theirs: &mut HeaderMap) -> usize {
        std::mem::swap(&mut self.trailers, theirs);
        self.trailers_known = true;
        self.trailers.len()
    }

    /// Gives the caller's trailers back: they are read in their phase alone.
    pub(crate) fn give_back_trailers(&mut self, theirs: &mut HeaderMap) {
        std::mem::swap(&mut self.trailers, theirs);
        self.trailers_known = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{Attribute, AttributeValue, FilterState};

    struct Nothing(FilterState);

    impl StreamInfo for Nothing {
        fn attribute(&self, _: Attribute) -> Option<AttributeValue> {
            None
        }
        fn state(&self) -> &FilterState {
            &self.0
        }
    }

    fn info() -> Rc<dyn StreamInfo> {
        Rc::new(Nothing(FilterState::default()))
    }

    #[test]
    fn a_number_is_not_given_twice_in_a_row() {
        let mut slots = Slots::default();
        let first = slots.insert(info(), 10).unwrap();
        slots.remove(first);
        let second = slots.insert(info(), 10).unwrap();
        assert_ne!(first, second);
        assert!(slots.get(first).is_none());
        assert!(slots.get(second).is_some());
        assert_eq!(index_of(first), index_of(second));
    }

    #[test]
    fn numbers_never_collide_with_the_root_even_after_wrapping() {
        let last = (INDEX_MASK << INDEX_BITS) | 1;
        assert_eq!(next_generation(last), (1 << INDEX_BITS) | 1);
        let mut slots = Slots::default();
        slots.insert(info(), 10).unwrap();
        slots.insert(info(), 10).unwrap();
        assert!(slots.get(ROOT).is_none());
        assert!(slots.get(0).is_none());
    }

    #[test]
    fn a_full_table_takes_no_stream() {
        let mut slots = Slots::default();
        let first = slots.insert(info(), 1).unwrap();
        assert!(slots.insert(info(), 1).is_none());
        slots.remove(first);
        slots.remove(first);
        assert_eq!(slots.live(), 0);
        assert!(slots.insert(info(), 1).is_some());
    }
}
