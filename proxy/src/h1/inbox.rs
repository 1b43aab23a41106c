//! What was read of a connection and not yet used. Buffers are lent by the worker's thread: a connection that waits holds
//! none.

use super::framing::{Framing, Malformed, Piece};
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use std::{
    cell::RefCell,
    io,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncRead;

/// Bytes of a buffer at first; doubled while reads fill it.
const READ_BYTES_MIN: usize = 8 << 10;
/// Bytes of a buffer at most.
const READ_BYTES_MAX: usize = 128 << 10;
/// Bytes that are copied out, so that the buffer can be used again; more are split off.
const COPY_BYTES_MAX: usize = 4 << 10;
/// Buffers that a thread keeps for whoever reads next.
const SPARE_MAX: usize = 32;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// What was read and not yet used.
#[derive(Debug)]
pub struct Inbox {
    bytes: BytesMut,
    read_size: usize,
}

/// A part of a body.
#[derive(Debug)]
pub enum Part {
    /// Data.
    Data(Bytes),
    /// Trailers; nothing follows.
    Trailers(HeaderMap),
    /// Nothing follows.
    End,
}

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// It breaks RFC 9112.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The connection ended within it.
    #[error("the connection ended within the body")]
    Closed,
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
}

// === impl Inbox ===

impl Inbox {
    /// Starts with what was read before.
    pub fn new(bytes: BytesMut) -> Self {
        Self { bytes, read_size: READ_BYTES_MIN }
    }

    /// Reads once; 0 is the end of the stream.
    pub fn poll_fill<S: AsyncRead + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.bytes.capacity() == 0 {
            self.bytes = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        self.bytes.reserve(self.read_size);
        // `poll_read_buf` fills the spare capacity and advances by what was read.
        match tokio_util::io::poll_read_buf(Pin::new(io), cx, &mut self.bytes) {
            Poll::Ready(Ok(read)) => {
                if read >= self.read_size && self.read_size < READ_BYTES_MAX {
                    self.read_size *= 2;
                }
                Poll::Ready(Ok(read))
            }
            other => {
                self.rest();
                other
            }
        }
    }

    /// The next part of a body.
    pub fn poll_part<S: AsyncRead + Unpin>(
        &mut self,
        io: &mut S,
        framing: &mut Framing,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Part, BodyFault>> {
        loop {
            if framing.is_done() {
                return Poll::Ready(Ok(Part::End));
            }
            if self.bytes.is_empty() {
                match ready!(self.poll_fill(io, cx))? {
                    0 if *framing == Framing::UntilClose => return Poll::Ready(Ok(Part::End)),
                    0 => return Poll::Ready(Err(BodyFault::Closed)),
                    _ => {}
                }
            }
            match framing.next(&self.bytes)? {
                Piece::Skip(length) => self.bytes.advance(length),
                Piece::Data(length) => return Poll::Ready(Ok(Part::Data(self.take(length)))),
                Piece::Trailers(length, trailers) => {
                    self.bytes.advance(length);
                    let part = if trailers.is_empty() { Part::End } else { Part::Trailers(trailers) };
                    return Poll::Ready(Ok(part));
                }
            }
        }
    }

    /// Takes so many bytes, which must be there.
    pub fn take(&mut self, length: usize) -> Bytes {
        if length > COPY_BYTES_MAX {
            return self.bytes.split_to(length).freeze();
        }
        let copy = Bytes::copy_from_slice(&self.bytes[..length]);
        self.bytes.advance(length);
        copy
    }

    /// Takes so many bytes, which must be there, and drops them.
    pub fn skip(&mut self, length: usize) {
        self.bytes.advance(length);
    }

    /// Whatever is there, for a reader of another protocol.
    pub fn into_bytes(mut self) -> BytesMut {
        std::mem::take(&mut self.bytes)
    }

    /// Lends its buffer to others if it is empty, and forgets how fast the stream was.
    pub fn rest(&mut self) {
        if !self.bytes.is_empty() {
            return;
        }
        self.read_size = READ_BYTES_MIN;
        let mut buffer = std::mem::take(&mut self.bytes);
        SPARE.with_borrow_mut(|spare| {
            // One of which parts are still out may be small; it would be grown at each use.
            if spare.len() < SPARE_MAX && buffer.try_reclaim(READ_BYTES_MIN) {
                spare.push(buffer);
            }
        });
    }
}

impl Deref for Inbox {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
