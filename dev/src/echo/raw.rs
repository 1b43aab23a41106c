//! TCP and UDP echo. Understands one word, `WHO`, at the beginning of a connection or as a whole datagram.

use super::{connection::Connection, pod::Shared};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UdpSocket,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const WHO: &[u8] = b"WHO\n";
const BUFFER: usize = 16 * 1024;
const DATAGRAM_MAX: usize = 64 * 1024;
/// A client that sends part of the word and pauses so long did not mean it.
const WHO_TIMEOUT: Duration = Duration::from_millis(200);
/// While the port closes, a connection that is quiet for so long is finished.
const QUIET_WHEN_CLOSING: Duration = Duration::from_millis(200);

/// Echoes until the client closes its half, or is quiet while the port closes.
pub(crate) async fn serve_tcp<S>(mut stream: S, connection: Connection) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    let Some(mut length) = read(&mut stream, &mut buffer, &connection.drain).await? else { return Ok(()) };
    while length < WHO.len() && WHO.starts_with(&buffer[..length]) {
        match timeout(WHO_TIMEOUT, stream.read(&mut buffer[length..])).await {
            Ok(Ok(more)) if more > 0 => length += more,
            Ok(Err(error)) => return Err(error),
            _ => break,
        }
    }
    let mut rest = &buffer[..length];
    if let Some(after) = after_who(rest) {
        let line = connection.shared.identity.load().to_line() + "\n";
        stream.write_all(line.as_bytes()).await?;
        rest = after;
    }
    stream.write_all(rest).await?;
    stream.flush().await?;
    while let Some(length) = read(&mut stream, &mut buffer, &connection.drain).await? {
        stream.write_all(&buffer[..length]).await?;
        // TLS keeps what is written until it is flushed.
        stream.flush().await?;
    }
    stream.shutdown().await
}

/// What follows `WHO` and its newline; a carriage return before it does not matter.
fn after_who(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(WHO).or_else(|| bytes.strip_prefix(b"WHO\r\n"))
}

async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    drain: &CancellationToken,
) -> io::Result<Option<usize>> {
    let closing = async {
        drain.cancelled().await;
        sleep(QUIET_WHEN_CLOSING).await;
    };
    tokio::select! {
        read = stream.read(buffer) => Ok(Some(read?).filter(|length| *length > 0)),
        () = closing => Ok(None),
    }
}

/// Echoes datagrams until the port closes.
pub(crate) async fn serve_udp(socket: UdpSocket, shared: Arc<Shared>, drain: CancellationToken) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = drain.cancelled() => return,
            () = shared.kill.cancelled() => return,
        };
        // An error here tells of an earlier answer that could not be delivered, as an answer that fails does.
        let Ok((length, peer)) = received else { continue };
        let datagram = &buffer[..length];
        if matches!(datagram.trim_ascii_end(), b"WHO") {
            let _ = socket.send_to(shared.identity.load().to_line().as_bytes(), peer).await;
        } else {
            let _ = socket.send_to(datagram, peer).await;
        }
    }
}
