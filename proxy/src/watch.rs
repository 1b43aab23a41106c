//! Watching over client connections without a timer each: a connection notes what it does, and its worker looks at all
//! of them once a second.

use crate::{clock, limits::Limits};
use bytes::{Buf, BytesMut};
use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Command {
    /// Nothing.
    #[default]
    None,
    /// End once what is under way is answered.
    Graceful,
    /// End at once: a head comes too slowly.
    AbortSlowHeader,
    /// End at once: a request makes no progress.
    AbortIdleStream,
}

/// What a connection does, as its worker sees it. Times are milliseconds on the process's clock.
#[derive(Debug)]
pub struct Watch {
    opened_ms: u64,
    multiplexes: Cell<bool>,
    /// Requests under way.
    active: Cell<u32>,
    /// When the first byte of a head came, or the connection was opened; [`NEVER`] between requests.
    head_since_ms: Cell<u64>,
    progress_ms: Cell<u64>,
    /// Whether the last sweep found the connection idle for too long. It is ended a sweep later: after a stall, a request
    /// may wait in a socket that nobody has read yet.
    idle: Cell<bool>,
    /// Whether the next answer is the last (HTTP/1.1).
    leaving: Cell<bool>,
    command: Cell<u8>,
    waker: RefCell<Option<Waker>>,
}

/// No time at all.
const NEVER: u64 = u64::MAX;

/// The connections of one worker.
#[derive(Debug, Default)]
pub struct Watchlist(RefCell<Vec<Weak<Watch>>>);

/// A stream whose progress is noted; bytes that were read before come first.
pub struct Watched<S> {
    stream: S,
    before: BytesMut,
    watch: Rc<Watch>,
}

// === impl Watch ===

impl Watch {
    /// A connection that was just accepted.
    pub fn new() -> Rc<Self> {
        clock::now();
        let now = clock::process_ms();
        Rc::new(Self {
            opened_ms: now,
            multiplexes: Cell::new(false),
            active: Cell::new(0),
            head_since_ms: Cell::new(now),
            progress_ms: Cell::new(now),
            idle: Cell::new(false),
            leaving: Cell::new(false),
            command: Cell::new(Command::None as u8),
            waker: RefCell::default(),
        })
    }

    /// The connection multiplexes (HTTP/2, HTTP/3).
    pub fn set_multiplexes(&self) {
        self.multiplexes.set(true);
    }

    /// A request's head is complete.
    pub fn began(&self) {
        self.active.set(self.active.get() + 1);
        self.head_since_ms.set(NEVER);
    }

    /// A request is answered.
    pub fn ended(&self) {
        self.active.set(self.active.get().saturating_sub(1));
    }

    /// Takes the command that was given, and sees to it that the next one wakes this task.
    pub fn poll_command(&self, cx: &Context<'_>) -> Command {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        match self.command.get() {
            0 => Command::None,
            given => {
                self.command.set(0);
                Command::ALL[usize::from(given)]
            }
        }
    }

    /// Tells the connection something.
    pub fn command(&self, command: Command) {
        self.command.set(command as u8);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn noted(&self) {
        self.progress_ms.set(clock::process_ms());
    }

    fn read(&self) {
        self.noted();
        self.idle.set(false);
        if self.active.get() == 0 && self.head_since_ms.get() == NEVER {
            self.head_since_ms.set(clock::process_ms());
        }
    }

    /// An old connection ends with its next answer, which says so; where answers cannot, the protocol does.
    fn leave(&self) -> Command {
        if self.multiplexes.get() {
            return Command::Graceful;
        }
        self.leaving.set(true);
        Command::None
    }

    /// Whether the next answer is the last.
    pub fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// What is due, by the limits.
    fn verdict(&self, now_ms: u64, limits: &Limits) -> Command {
        let past = |since: u64, limit: Duration| u128::from(now_ms.saturating_sub(since)) > limit.as_millis();
        let (progress, head_since) = (self.progress_ms.get(), self.head_since_ms.get());
        let reads_head = !self.multiplexes.get() && head_since != NEVER;
        match self.active.get() {
            0 if reads_head && past(head_since, limits.header_timeout) => Command::AbortSlowHeader,
            0 if past(progress, limits.keepalive_timeout) => {
                if self.idle.replace(true) {
                    Command::Graceful
                } else {
                    Command::None
                }
            }
            1.. if past(progress, limits.stream_idle_timeout) => Command::AbortIdleStream,
            _ if limits.connection_age_max.is_some_and(|age| past(self.opened_ms, age)) => self.leave(),
            _ => Command::None,
        }
    }
}

