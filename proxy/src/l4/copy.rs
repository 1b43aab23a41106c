//! A tunnel: bytes both ways until both sides have finished, one fails, or nothing moves any more. It holds bytes only
//! while they cannot be written, one buffer a direction.

use super::{
    buffers::{BUFFER_BYTES, Buffer},
    count::Count,
};
use bytes::{Buf, BytesMut};
use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

/// Looks at a tunnel per idle time. Moving bytes only sets a flag, so that no clock is read for them; a tunnel ends
/// after the idle time and at most one part of it more.
const IDLE_CHECKS: u32 = 4;

/// An end of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who connected.
    Client,
    /// Where it was connected to.
    Upstream,
}

/// How a tunnel ended.
#[derive(Debug)]
pub enum End {
    /// Both sides finished in order.
    Finished {
        /// Which finished first.
        first: Side,
    },
    /// Nothing moved for the idle time.
    Idle,
    /// A side failed; the other was cut off.
    Failed {
        /// Which.
        side: Side,
        /// Why.
        source: io::Error,
    },
}

/// Bytes that a tunnel has carried, while it runs and after.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the client to the upstream.
    pub to_upstream: Count,
    /// From the upstream to the client.
    pub to_client: Count,
}

/// Copies both ways. `first` is what was read from the client already; it goes to the upstream before anything else.
/// A side that finishes is passed on as a half-close. Both are closed when the future ends or is dropped.
pub async fn copy_both<C, U>(client: C, upstream: U, first: BytesMut, idle: Duration, counters: &Counters) -> End
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let (mut client, mut upstream) = (pin!(client), pin!(upstream));
    let mut forth = Direction::new(Side::Client, Unsent::First(first), &counters.to_upstream);
    let mut back = Direction::new(Side::Upstream, Unsent::Nothing, &counters.to_client);
    let mut idleness = pin!(tokio::time::sleep(idle / IDLE_CHECKS));
    let mut watch = Watch { period: idle / IDLE_CHECKS, quiet: 0, finished_first: None };
    poll_fn(|cx| {
        // Both, always: what a side sent before it failed is still delivered.
        let forth_result = forth.poll(cx, client.as_mut(), upstream.as_mut());
        let back_result = back.poll(cx, upstream.as_mut(), client.as_mut());
        if let Poll::Ready(end) = watch.judge([(&forth, forth_result), (&back, back_result)]) {
            return Poll::Ready(end);
        }
        let moved = std::mem::take(&mut forth.moved) | std::mem::take(&mut back.moved);
        watch.poll_idle(cx, moved, idleness.as_mut())
    })
    .await
}

/// Decides when a tunnel has ended.
struct Watch {
    period: Duration,
    /// Periods without a byte.
    quiet: u32,
    finished_first: Option<Side>,
}

/// One direction of a tunnel.
struct Direction<'a> {
    from: Side,
    unsent: Unsent,
    state: State,
    unflushed: bool,
    /// Whether bytes moved since this was last looked at.
    moved: bool,
    count: &'a Count,
}

/// Bytes that were read and not yet written.
enum Unsent {
    Nothing,
    First(BytesMut),
    Part { buffer: Buffer, start: usize, end: usize },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The reader has finished; the writer is told.
    Closing,
    Closed,
}

type DirectionResult = Poll<Result<(), (Side, io::Error)>>;

// === impl Watch ===

impl Watch {
    fn judge(&mut self, directions: [(&Direction<'_>, DirectionResult); 2]) -> Poll<End> {
        let mut closed = 0;
        for (direction, result) in directions {
            if direction.state != State::Open {
                self.finished_first.get_or_insert(direction.from);
            }
            match result {
                Poll::Ready(Err((side, source))) => return Poll::Ready(End::Failed { side, source }),
                Poll::Ready(Ok(())) => closed += 1,
                Poll::Pending => {}
            }
        }
        match (closed, self.finished_first) {
            (2, Some(first)) => Poll::Ready(End::Finished { first }),
            _ => Poll::Pending,
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>, moved: bool, mut idleness: Pin<&mut Sleep>) -> Poll<End> {
        if moved {
            // The period under way has begun before; it does not count.
            self.quiet = 0;
        }
        while idleness.as_mut().poll(cx).is_ready() {
            if self.quiet == IDLE_CHECKS {
                return Poll::Ready(End::Idle);
            }
            self.quiet += 1;
            idleness.as_mut().reset(Instant::now() + self.period);
        }
        Poll::Pending
    }
}

// === impl Direction ===

impl<'a> Direction<'a> {
    fn new(from: Side, unsent: Unsent, count: &'a Count) -> Self {
        Self { from, unsent, state: State::Open, unflushed: false, moved: false, count }
    }

    fn poll<R, W>(&mut self, cx: &mut Context<'_>, mut reader: Pin<&mut R>, mut writer: Pin<&mut W>) -> DirectionResult
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        let to = self.from.other();
        loop {
            ready!(self.poll_write(cx, writer.as_mut())).map_err(|error| (to, error))?;
            match self.state {
                State::Open => match self.poll_read(cx, reader.as_mut()).map_err(|error| (self.from, error))? {
                    Poll::Ready(()) => {}
                    // Whoever waits for more must have been given what there is.
                    Poll::Pending => {
                        ready!(self.poll_flush(cx, writer)).map_err(|error| (to, error))?;
                        return Poll::Pending;
                    }
                },
                State::Closing => {
                    match ready!(writer.as_mut().poll_shutdown(cx)) {
                        // A peer that is gone need not be told.
                        Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                            return Poll::Ready(Err((to, error)));
                        }
                        _ => self.state = State::Closed,
                    }
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write<W: AsyncWrite>(&mut self, cx: &mut Context<'_>, mut writer: Pin<&mut W>) -> Poll<io::Result<()>> {
        loop {
            let bytes = self.unsent.bytes();
            if bytes.is_empty() {
                self.unsent = Unsent::Nothing;
                return Poll::Ready(Ok(()));
            }
            let written = ready!(writer.as_mut().poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(written);
            self.count.add(written as u64);
            (self.moved, self.unflushed) = (true, true);
        }
    }

    fn poll_read<R: AsyncRead>(&mut self, cx: &mut Context<'_>, reader: Pin<&mut R>) -> Poll<io::Result<()>> {
        let mut buffer = Buffer::take();
        let mut room = ReadBuf::new(&mut buffer[..BUFFER_BYTES]);
        ready!(reader.poll_read(cx, &mut room))?;
        match room.filled().len() {
            0 => self.state = State::Closing,
            end => self.unsent = Unsent::Part { buffer, start: 0, end },
        }
        self.moved = true;
        Poll::Ready(Ok(()))
    }

    fn poll_flush<W: AsyncWrite>(&mut self, cx: &mut Context<'_>, writer: Pin<&mut W>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(writer.poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

// === impl Unsent ===

impl Unsent {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::First(bytes) => bytes,
            Self::Part { buffer, start, end } => &buffer[*start..*end],
        }
    }

    fn advance(&mut self, count: usize) {
        match self {
            Self::Nothing => {}
            Self::First(bytes) => bytes.advance(count),
            Self::Part { start, .. } => *start += count,
        }
    }
}

// === impl Side ===

impl Side {
    /// The opposite end.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
