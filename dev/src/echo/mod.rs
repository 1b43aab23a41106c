//! Built-in echo servers that play pods: HTTP/1.1, h2c, TLS, gRPC, WebSocket, TCP and UDP. They answer with who they
//! are and what they received. They hold no state but the counters of `echo-fail`, and are no performance reference.
//!
//! # Protocols
//! [`EchoProtocol::Auto`] tells by the first bytes whether a TCP client speaks TLS (only where the pod has a
//! certificate), HTTP/1.1 or HTTP/2, or anything else, which is echoed as it comes.
//! - **HTTP**: [`HttpAnswer`] as JSON; header `echo-pod` names the pod on every answer.
//! - **gRPC** (HTTP/2, `application/grpc`): the service of proto/echo.proto, [`messages`]. Uncompressed messages of at
//!   most 4 MiB; `grpc-timeout` is the client's to keep.
//! - **WebSocket** (HTTP/1.1 Upgrade): the first message is the pod's [`Identity`]; then text and binary messages
//!   come back as they were. The first subprotocol offered is accepted.
//! - **TCP**: bytes come back. `WHO` and a newline at the beginning is answered with the [`Identity`] as a JSON line.
//! - **UDP**: datagrams come back; the datagram `WHO` is answered with the [`Identity`].
//!
//! # What a request may ask for
//! As a header or a query parameter of the same name; a value that cannot be understood is answered with 400.
//! | name | value | effect |
//! |---|---|---|
//! | `echo-status` | `503` | that status, 200 to 599 |
//! | `echo-delay` | `200ms`, `2s` | waits before it answers, at most 600 s |
//! | `echo-header` | `name:value`, repeatable | adds a response header |
//! | `echo-trailer` | `name:value`, repeatable | adds a trailer (HTTP/1.1: if the request says `TE: trailers`) |
//! | `echo-body-size` | `1048576` | a body of so many bytes `x` instead of JSON |
//! | `echo-body` | `stream` | the request's body comes back while it is received |
//! | `echo-fail` | `key=K,times=2,status=503` | the first 2 requests of key K fail; `status=close` breaks the connection |
//! | `echo-close` | `true` | no answer: a TCP reset on HTTP/1.1, a stream reset on HTTP/2 |
//! | `echo-close` | `body` | breaks off in the middle of the body |
//! | `echo-grpc-status` | `14` | gRPC: that status instead of an answer |
//! | `echo-grpc-message` | text | gRPC: its message |
//!
//! For gRPC calls `status` in `echo-fail` is a gRPC status, and `echo-status` answers plain HTTP, as a broken proxy
//! would.

mod aids;
mod answer;
mod body;
mod connection;
mod fail;
mod grpc;
mod http_service;
pub mod messages;
mod pod;
mod raw;
mod stream;
mod tls;
mod websocket;

#[cfg(test)]
mod tests;

pub use answer::{ClientCertificate, HttpAnswer, Identity, TlsInfo};
pub use fail::FailCounters;
pub use pod::{Binding, EchoError, EchoPod, EchoPort, EchoProtocol, EchoSpec};
pub use tls::{TlsError, server_config};