impl Command {
    const ALL: [Self; 4] = [Self::None, Self::Graceful, Self::AbortSlowHeader, Self::AbortIdleStream];

    /// The limit that an abort is about.
    pub fn limit(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Graceful => None,
            Self::AbortSlowHeader => Some("header_timeout"),
            Self::AbortIdleStream => Some("stream_idle_timeout"),
        }
    }
}

// === impl Watchlist ===

impl Watchlist {
    /// Watches over a connection for as long as it exists.
    pub fn add(&self, watch: &Rc<Watch>) {
        self.0.borrow_mut().push(Rc::downgrade(watch));
    }

    /// Once a second: gives every connection what is due.
    pub fn sweep(&self, limits: &Limits) {
        let now_ms = clock::process_ms();
        self.each(|watch| match watch.verdict(now_ms, limits) {
            Command::None => {}
            command => watch.command(command),
        });
    }

    /// Tells the connections that can say so without a race (those that multiplex), or all of them, to end.
    pub fn end(&self, only_multiplexing: bool) {
        self.each(|watch| {
            if !only_multiplexing || watch.multiplexes.get() {
                watch.command(Command::Graceful);
            }
        });
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.0.borrow().iter().filter(|watch| watch.strong_count() > 0).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn each(&self, mut visit: impl FnMut(&Watch)) {
        self.0.borrow_mut().retain(|watch| match watch.upgrade() {
            Some(watch) => {
                visit(&watch);
                true
            }
            None => false,
        });
    }
}

// === impl Watched ===

impl<S> Watched<S> {
    /// Watches over a stream; `before` is given to the reader first.
    pub fn new(stream: S, before: BytesMut, watch: Rc<Watch>) -> Self {
        Self { stream, before, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.before.is_empty() {
            let length = this.before.len().min(buf.remaining());
            buf.put_slice(&this.before[..length]);
            this.before.advance(length);
            return Poll::Ready(Ok(()));
        }
        let filled = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if buf.filled().len() > filled {
            this.watch.read();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.watch.noted();
        Pin::new(&mut this.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.watch.noted();
        Pin::new(&mut this.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_limit_has_its_own_verdict() {
        let limits = Limits { connection_age_max: Some(Duration::from_secs(1000)), ..Limits::default() };
        let watch = Watch::new();
        let after = |seconds: u64| watch.opened_ms + seconds * 1000;
        assert_eq!(watch.verdict(after(9), &limits), Command::None);
        assert_eq!(watch.verdict(after(11), &limits), Command::AbortSlowHeader);
        watch.began();
        assert_eq!(watch.verdict(after(299), &limits), Command::None);
        assert_eq!(watch.verdict(after(301), &limits), Command::AbortIdleStream);
        watch.ended();
        assert_eq!(watch.verdict(after(74), &limits), Command::None);
        assert_eq!(watch.verdict(after(76), &limits), Command::None, "a request may wait to be read");
        assert_eq!(watch.verdict(after(77), &limits), Command::Graceful);
        watch.progress_ms.set(after(1000));
        assert_eq!(watch.verdict(after(1001), &limits), Command::None);
        assert!(watch.is_leaving(), "the next answer is the last");
        watch.set_multiplexes();
        assert_eq!(watch.verdict(after(1001), &limits), Command::Graceful);
    }

    #[test]
    fn a_connection_that_multiplexes_is_not_held_to_the_time_of_one_head() {
        let watch = Watch::new();
        watch.set_multiplexes();
        assert_eq!(watch.verdict(watch.opened_ms + 11_000, &Limits::default()), Command::None);
    }
}
