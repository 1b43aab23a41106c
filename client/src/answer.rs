//! What came back, and who watches it arrive. Keeps no more of a body than a named limit.

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

/// Bytes of an answer that are kept; the rest is counted, and shown to the observer, only.
pub const KEPT_BYTES_MAX: usize = 1 << 20;

/// Messages of an answer that are kept; the rest is counted only.
pub const KEPT_MESSAGES_MAX: usize = 1024;

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// An HTTP status; 101 where a WebSocket was opened.
    Http(StatusCode),
    /// A gRPC status.
    Grpc {
        /// 0 is OK.
        code: u32,
        /// `grpc-message`, as sent.
        message: String,
    },
    /// Bytes came back, which have no status.
    Bytes,
}

impl Code {
    /// 2xx, 101, gRPC OK, or bytes.
    pub fn is_success(&self) -> bool {
        match self {
            Self::Http(status) => status.is_success() || *status == StatusCode::SWITCHING_PROTOCOLS,
            Self::Grpc { code, .. } => *code == 0,
            Self::Bytes => true,
        }
    }

    /// A status of 400 or more, or a gRPC status that is not OK.
    pub fn is_error(&self) -> bool {
        match self {
            Self::Http(status) => status.as_u16() >= 400,
            Self::Grpc { code, .. } => *code != 0,
            Self::Bytes => false,
        }
    }
}

/// The names of <https://grpc.io/docs/guides/status-codes/>, by number.
const GRPC_CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => write!(f, "{}", status.as_u16()),
            Self::Grpc { code, .. } => {
                let name = usize::try_from(*code).ok().and_then(|code| GRPC_CODES.get(code));
                write!(f, "grpc {code} {}", name.unwrap_or(&"(unknown)"))
            }
            Self::Bytes => f.write_str("bytes"),
        }
    }
}

/// What was spoken in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
    /// gRPC, over HTTP/2.
    Grpc,
    /// WebSocket, over HTTP/1.1.
    WebSocket,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Http3 => "HTTP/3",
            Self::Grpc => "gRPC",
            Self::WebSocket => "WebSocket",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// What the TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1_3` and the like.
    pub version: String,
    /// The protocol chosen by ALPN, empty where there was none.
    pub alpn: String,
    /// The server's chain, leaf first.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The connection over which an answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Our address.
    pub local: SocketAddr,
    /// The address that was connected to.
    pub peer: SocketAddr,
    /// What TLS agreed on, where there is TLS.
    pub tls: Option<TlsInfo>,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was spoken.
    pub spoken: Spoken,
    /// How it ended.
    pub code: Code,
    /// Response headers; empty where the protocol has none.
    pub headers: HeaderMap,
    /// The body as one message for HTTP, else the messages; at most [`KEPT_BYTES_MAX`] in all.
    pub messages: Vec<Bytes>,
    /// All bytes of all messages.
    pub bytes: u64,
    /// Trailers, where there were any.
    pub trailers: Option<HeaderMap>,
    /// From before connecting (where that was needed) to the answer's last byte.
    pub latency: Duration,
    /// The connection used.
    pub link: Link,
}

/// Who answered, as the echo servers of `dev` say in JSON.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Backend {
    /// The pod.
    pub pod: String,
    /// Its Service.
    #[serde(default)]
    pub service: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: String,
}

impl Answer {
    /// Who answered, where one of the messages says so.
    pub fn backend(&self) -> Option<Backend> {
        let objects = self.messages.iter().filter(|message| message.first() == Some(&b'{'));
        // Bytes may follow: the TCP echo says who it is in its first line.
        let first = |message: &Bytes| serde_json::Deserializer::from_slice(message).into_iter().next()?.ok();
        objects.filter_map(first).next()
    }
}

/// Watches an answer while it arrives.
pub trait Observer: Send {
    /// The answer's status and headers.
    fn head(&mut self, spoken: Spoken, status: StatusCode, headers: &HeaderMap);
    /// The next piece of an HTTP body.
    fn piece(&mut self, bytes: &[u8]);
    /// The next whole message of any other protocol.
    fn message(&mut self, bytes: &[u8]);
}

/// Watches nothing.
impl Observer for () {
    fn head(&mut self, _spoken: Spoken, _status: StatusCode, _headers: &HeaderMap) {}
    fn piece(&mut self, _bytes: &[u8]) {}
    fn message(&mut self, _bytes: &[u8]) {}
}

/// Collects an answer's content up to the limits.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) messages: Vec<Bytes>,
    pub(crate) bytes: u64,
    kept_bytes: usize,
}

impl Content {
    pub(crate) fn message(&mut self, message: Bytes) {
        self.bytes += message.len() as u64;
        if self.messages.len() < KEPT_MESSAGES_MAX && self.kept_bytes + message.len() <= KEPT_BYTES_MAX {
            self.kept_bytes += message.len();
            self.messages.push(message);
        }
    }
}

/// Collects an HTTP body up to the limit.
#[derive(Debug, Default)]
pub(crate) struct BodyContent {
    kept: Vec<u8>,
    bytes: u64,
}

impl BodyContent {
    pub(crate) fn piece(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        let room = KEPT_BYTES_MAX - self.kept.len();
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) fn finish(self) -> Content {
        let messages = if self.kept.is_empty() { Vec::new() } else { vec![self.kept.into()] };
        Content { messages, bytes: self.bytes, kept_bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_beyond_the_limit_is_counted_and_not_kept() {
        let mut body = BodyContent::default();
        for _ in 0..3 {
            body.piece(&vec![b'x'; KEPT_BYTES_MAX / 2]);
        }
        let body = body.finish();
        assert_eq!(body.bytes, KEPT_BYTES_MAX as u64 / 2 * 3);
        assert_eq!(body.messages[0].len(), KEPT_BYTES_MAX);

        let mut content = Content::default();
        for _ in 0..KEPT_MESSAGES_MAX + 1 {
            content.message(Bytes::from_static(b"m"));
        }
        assert_eq!(content.messages.len(), KEPT_MESSAGES_MAX);
        assert_eq!(content.bytes, KEPT_MESSAGES_MAX as u64 + 1);
    }

    #[test]
    fn codes_read_well_in_a_table() {
        let grpc = |code| Code::Grpc { code, message: String::new() };
        assert_eq!(Code::Http(StatusCode::NOT_FOUND).to_string(), "404");
        assert_eq!(grpc(14).to_string(), "grpc 14 UNAVAILABLE");
        assert_eq!(grpc(99).to_string(), "grpc 99 (unknown)");
        assert!(grpc(0).is_success() && grpc(5).is_error());
    }
}
