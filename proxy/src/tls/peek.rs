//! Reads the ClientHello of a connection and keeps its bytes, so that they can be replayed to whoever ends the TLS. It
//! sets no time limit: its caller does.

use super::hello::{Hello, PeekError, parse_client_hello};
use bytes::{BufMut, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Room for what most clients send in their first flight.
const FIRST_READ_BYTES: usize = 2 << 10;

/// Why no ClientHello was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadHelloError {
    /// The bytes are none, see [`PeekError`].
    #[error(transparent)]
    Hello(#[from] PeekError),
    /// The client closed before it was complete.
    #[error("the client closed before its ClientHello was complete")]
    Closed,
    /// Reading failed.
    #[error("reading the ClientHello failed: {0}")]
    Io(#[from] io::Error),
}

/// Reads until the ClientHello is complete; gives back all bytes that arrived, of which there are at most `limit`.
///
/// # Errors
/// See [`ReadHelloError`]; never [`PeekError::NeedMore`].
pub async fn read_client_hello<S>(stream: &mut S, limit: usize) -> Result<(Hello, BytesMut), ReadHelloError>
where
    S: AsyncRead + Unpin,
{
    let mut bytes = BytesMut::with_capacity(FIRST_READ_BYTES.min(limit));
    loop {
        match parse_client_hello(&bytes, limit) {
            Ok(hello) => return Ok((hello, bytes)),
            Err(PeekError::NeedMore) => {}
            Err(error) => return Err(error.into()),
        }
        let room = limit - bytes.len();
        if stream.read_buf(&mut (&mut bytes).limit(room)).await? == 0 {
            return Err(ReadHelloError::Closed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::client_hello;
    use tokio::io::AsyncWriteExt;

    #[tokio::test]
    async fn a_hello_that_dribbles_in_is_returned_with_its_very_bytes() {
        let real = client_hello("a.example", &[]);
        let (mut client, mut server) = tokio::io::duplex(7);
        let sent = real.clone();
        let sender = tokio::spawn(async move { client.write_all(&sent).await.map(|()| client) });
        let (hello, bytes) = read_client_hello(&mut server, 16 << 10).await.unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("a.example"));
        assert_eq!(&bytes[..], &real[..]);
        sender.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_client_that_closes_or_sends_too_much_is_an_error() {
        let real = client_hello("a.example", &[]);
        let cut = read_client_hello(&mut &real[..50], 16 << 10).await;
        assert!(matches!(cut, Err(ReadHelloError::Closed)));
        let long = read_client_hello(&mut &real[..], 40).await;
        assert!(matches!(long, Err(ReadHelloError::Hello(PeekError::TooLong))));
        let none = read_client_hello(&mut &real[..], 0).await;
        assert!(matches!(none, Err(ReadHelloError::Hello(PeekError::TooLong))));
    }
}
