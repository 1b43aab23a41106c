//! Bytes over TCP or TLS, and datagrams over UDP. Knows no protocol above them.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::answer::{Answer, BodyContent, Code, Content, Link, Observer, Spoken};
use crate::client::Client;
use crate::connect::Connected;
use crate::failure::{Failure, FailureKind};
use crate::request::Request;

/// Silence after an answer that ends a conversation whose protocol has no end.
pub const QUIET: Duration = Duration::from_secs(1);

/// Bytes read at once; the largest UDP payload fits.
const READ_BYTES: usize = 64 * 1024;

/// Writes all messages, half-closes, and reads until the peer closes or has been quiet after an answer.
pub(crate) async fn stream(client: &Client, request: &Request, observer: &mut dyn Observer) -> Result<Answer, Failure> {
    let Connected { mut stream, link } = client.stream(&request.target, &[]).await?;
    let failed = |what: &str, error: &std::io::Error| {
        Failure::from_error(format!("{what} {} ({})", request.target, link.peer), error)
    };
    for message in &request.messages {
        stream.write_all(message).await.map_err(|error| failed("write to", &error))?;
    }
    stream.shutdown().await.map_err(|error| failed("write to", &error))?;
    let mut content = BodyContent::default();
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        buffer.reserve(READ_BYTES);
        let patience = if content.is_empty() { Duration::MAX } else { QUIET };
        let Ok(read) = tokio::time::timeout(patience, stream.read_buf(&mut buffer)).await else { break };
        if read.map_err(|error| failed("read from", &error))? == 0 {
            break;
        }
        let piece = buffer.split();
        observer.piece(&piece);
        content.piece(&piece);
    }
    if content.is_empty() && !request.messages.is_empty() {
        let attempt = format!("get an answer from {} ({})", request.target, link.peer);
        return Err(Failure::new(FailureKind::Closed, attempt, "the peer closed without an answer").with_hint(
            "no backend took the connection, or it expects another protocol: `portolan status` shows the routes",
        ));
    }
    Ok(answer(Spoken::Tcp, content.finish(), link))
}

/// Sends each message as a datagram, and takes as many answers as come before it is quiet.
pub(crate) async fn datagram(
    client: &Client,
    request: &Request,
    observer: &mut dyn Observer,
) -> Result<Answer, Failure> {
    let (socket, link) = client.udp(&request.target).await?;
    let failed = |error: &std::io::Error| {
        Failure::from_error(format!("talk to {} ({}) over UDP", request.target, link.peer), error).or_hint(|kind| {
            (kind == FailureKind::Refused).then(|| format!("nothing listens on {} over UDP", link.peer))
        })
    };
    let empty = [Bytes::new()];
    let messages = if request.messages.is_empty() { &empty } else { request.messages.as_slice() };
    for message in messages {
        socket.send(message).await.map_err(|error| failed(&error))?;
    }
    let mut content = Content::default();
    let mut buffer = vec![0; READ_BYTES];
    for received in 0..messages.len() {
        let patience = if received == 0 { Duration::MAX } else { QUIET };
        let Ok(read) = tokio::time::timeout(patience, socket.recv(&mut buffer)).await else { break };
        let length = read.map_err(|error| failed(&error))?;
        observer.message(&buffer[..length]);
        content.message(Bytes::copy_from_slice(&buffer[..length]));
    }
    Ok(answer(Spoken::Udp, content, link))
}

fn answer(spoken: Spoken, content: Content, link: Link) -> Answer {
    Answer {
        spoken,
        code: Code::Bytes,
        headers: HeaderMap::new(),
        messages: content.messages,
        bytes: content.bytes,
        trailers: None,
        latency: Duration::ZERO,
        link,
    }
}
