//! Leaving HTTP: WebSocket and other upgrades, by `Upgrade` (HTTP/1.1) or extended CONNECT (RFC 8441).

use super::headers;
use crate::{conn::Conn, upstream::h1::Tunnel};
use http::{HeaderMap, HeaderValue};
use std::rc::Rc;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

/// A client's stream, whatever carries it.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream for S {}

/// A client that wants to leave HTTP.
pub struct Upgrade {
    /// The protocol that it asks for.
    pub protocol: HeaderValue,
    /// Whether the client asked by extended CONNECT.
    pub extended_connect: bool,
    client: oneshot::Receiver<Box<dyn ClientStream>>,
}

/// The server's end of an upgrade: it has the client's stream once the answer is out.
pub struct Switch(oneshot::Sender<Box<dyn ClientStream>>);

impl Upgrade {
    fn new(protocol: HeaderValue, extended_connect: bool) -> (Self, Switch) {
        let (sender, client) = oneshot::channel();
        (Self { protocol, extended_connect, client }, Switch(sender))
    }

    /// The wish of an HTTP/1.1 request, if it has one.
    pub fn of_http1(headers: &HeaderMap) -> Option<(Self, Switch)> {
        let protocol = headers::upgrade(headers)?;
        // A cleartext upgrade to HTTP/2 was withdrawn (RFC 9113, 3.1): the request is served as it is.
        let kept = !protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
        kept.then(|| Self::new(protocol, false))
    }

    /// The wish of an extended CONNECT for `protocol`.
    pub fn of_connect(protocol: &str) -> Option<(Self, Switch)> {
        HeaderValue::from_str(protocol).ok().map(|protocol| Self::new(protocol, true))
    }

    /// Carries bytes both ways, once the answer is out, until one side has ended.
    pub fn join(self, conn: &Rc<Conn>, backend: Tunnel) {
        let conn = conn.clone();
        tokio::task::spawn_local(async move {
            match self.client.await {
                Ok(client) => conn.join(client, backend).await,
                Err(_) => tracing::debug!(peer = %conn.peer, "a client left before its upgrade"),
            }
        });
    }
}

impl Switch {
    /// Whether the backend switched too, and somebody waits for the stream.
    pub fn is_wanted(&self) -> bool {
        !self.0.is_closed()
    }

    /// Gives the stream to whoever carries the other protocol.
    pub fn hand_over(self, stream: impl ClientStream + 'static) {
        // Whoever waited may have given up.
        let _ = self.0.send(Box::new(stream));
    }
}
