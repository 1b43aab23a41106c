//! Leaving HTTP: WebSocket and other upgrades, by `Upgrade` (HTTP/1.1) or extended CONNECT (RFC 8441).

use crate::{conn::Conn, upstream::h1::Tunnel};
use http::{HeaderValue, Method, Request};
use hyper::{ext::Protocol, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use std::rc::Rc;

/// A client that wants to leave HTTP.
pub struct Upgrade {
    /// The protocol that it asks for.
    pub protocol: HeaderValue,
    /// Whether the client asked by extended CONNECT.
    pub extended_connect: bool,
    client: OnUpgrade,
}

impl Upgrade {
    /// The wish of a request, if it has one.
    pub fn of<B>(request: &mut Request<B>) -> Option<Self> {
        if request.method() == Method::CONNECT {
            let protocol = request.extensions().get::<Protocol>()?;
            let protocol = HeaderValue::from_str(protocol.as_str()).ok()?;
            return Some(Self { protocol, extended_connect: true, client: hyper::upgrade::on(request) });
        }
        let protocol = super::headers::upgrade(request.headers())?;
        // A cleartext upgrade to HTTP/2 was withdrawn (RFC 9113, 3.1): the request is served as it is.
        let kept = !protocol.as_bytes().eq_ignore_ascii_case(b"h2c");
        kept.then(|| Self { protocol, extended_connect: false, client: hyper::upgrade::on(request) })
    }

    /// Carries bytes both ways, once the answer is out, until one side has ended.
    pub fn join(self, conn: &Rc<Conn>, backend: Tunnel) {
        let conn = conn.clone();
        tokio::task::spawn_local(async move {
            match self.client.await {
                Ok(client) => conn.join(TokioIo::new(client), backend).await,
                Err(error) => tracing::debug!(%error, "a client left before its upgrade"),
            }
        });
    }
}
