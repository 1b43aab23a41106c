//! The exchanges of one connection, polled as they are woken. Places, their memory and their wakers are used again: a
//! request costs no allocation here once as many as it shares the connection with have been there before.

use futures_util::task::{ArcWake, AtomicWaker, waker};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
};

/// Places whose wakes are noted in one word.
const GROUP: usize = u64::BITS as usize;

/// Futures of one kind.
pub struct Exchanges<F> {
    places: Vec<Place<F>>,
    free: Vec<usize>,
    groups: Vec<Arc<Woken>>,
    task: Arc<AtomicWaker>,
}

struct Place<F> {
    future: Pin<Box<Option<F>>>,
    waker: Waker,
}

/// Which places of a group have been woken, one bit each.
struct Woken {
    places: AtomicU64,
    task: Arc<AtomicWaker>,
}

/// Wakes one place.
struct Wake {
    group: Arc<Woken>,
    bit: u64,
}

// === impl Exchanges ===

impl<F: Future<Output = ()>> Exchanges<F> {
    /// None yet.
    pub fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new(), groups: Vec::new(), task: Arc::default() }
    }

    /// Takes one more, to be polled with the others.
    pub fn push(&mut self, future: F) {
        let at = self.free.pop().unwrap_or_else(|| self.add_place());
        self.places[at].future.as_mut().set(Some(future));
        self.groups[at / GROUP].places.fetch_or(bit(at), Ordering::AcqRel);
    }

    /// Polls those that were woken; says whether there was any. The task is woken for the next.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.task.register(cx.waker());
        let mut any = false;
        for (group, woken) in self.groups.iter().enumerate() {
            let mut bits = woken.places.swap(0, Ordering::AcqRel);
            any |= bits != 0;
            while bits != 0 {
                let at = group * GROUP + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let place = &mut self.places[at];
                let Some(future) = place.future.as_mut().as_pin_mut() else { continue };
                if future.poll(&mut Context::from_waker(&place.waker)).is_ready() {
                    place.future.as_mut().set(None);
                    self.free.push(at);
                }
            }
        }
        any
    }

    fn add_place(&mut self) -> usize {
        let at = self.places.len();
        if at.is_multiple_of(GROUP) {
            self.groups.push(Arc::new(Woken { places: AtomicU64::new(0), task: self.task.clone() }));
        }
        let wake = Wake { group: self.groups[at / GROUP].clone(), bit: bit(at) };
        self.places.push(Place { future: Box::pin(None), waker: waker(Arc::new(wake)) });
        at
    }
}

fn bit(at: usize) -> u64 {
    1 << (at % GROUP)
}

impl ArcWake for Wake {
    fn wake_by_ref(this: &Arc<Self>) {
        // Whoever was woken before has woken the task too.
        if this.group.places.fetch_or(this.bit, Ordering::AcqRel) & this.bit == 0 {
            this.group.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::RefCell, future::poll_fn, rc::Rc, task::Poll};
    use tokio::sync::oneshot;

    #[test]
    fn only_those_that_were_woken_are_polled_and_places_are_used_again() {
        let polled = Rc::new(RefCell::new(Vec::new()));
        let mut exchanges = Exchanges::new();
        let mut cx = Context::from_waker(Waker::noop());
        let one = |name: usize| {
            let (sender, mut receiver) = oneshot::channel::<()>();
            let polled = polled.clone();
            let future = poll_fn(move |cx| {
                polled.borrow_mut().push(name);
                Pin::new(&mut receiver).poll(cx).map(drop)
            });
            (sender, future)
        };
        let mut senders = Vec::new();
        for name in 0..130 {
            let (sender, future) = one(name);
            exchanges.push(future);
            senders.push(sender);
        }
        assert!(exchanges.poll(&mut cx) && !exchanges.poll(&mut cx));
        assert_eq!(polled.take(), (0..130).collect::<Vec<_>>());
        for name in [129, 3, 64] {
            senders.remove(name).send(()).unwrap();
        }
        assert!(exchanges.poll(&mut cx));
        assert_eq!(polled.take(), [3, 65, 129], "later places moved up by one as the third was taken out");
        let (_sender, future) = one(200);
        exchanges.push(future);
        assert!(exchanges.poll(&mut cx));
        assert_eq!((polled.take(), exchanges.places.len()), (vec![200], 130));
    }

    #[tokio::test]
    async fn a_wake_from_another_thread_reaches_the_task() {
        let (sender, receiver) = oneshot::channel();
        let done = Rc::new(RefCell::new(None));
        let mut exchanges = Exchanges::new();
        let told = done.clone();
        exchanges.push(async move { *told.borrow_mut() = receiver.await.ok() });
        let thread = std::thread::spawn(move || sender.send(7));
        poll_fn(|cx| {
            exchanges.poll(cx);
            if done.borrow().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        thread.join().unwrap().unwrap();
        assert_eq!(*done.borrow(), Some(7));
    }
}
