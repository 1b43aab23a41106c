//! The gRPC service of proto/echo.proto over plain HTTP/2 frames,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. No compression.

use super::{
    Identity,
    aids::Aids,
    body::EchoBody,
    connection::Connection,
    messages::{EchoRequest, EchoResponse, Metadata, SERVICE},
};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, Version, header, request::Parts};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use prost::Message;
use std::{fmt::Write, sync::Arc, time::Duration};
use tokio::sync::mpsc;

const MESSAGE_MAX: usize = 4 << 20;
/// Compression flag and length before each message.
const PREFIX: usize = 5;
/// Answers that wait for a slow client.
const ANSWERS_WAITING: usize = 16;
const ANSWERS_MAX: u32 = 1_000_000;

/// How a call ended; 0 is OK.
#[derive(Debug)]
pub(crate) struct Status {
    code: u32,
    message: String,
}

const INVALID_ARGUMENT: u32 = 3;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;

/// What the answers of one call have in common.
struct Call {
    identity: Arc<Identity>,
    method: String,
    authority: String,
    metadata: Vec<Metadata>,
    trailers: HeaderMap,
}

/// Reads the messages of a request.
struct Messages {
    body: Incoming,
    buffer: BytesMut,
}

/// Whether the request is a gRPC call.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    request.version() == Version::HTTP_2 && rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// An answer that is only a status.
pub(crate) fn error(status: Status) -> Response<EchoBody> {
    let mut response = response(EchoBody::empty());
    response.headers_mut().extend(status.trailers(HeaderMap::new()));
    response
}

/// Answers a call; streams are served by a task of the pod.
pub(crate) async fn answer(connection: &Connection, aids: &Aids, request: Request<Incoming>) -> Response<EchoBody> {
    let (parts, body) = request.into_parts();
    if let Some(code) = aids.grpc_status.filter(|code| *code != 0) {
        return error(Status::new(code, aids.grpc_message.clone().unwrap_or_default()));
    }
    if parts.headers.get("grpc-encoding").is_some_and(|encoding| encoding != "identity") {
        return error(Status::new(UNIMPLEMENTED, "an echo pod takes uncompressed messages only"));
    }
    let call = Call::new(connection, aids, &parts);
    let messages = Messages { body, buffer: BytesMut::new() };
    let method = parts.uri.path().strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE));
    match method {
        Some("/Echo") => once(call.unary(messages).await),
        Some("/ClientStream") => once(call.client_stream(messages).await),
        Some("/ServerStream") => stream(connection, |answers| call.server_stream(messages, answers)),
        Some("/BidiStream") => stream(connection, |answers| call.bidi_stream(messages, answers)),
        _ => error(Status::new(UNIMPLEMENTED, format!("an echo pod has no method {}", parts.uri.path()))),
    }
}

fn response(body: EchoBody) -> Response<EchoBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn once(answer: Result<(Bytes, HeaderMap), Status>) -> Response<EchoBody> {
    match answer {
        Ok((message, trailers)) => response(EchoBody::bytes(message).with_trailers(trailers)),
        Err(status) => error(status),
    }
}

fn stream<F>(connection: &Connection, serve: impl FnOnce(mpsc::Sender<Frame<Bytes>>) -> F) -> Response<EchoBody>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(ANSWERS_WAITING);
    let serving = serve(sender);
    let kill = connection.shared.kill.clone();
    connection.shared.tasks.spawn(async move {
        let _ = kill.run_until_cancelled(serving).await;
    });
    response(EchoBody::frames(receiver))
}

// === impl Call ===

impl Call {
    fn new(connection: &Connection, aids: &Aids, parts: &Parts) -> Self {
        let metadata = parts.headers.iter().map(|(name, value)| Metadata {
            name: name.as_str().to_owned(),
            value: String::from_utf8_lossy(value.as_bytes()).into_owned(),
        });
        Self {
            identity: connection.shared.identity.load_full(),
            method: parts.uri.path().to_owned(),
            authority: parts.uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default(),
            metadata: metadata.collect(),
            trailers: aids.trailers.iter().cloned().collect(),
        }
    }

