//! What is to be written to a connection: heads, chunk framing and small pieces copied together, one large piece as it
//! stands.

use bytes::{Buf, Bytes};
use http::HeaderMap;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::AsyncWrite;

/// Bytes of a piece that are copied behind what is there; more are written from where they lie.
const COPY_BYTES_MAX: usize = 4 << 10;
/// Copied bytes from which on nothing more is taken until they are written.
const FULL_BYTES: usize = 16 << 10;

/// What is to be written.
#[derive(Debug, Default)]
pub struct Outbox {
    copied: Vec<u8>,
    written: usize,
    /// Comes after what is copied.
    data: Bytes,
    /// Whether a chunk's data stands at the end, without the line end that closes it.
    chunk_open: bool,
}

// === impl Outbox ===

impl Outbox {
    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.data.is_empty()
    }

    /// Whether more can be added before something is written.
    pub fn has_room(&self) -> bool {
        self.data.is_empty() && self.copied.len() < FULL_BYTES
    }

    /// Where a head is written to. Only while there is room.
    pub fn head(&mut self) -> &mut Vec<u8> {
        self.chunk_open = false;
        &mut self.copied
    }

    /// Adds a piece of a body. Only while there is room.
    pub fn push(&mut self, data: Bytes, chunked: bool) {
        if data.is_empty() {
            return;
        }
        if chunked {
            self.copied.extend_from_slice(if self.chunk_open { b"\r\n" } else { b"" });
            write_hex(&mut self.copied, data.len());
            self.copied.extend_from_slice(b"\r\n");
            self.chunk_open = true;
        }
        if data.len() <= COPY_BYTES_MAX {
            self.copied.extend_from_slice(&data);
        } else {
            self.data = data;
        }
    }

    /// Ends a body in chunks. Only while there is room.
    pub fn end_chunks(&mut self, trailers: &HeaderMap) {
        self.copied.extend_from_slice(if self.chunk_open { b"\r\n0\r\n" } else { b"0\r\n" });
        for (name, value) in trailers {
            write_field(&mut self.copied, name.as_str(), value.as_bytes());
        }
        self.copied.extend_from_slice(b"\r\n");
        self.chunk_open = false;
    }

    /// Writes everything.
    pub fn poll_drain<S: AsyncWrite + Unpin>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while self.written < self.copied.len() || !self.data.is_empty() {
            let copied = &self.copied[self.written..];
            let io = Pin::new(&mut *io);
            let sent = match (copied.is_empty(), self.data.is_empty()) {
                (false, true) => ready!(io.poll_write(cx, copied))?,
                (true, _) => ready!(io.poll_write(cx, &self.data))?,
                (false, false) => {
                    ready!(io.poll_write_vectored(cx, &[IoSlice::new(copied), IoSlice::new(&self.data)]))?
                }
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_copied = sent.min(copied.len());
            self.written += of_copied;
            self.data.advance(sent - of_copied);
        }
        // TLS keeps what the socket would not take.
        ready!(Pin::new(io).poll_flush(cx))?;
        self.clear();
        Poll::Ready(Ok(()))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.copied.clear();
        self.written = 0;
        self.data.clear();
    }
}

/// Writes a header field.
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The field of a body in chunks.
pub const CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";

/// Writes the field of a body of so many bytes.
pub fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    write_number(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal.
fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_hex(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for at in (0..digits).rev() {
        out.push(b"0123456789abcdef"[number >> (at * 4) & 15]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(outbox: &mut Outbox) -> String {
        let mut io = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(outbox.poll_drain(&mut io, &mut cx).is_ready() && outbox.is_empty());
        String::from_utf8(io).unwrap()
    }

    #[test]
    fn chunks_are_closed_across_writes() {
        let mut outbox = Outbox::default();
        outbox.head().extend_from_slice(b"HEAD\r\n\r\n");
        outbox.push(Bytes::from_static(b"hello"), true);
        assert_eq!(written(&mut outbox), "HEAD\r\n\r\n5\r\nhello");
        outbox.push(Bytes::from(vec![b'x'; 0x1a2b]), true);
        assert!(!outbox.has_room());
        assert!(written(&mut outbox).starts_with("\r\n1a2b\r\nxxx"));
        let trailers = [(http::header::ETAG, http::HeaderValue::from_static("a"))].into_iter().collect();
        outbox.end_chunks(&trailers);
        assert_eq!(written(&mut outbox), "\r\n0\r\netag: a\r\n\r\n");
        outbox.end_chunks(&HeaderMap::new());
        assert_eq!(written(&mut outbox), "0\r\n\r\n");
    }
}
