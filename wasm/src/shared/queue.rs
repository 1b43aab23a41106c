//! Shared queues of one filter, and how an instance learns that an item waits. Never grows past its limit.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// What an item is taken to cost beside its bytes.
const ITEM_BYTES: usize = 32;

/// One queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) name: Box<[u8]>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    items: VecDeque<Bytes>,
    bytes: usize,
    /// Items ever put in: a watcher that saw fewer has something to do.
    puts: u64,
    last_watcher: u64,
    watchers: HashMap<u64, Waker>,
}

/// Someone who is told of every item put in. Dropping it leaves nothing behind in the queue.
#[derive(Debug)]
pub(crate) struct Watcher {
    queue: Arc<Queue>,
    key: u64,
    seen: u64,
}

/// No room in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

// === impl Queue ===

impl Queue {
    pub(crate) fn new(name: &[u8]) -> Self {
        Self { name: name.into(), inner: Mutex::default() }
    }

    pub(crate) fn enqueue(&self, item: &[u8], most: usize) -> Result<(), Full> {
        let watchers = {
            let mut inner = self.lock();
            if inner.bytes + item.len() + ITEM_BYTES > most {
                return Err(Full);
            }
            inner.bytes += item.len() + ITEM_BYTES;
            inner.items.push_back(Bytes::copy_from_slice(item));
            inner.puts += 1;
            std::mem::take(&mut inner.watchers)
        };
        watchers.into_values().for_each(Waker::wake);
        Ok(())
    }

    pub(crate) fn dequeue(&self) -> Option<Bytes> {
        let mut inner = self.lock();
        let item = inner.items.pop_front()?;
        inner.bytes -= item.len() + ITEM_BYTES;
        Some(item)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Watcher ===

impl Watcher {
    /// Watches from now on.
    pub(crate) fn new(queue: Arc<Queue>) -> Self {
        let (key, seen) = {
            let mut inner = queue.lock();
            inner.last_watcher += 1;
            (inner.last_watcher, inner.puts)
        };
        Self { queue, key, seen }
    }

    /// Ready once for each item that was put in, while any is left: filters take one item each time they are told.
    pub(crate) fn poll_put(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.queue.lock();
        if inner.items.is_empty() {
            self.seen = inner.puts;
        }
        if inner.puts != self.seen {
            self.seen += 1;
            return Poll::Ready(());
        }
        inner.watchers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.queue.lock().watchers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;

    #[test]
    fn items_come_out_in_order_and_the_limit_holds() {
        let queue = Queue::new(b"q");
        let most = 2 * ITEM_BYTES + 2;
        assert_eq!(queue.enqueue(b"a", most), Ok(()));
        assert_eq!(queue.enqueue(b"b", most), Ok(()));
        assert_eq!(queue.enqueue(b"", most), Err(Full));
        assert_eq!(queue.dequeue().as_deref(), Some(&b"a"[..]));
        assert_eq!(queue.enqueue(b"c", most), Ok(()));
        assert_eq!(queue.dequeue().as_deref(), Some(&b"b"[..]));
        assert_eq!(queue.dequeue().as_deref(), Some(&b"c"[..]));
        assert_eq!(queue.dequeue(), None);
    }

    #[test]
    fn a_watcher_is_told_once_an_item_and_leaves_nothing_behind() {
        let queue = Arc::new(Queue::new(b"q"));
        queue.enqueue(b"before", 1000).unwrap();
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut watcher = Watcher::new(Arc::clone(&queue));
        assert!(watcher.poll_put(&mut cx).is_pending());
        assert!(watcher.poll_put(&mut cx).is_pending());
        assert_eq!(queue.lock().watchers.len(), 1);
        queue.enqueue(b"a", 1000).unwrap();
        queue.enqueue(b"b", 1000).unwrap();
        assert!(watcher.poll_put(&mut cx).is_ready());
        assert!(watcher.poll_put(&mut cx).is_ready());
        assert!(watcher.poll_put(&mut cx).is_pending());
        queue.enqueue(b"c", 1000).unwrap();
        while queue.dequeue().is_some() {}
        assert!(watcher.poll_put(&mut cx).is_pending(), "another took it");
        drop(watcher);
        assert_eq!(queue.lock().watchers.len(), 0);
    }
}
