//! gRPC calls of any kind over HTTP/2: messages of one string, framed by hand. Never compresses.
//!
//! All kinds of calls look the same on the wire: some messages, a half-close, some messages, trailers.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Code, Content, Observer, Spoken};
use crate::failure::{Failure, FailureKind};
use crate::http_over_tcp::HttpConnection;
use crate::request::{GrpcMethod, Request};

/// Bytes of one message that are accepted; gRPC's own default.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A flag and a length precede each message:
/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#length-prefixed-message>.
const PREFIX_BYTES: usize = 5;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What is sent: the request of `portolan.echo.v1`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EchoRequest {
    /// What is said.
    #[prost(string, tag = "1")]
    #[serde(default)]
    pub message: String,
    /// `ServerStream` only: how many answers; 0 means 1.
    #[prost(uint32, tag = "2")]
    #[serde(default)]
    pub count: u32,
    /// `ServerStream` only: milliseconds between answers.
    #[prost(uint32, tag = "3")]
    #[serde(default)]
    pub interval_ms: u32,
}

/// What comes back: the answer of `portolan.echo.v1`. Other services' answers show as far as their field 1 is a string.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct EchoResponse {
    /// What was said.
    #[prost(string, tag = "1")]
    pub message: String,
    /// The pod that answers; empty where the service is another.
    #[prost(string, tag = "2")]
    pub pod: String,
    /// Its namespace.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// Every Service that selects it.
    #[prost(string, repeated, tag = "4")]
    pub services: Vec<String>,
    /// Number of this answer in its stream, from 1.
    #[prost(uint32, tag = "5")]
    pub sequence: u32,
    /// The full method, as received.
    #[prost(string, tag = "6")]
    pub method: String,
    /// The authority, as received.
    #[prost(string, tag = "7")]
    pub authority: String,
    /// The metadata, as received.
    #[prost(message, repeated, tag = "8")]
    pub metadata: Vec<Metadata>,
}

/// One entry of metadata.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Metadata {
    /// Lower-case name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

// === impl EchoRequest ===

impl EchoRequest {
    /// A JSON object of these fields, else any text as the message.
    fn read(text: &[u8]) -> Self {
        let message = || Self { message: String::from_utf8_lossy(text).into_owned(), count: 0, interval_ms: 0 };
        let is_object = text.trim_ascii_start().starts_with(b"{");
        is_object.then(|| serde_json::from_slice(text).ok()).flatten().unwrap_or_else(message)
    }
}

// === impl EchoResponse ===

impl EchoResponse {
    /// The message where nothing else was said, else all as JSON in the words of the HTTP echo.
    fn shown(self) -> String {
        if self.pod.is_empty() {
            return self.message;
        }
        let service = self.services.first().cloned().unwrap_or_default();
        let mut object = serde_json::to_value(self).expect("strings and numbers always serialise");
        object["service"] = service.into();
        object.to_string()
    }
}

/// One call: all messages of the request, half-close, all messages of the answer, trailers.
pub(crate) async fn exchange(
    connection: &mut HttpConnection,
    request: &Request,
    method: &GrpcMethod,
    observer: &mut dyn Observer,
) -> Result<Answer, Failure> {
    let mut call = request.clone();
    call.method = Method::POST;
    call.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/grpc"));
    call.headers.entry(TE).or_insert(HeaderValue::from_static("trailers"));
    let response = connection.respond(&call, method.path(), encode(&request.messages)).await?;
    let (head, mut body) = response.into_parts();
    observer.head(Spoken::Grpc, head.status, &head.headers);
    let mut content = Content::default();
    let mut trailers = None;
    let code = if is_grpc(&head.headers) {
        trailers = receive(connection, &mut body, &mut content, observer).await?;
        // "Trailers-Only" answers carry the status in their headers.
        trailers.as_ref().and_then(status).or_else(|| status(&head.headers)).ok_or_else(|| {
            malformed(connection, "the call ended without grpc-status").with_hint(
                "the server or a proxy on the way cut the call short; `portolan status` shows the backends' errors",
            )
        })?
    } else {
        plain(connection, &mut body, &mut content, observer).await?;
        Code::Http(head.status)
    };
    Ok(Answer {
        spoken: Spoken::Grpc,
        code,
        headers: head.headers,
        messages: content.messages,
        bytes: content.bytes,
        trailers,
        latency: Default::default(),
        link: connection.link.clone(),
    })
}

/// The messages, prefixed. A call without messages sends an empty one, as unary calls need one.
fn encode(messages: &[Bytes]) -> Bytes {
    let mut wire = BytesMut::new();
    let empty = [Bytes::new()];
    let messages = if messages.is_empty() { &empty } else { messages };
    for text in messages {
        let message = EchoRequest::read(text);
        wire.put_u8(0);
        wire.put_u32(u32::try_from(message.encoded_len()).expect("messages are bounded when they are read"));
        message.encode(&mut wire).expect("a growing buffer has room");
    }
    wire.freeze()
}

