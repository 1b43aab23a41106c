//! What is asked and how: a target, a protocol, headers and messages. Never touches a socket.

use bytes::Bytes;
use http::{HeaderMap, Method, uri::PathAndQuery};

use crate::target::{Scheme, Target};

/// The version of HTTP to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// What ALPN agrees on over TLS, HTTP/1.1 without.
    #[default]
    Negotiated,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, by prior knowledge where there is no TLS.
    Http2,
    /// HTTP/3, over QUIC.
    Http3,
}

/// A gRPC method as its path, `/package.Service/Method`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GrpcMethod(PathAndQuery);

impl GrpcMethod {
    /// The echo that `portolan dev` plays.
    pub const ECHO: &'static str = "portolan.echo.v1.Echo/Echo";

    /// The request's path.
    pub fn path(&self) -> &PathAndQuery {
        &self.0
    }
}

impl std::str::FromStr for GrpcMethod {
    type Err = String;

    /// `SERVICE/METHOD`, with or without a slash before it.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let known = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        name.split_once('/')
            .filter(|(service, method)| known(service) && known(method))
            .and_then(|_| format!("/{name}").parse().ok())
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not SERVICE/METHOD, such as {}", Self::ECHO))
    }
}

/// The conversation to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// One request, one response; the messages are the request's body.
    Http(HttpVersion),
    /// One call; each message is sent as `message` (field 1), and the call is then half-closed.
    Grpc(GrpcMethod),
    /// One WebSocket over HTTP/1.1; each message is sent as a frame.
    WebSocket,
    /// One TCP connection, inside TLS for `tls://`; the messages are written one after the other, then half-closed.
    Stream,
    /// One UDP socket; each message is a datagram.
    Datagram,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it goes.
    pub target: Target,
    /// How it is spoken.
    pub protocol: Protocol,
    /// The method, for HTTP.
    pub method: Method,
    /// Headers, or metadata; `host` replaces the authority.
    pub headers: HeaderMap,
    /// What is sent.
    pub messages: Vec<Bytes>,
}

// === impl Request ===

impl Request {
    /// A GET without headers, or a conversation without messages, as the target's scheme says.
    pub fn new(target: Target) -> Self {
        let protocol = match target.scheme() {
            Scheme::Http | Scheme::Https => Protocol::Http(HttpVersion::Negotiated),
            Scheme::Ws | Scheme::Wss => Protocol::WebSocket,
            Scheme::Tcp | Scheme::Tls => Protocol::Stream,
            Scheme::Udp => Protocol::Datagram,
        };
        Self { target, protocol, method: Method::GET, headers: HeaderMap::new(), messages: Vec::new() }
    }

    /// The messages as one body.
    pub(crate) fn body(&self) -> Bytes {
        match self.messages.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }

    /// The authority that the peer is told: a `host` header's, else the URL's.
    pub(crate) fn authority(&self) -> String {
        let given = self.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        given.map_or_else(|| self.target.authority(), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grpc_method_has_a_service_and_a_method() {
        for text in ["a.B/C", "/a.B/C"] {
            assert_eq!(text.parse::<GrpcMethod>().unwrap().path().as_str(), "/a.B/C");
        }
        for text in ["", "a", "a/", "/b", "a/b/c", "http://a/b", "a b/c"] {
            assert!(text.parse::<GrpcMethod>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_header_replaces_the_authority() {
        let mut request = Request::new("http://127.0.0.1:8080/".parse().unwrap());
        assert_eq!(request.authority(), "127.0.0.1:8080");
        request.headers.insert("host", "shop.localhost".parse().unwrap());
        assert_eq!(request.authority(), "shop.localhost");
    }
}