    fn response(&self, message: String, sequence: u32) -> Bytes {
        let response = EchoResponse {
            message,
            pod: self.identity.pod.clone(),
            namespace: self.identity.namespace.clone(),
            services: self.identity.services.clone(),
            sequence,
            method: self.method.clone(),
            authority: self.authority.clone(),
            metadata: self.metadata.clone(),
        };
        let length = response.encoded_len();
        let mut frame = BytesMut::with_capacity(PREFIX + length);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(length).expect("an answer is little longer than a message, which is limited"));
        response.encode(&mut frame).expect("the buffer grows as needed");
        frame.freeze()
    }

    fn ok(&self) -> HeaderMap {
        Status::new(0, "").trailers(self.trailers.clone())
    }

    async fn unary(self, mut messages: Messages) -> Result<(Bytes, HeaderMap), Status> {
        let request = messages.only().await?;
        Ok((self.response(request.message, 1), self.ok()))
    }

    async fn client_stream(self, mut messages: Messages) -> Result<(Bytes, HeaderMap), Status> {
        let (mut last, mut count) = (String::new(), 0_u32);
        while let Some(request) = messages.next().await? {
            last = request.message;
            count = count.saturating_add(1);
        }
        Ok((self.response(last, count), self.ok()))
    }

    async fn server_stream(self, mut messages: Messages, answers: mpsc::Sender<Frame<Bytes>>) {
        let request = match messages.only().await {
            Ok(request) => request,
            Err(status) => return self.end(&answers, Err(status)).await,
        };
        if request.count > ANSWERS_MAX {
            let status = Status::new(INVALID_ARGUMENT, format!("at most {ANSWERS_MAX} answers"));
            return self.end(&answers, Err(status)).await;
        }
        for sequence in 1..=request.count.max(1) {
            if sequence > 1 && request.interval_ms > 0 {
                tokio::time::sleep(Duration::from_millis(request.interval_ms.into())).await;
            }
            let answer = self.response(request.message.clone(), sequence);
            if answers.send(Frame::data(answer)).await.is_err() {
                return;
            }
        }
        self.end(&answers, Ok(())).await;
    }

    async fn bidi_stream(self, mut messages: Messages, answers: mpsc::Sender<Frame<Bytes>>) {
        let mut sequence = 0_u32;
        loop {
            match messages.next().await {
                Ok(Some(request)) => {
                    sequence = sequence.saturating_add(1);
                    if answers.send(Frame::data(self.response(request.message, sequence))).await.is_err() {
                        return;
                    }
                }
                Ok(None) => return self.end(&answers, Ok(())).await,
                Err(status) => return self.end(&answers, Err(status)).await,
            }
        }
    }

    async fn end(&self, answers: &mpsc::Sender<Frame<Bytes>>, result: Result<(), Status>) {
        let trailers = match result {
            Ok(()) => self.ok(),
            Err(status) => status.trailers(self.trailers.clone()),
        };
        // A client that has gone needs no status.
        let _ = answers.send(Frame::trailers(trailers)).await;
    }
}

// === impl Messages ===

impl Messages {
    /// The next message, or `None` at the end.
    async fn next(&mut self) -> Result<Option<EchoRequest>, Status> {
        loop {
            if let Some(message) = self.take()? {
                let request = EchoRequest::decode(message);
                return request.map(Some).map_err(|error| Status::new(INTERNAL, error.to_string()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(Status::new(INTERNAL, error.to_string())),
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::new(INTERNAL, "the request ends within a message")),
            }
        }
    }

    /// The one message of a call that has exactly one.
    async fn only(&mut self) -> Result<EchoRequest, Status> {
        let first = self.next().await?.ok_or_else(|| Status::new(INTERNAL, "the request has no message"))?;
        match self.next().await? {
            None => Ok(first),
            Some(_) => Err(Status::new(INTERNAL, "the request has more than one message")),
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((prefix, _)) = self.buffer.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let [compressed, length @ ..] = *prefix;
        let length = u32::from_be_bytes(length) as usize;
        if compressed != 0 {
            return Err(Status::new(UNIMPLEMENTED, "an echo pod takes uncompressed messages only"));
        }
        if length > MESSAGE_MAX {
            return Err(Status::new(RESOURCE_EXHAUSTED, format!("a message is longer than {MESSAGE_MAX} bytes")));
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

// === impl Status ===

impl Status {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn trailers(&self, mut trailers: HeaderMap) -> HeaderMap {
        trailers.insert("grpc-status", HeaderValue::from(self.code));
        if !self.message.is_empty() {
            let message = HeaderValue::try_from(percent_encode(&self.message));
            trailers.insert("grpc-message", message.expect("what is not printable ASCII was encoded"));
        }
        trailers
    }
}

/// The encoding of `grpc-message`: printable ASCII but `%` stays.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a String takes all"),
        }
        out
    })
}