/// Takes the next whole message off `buffer`, where there is one.
fn decode(buffer: &mut BytesMut) -> Result<Option<String>, String> {
    if buffer.len() < PREFIX_BYTES {
        return Ok(None);
    }
    let length = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
    if buffer[0] != 0 {
        return Err("a compressed message, which was not asked for".to_owned());
    }
    if length > MESSAGE_BYTES_MAX {
        return Err(format!("a message of {length} bytes, more than {MESSAGE_BYTES_MAX}"));
    }
    if buffer.len() < PREFIX_BYTES + length {
        return Ok(None);
    }
    buffer.advance(PREFIX_BYTES);
    let message = buffer.split_to(length).freeze();
    EchoResponse::decode(message).map(|echo| Some(echo.shown())).map_err(|error| format!("no echo message: {error}"))
}

async fn receive(
    connection: &HttpConnection,
    body: &mut Incoming,
    content: &mut Content,
    observer: &mut dyn Observer,
) -> Result<Option<HeaderMap>, Failure> {
    let mut buffer = BytesMut::new();
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| connection.failed("read messages", &error))?;
        if let Some(piece) = frame.data_ref() {
            buffer.extend_from_slice(piece);
        }
        while let Some(message) = decode(&mut buffer).map_err(|cause| malformed(connection, &cause))? {
            observer.message(message.as_bytes());
            content.message(message.into());
        }
        trailers = frame.into_trailers().ok().or(trailers);
    }
    if buffer.is_empty() { Ok(trailers) } else { Err(malformed(connection, "the last message is cut short")) }
}

/// An answer that is not gRPC, such as a gateway's own 404.
async fn plain(
    connection: &HttpConnection,
    body: &mut Incoming,
    content: &mut Content,
    observer: &mut dyn Observer,
) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| connection.failed("read the answer's body", &error))?;
        if let Ok(piece) = frame.into_data() {
            observer.piece(&piece);
            content.message(piece);
        }
    }
    Ok(())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn status(headers: &HeaderMap) -> Option<Code> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()));
    let code = text(STATUS)?.parse().ok()?;
    Some(Code::Grpc { code, message: text(MESSAGE).unwrap_or_default().into_owned() })
}

fn malformed(connection: &HttpConnection, cause: &str) -> Failure {
    let attempt = format!("understand the gRPC answer of {}", connection.link.peer);
    Failure::new(FailureKind::Protocol, attempt, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_split_of_the_stream() {
        let wire =
            encode(&[Bytes::from_static(b"one"), Bytes::from_static(b""), Bytes::from_static("zwölf".as_bytes())]);
        for cut in 0..wire.len() {
            let mut buffer = BytesMut::from(&wire[..cut]);
            let mut found = Vec::new();
            while let Some(message) = decode(&mut buffer).unwrap() {
                found.push(message);
            }
            buffer.extend_from_slice(&wire[cut..]);
            while let Some(message) = decode(&mut buffer).unwrap() {
                found.push(message);
            }
            assert_eq!(found, ["one", "", "zwölf"], "cut at {cut}");
        }
    }

    #[test]
    fn json_fills_the_request_and_any_other_text_is_the_message() {
        let request = EchoRequest::read(br#"{"message":"tick","count":3,"interval_ms":5}"#);
        assert_eq!((request.message.as_str(), request.count, request.interval_ms), ("tick", 3, 5));
        for text in [r#"{"other":1}"#, r#"["a",1,2]"#, "{", ""] {
            assert_eq!(EchoRequest::read(text.as_bytes()).message, text);
        }
    }

    #[test]
    fn an_answer_that_names_its_pod_shows_as_json() {
        let answer = EchoResponse {
            message: "hi".into(),
            pod: "echo-0".into(),
            namespace: "shop".into(),
            services: vec!["echo".into()],
            ..Default::default()
        };
        let shown: serde_json::Value = serde_json::from_str(&answer.clone().shown()).unwrap();
        assert_eq!((&shown["pod"], &shown["service"]), (&"echo-0".into(), &"echo".into()));
        assert_eq!(EchoResponse { pod: String::new(), ..answer }.shown(), "hi");
    }

    #[test]
    fn a_call_without_messages_sends_one_empty_message() {
        assert_eq!(&encode(&[])[..], [0, 0, 0, 0, 0]);
    }

    #[test]
    fn oversized_compressed_and_foreign_messages_are_errors() {
        for (wire, expected) in [
            (&[0, 0xff, 0, 0, 0][..], "more than"),
            (&[1, 0, 0, 0, 0][..], "compressed"),
            (&[0, 0, 0, 0, 1, 0xff][..], "no echo message"),
        ] {
            let error = decode(&mut BytesMut::from(wire)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
