//! A stream of HTTP/2 that carries another protocol's bytes (RFC 8441).

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions of a stream, as bytes.
pub struct Tunnel {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    /// What was received and not yet read.
    read: Bytes,
}

impl Tunnel {
    /// A stream whose answer's head is out.
    pub fn new(sender: SendStream<Bytes>, receiver: RecvStream) -> Self {
        Self { sender, receiver, read: Bytes::new() }
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
    }
    io::Error::other(error)
}

impl AsyncRead for Tunnel {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.read.is_empty() {
            match ready!(self.receiver.poll_data(cx)) {
                Some(Ok(data)) => self.read = data,
                None => return Poll::Ready(Ok(())),
                // A client that is done may say so by a reset (RFC 8441, 5).
                Some(Err(error)) => {
                    return Poll::Ready(match error.reason() {
                        Some(Reason::NO_ERROR | Reason::CANCEL) => Ok(()),
                        _ => Err(broken(error)),
                    });
                }
            }
        }
        let length = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..length]);
        self.read.advance(length);
        // The window opens as the other side takes the bytes.
        let _ = self.receiver.flow_control().release_capacity(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Poll::Ready(reset) = self.sender.poll_reset(cx) {
            return Poll::Ready(Err(reset.map_or_else(broken, |_| io::ErrorKind::BrokenPipe.into())));
        }
        self.sender.reserve_capacity(bytes.len());
        let capacity = match self.sender.capacity() {
            0 => match ready!(self.sender.poll_capacity(cx)) {
                Some(capacity) => capacity.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            there => there,
        };
        let length = capacity.min(bytes.len());
        self.sender.send_data(Bytes::copy_from_slice(&bytes[..length]), false).map_err(broken)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One that has gone needs no end.
        let _ = self.sender.send_data(Bytes::new(), true);
        Poll::Ready(Ok(()))
    }
}
