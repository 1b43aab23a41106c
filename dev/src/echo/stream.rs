//! A byte stream whose beginning can be looked at before it is served, and that can end in a TCP reset. Knows how
//! TLS and HTTP begin; parses neither.

use bytes::{Buf, Bytes, BytesMut};
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

/// A client that sends less than a decision needs, and then nothing for so long, speaks something else.
const SNIFF_TIMEOUT: Duration = Duration::from_millis(500);
/// First byte of a TLS handshake record, <https://www.rfc-editor.org/rfc/rfc8446#section-5.1>.
const TLS_HANDSHAKE: u8 = 0x16;
/// The beginnings of an HTTP request; `PRI` is that of the HTTP/2 preface.
const HTTP_BEGINNINGS: [&[u8]; 10] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"TRACE ", b"CONNECT ", b"PRI "];

/// What a connection's first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    Tls,
    Http,
    Other,
}

/// A stream that gives back the bytes that were looked at.
pub(crate) struct Peeked<S> {
    stream: S,
    seen: Bytes,
}

/// A TCP connection that is reset, not closed, when it is dropped with the flag set.
pub(crate) struct Resettable {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

// === impl Beginning ===

impl Beginning {
    /// `None` as long as the bytes do not decide.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes.first() {
            None => None,
            Some(&TLS_HANDSHAKE) => Some(Self::Tls),
            Some(_) if HTTP_BEGINNINGS.iter().any(|http| bytes.starts_with(http)) => Some(Self::Http),
            Some(_) if HTTP_BEGINNINGS.iter().any(|http| http.starts_with(bytes)) => None,
            Some(_) => Some(Self::Other),
        }
    }
}

// === impl Peeked ===

impl<S: AsyncRead + AsyncWrite + Unpin> Peeked<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, seen: Bytes::new() }
    }

    /// Waits for enough bytes to tell what the client speaks; `None` if it closed before it said anything.
    pub(crate) async fn beginning(&mut self) -> io::Result<Option<Beginning>> {
        let mut seen = BytesMut::with_capacity(1024);
        // Silence before the first byte is allowed: the client may wait for its user.
        if self.stream.read_buf(&mut seen).await? == 0 {
            return Ok(None);
        }
        let decided = timeout(SNIFF_TIMEOUT, decide(&mut self.stream, &mut seen)).await;
        self.seen = seen.freeze();
        Ok(Some(decided.unwrap_or(Ok(Beginning::Other))?))
    }
}

async fn decide(stream: &mut (impl AsyncRead + Unpin), seen: &mut BytesMut) -> io::Result<Beginning> {
    loop {
        if let Some(found) = Beginning::of(seen) {
            return Ok(found);
        }
        if stream.read_buf(seen).await? == 0 {
            return Ok(Beginning::Other);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.seen.len().min(buf.remaining());
        buf.put_slice(&self.seen[..length]);
        self.seen.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

// === impl Resettable ===

impl Resettable {
    pub(crate) fn new(stream: TcpStream, reset: Arc<AtomicBool>) -> Self {
        Self { stream, reset }
    }
}

impl Drop for Resettable {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // Where it fails the connection ends with FIN instead, which is a close without an answer all the same.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Resettable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Resettable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            // A FIN would reach the peer before the reset.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_told_apart_as_soon_as_they_differ() {
        assert_eq!(Beginning::of(b""), None);
        assert_eq!(Beginning::of(b"G"), None);
        assert_eq!(Beginning::of(b"PRI * HTTP/2.0"), Some(Beginning::Http));
        assert_eq!(Beginning::of(b"PING\n"), Some(Beginning::Other));
        assert_eq!(Beginning::of(b"WHO\n"), Some(Beginning::Other));
        assert_eq!(Beginning::of(&[0x16, 3]), Some(Beginning::Tls));
    }

    #[tokio::test]
    async fn what_was_looked_at_is_read_again() {
        let (mut client, server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / and more").await.unwrap();
        drop(client);
        let mut peeked = Peeked::new(server);
        assert_eq!(peeked.beginning().await.unwrap(), Some(Beginning::Http));
        let mut all = String::new();
        peeked.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "GET / and more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_beginning_that_stays_undecided_is_no_http() {
        let (mut client, server) = tokio::io::duplex(64);
        tokio::io::AsyncWriteExt::write_all(&mut client, b"PO").await.unwrap();
        assert_eq!(Peeked::new(server).beginning().await.unwrap(), Some(Beginning::Other));
    }
}
