//! One request over HTTP/3, from its stream to its answer, or to whatever ends it before. What the request is about is
//! decided elsewhere.

use super::{
    body::{ClientBody, Ending},
    head,
    transport::{Sender, Stopped, Transport},
};
use crate::{
    conn::Conn,
    error::{ErrorKind, RequestError},
    http::{InFlight, Outgoing},
};
use bytes::Bytes;
use h3::{
    error::{Code, StreamError},
    server::{RequestResolver, RequestStream},
};
use http::{Method, Request, Response};
use http_body::Body;
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    time::Duration,
};

/// A request's stream.
pub struct Exchange {
    conn: Rc<Conn>,
    stopped: Stopped,
    tally: Tally,
}

/// How the requests of a connection ended.
#[derive(Clone, Default)]
pub struct Tally(Rc<Ends>);

#[derive(Default)]
struct Ends {
    given_up: Cell<usize>,
    headless: Cell<usize>,
}

/// The client's end of an answer.
struct Responder {
    stream: RequestStream<Sender, Bytes>,
    /// Time in which a client takes one piece of the answer.
    patience: Duration,
    begun: bool,
    done: bool,
}

/// Why an answer was not sent to its end.
enum Failed {
    /// The stream is reset with this.
    Reset(Code),
    /// The client has gone, or does not want the answer; the stream is reset with this.
    GivenUp(Code),
    /// The client does not take it.
    TooSlow,
}

type Resolver = RequestResolver<Transport, Bytes>;
type Resolved = (Request<()>, RequestStream<super::transport::Both, Bytes>);

// === impl Exchange ===

impl Exchange {
    /// Serves requests of `conn`; `stopped` is how the client stops this one.
    pub fn new(conn: Rc<Conn>, stopped: Stopped, tally: Tally) -> Self {
        Self { conn, stopped, tally }
    }

    /// Serves the request to its end: until the client has received the answer.
    pub async fn serve(mut self, resolver: Resolver) {
        let Some((request, stream)) = self.resolve(resolver).await else { return };
        let (sender, receiver) = stream.split();
        let conn = self.conn.clone();
        let patience = conn.worker.shared.limits.stream_idle_timeout;
        let mut responder = Responder { stream: sender, patience, begun: false, done: false };
        let outcome = {
            let exchange = async {
                let (head, length) = head::decode(request).ok_or(Failed::Reset(Code::H3_MESSAGE_ERROR))?;
                let method = head.method.clone();
                let ending = Ending::default();
                let body = ClientBody::begin(receiver, length, ending.clone());
                let mut request = InFlight::new(head, body);
                let response = crate::http::serve(&conn, &mut request, None).await;
                if ending.is_broken_off() {
                    return Err(Failed::GivenUp(Code::H3_REQUEST_INCOMPLETE));
                }
                responder.answer(response, &method).await
            };
            tokio::select! {
                biased;
                outcome = exchange => outcome,
                _ = &mut self.stopped => Err(Failed::GivenUp(Code::H3_REQUEST_CANCELLED)),
            }
        };
        self.end(outcome, responder).await;
    }

    /// Ends the stream as the outcome asks.
    async fn end(self, outcome: Result<(), Failed>, mut responder: Responder) {
        let worker = &self.conn.worker;
        let failed = match outcome {
            Ok(()) => {
                self.tally.note_answered();
                // Until the client has it all the connection must not be closed: what is under way would be lost.
                let delivered = tokio::time::timeout(responder.patience, self.stopped).await;
                if delivered.is_ok() { return } else { Failed::TooSlow }
            }
            Err(failed) => failed,
        };
        responder.reset(match failed {
            Failed::Reset(code) => {
                if code == Code::H3_MESSAGE_ERROR {
                    worker.limit_reached("malformed_http");
                }
                code
            }
            Failed::GivenUp(code) => {
                if !responder.begun {
                    self.tally.note_given_up();
                }
                code
            }
            Failed::TooSlow => {
                worker.limit_reached("stream_idle_timeout");
                Code::H3_REQUEST_CANCELLED
            }
        });
    }

    /// Waits for the head.
    async fn resolve(&mut self, resolver: Resolver) -> Option<Resolved> {
        let worker = &self.conn.worker;
        let limit = worker.shared.limits.header_timeout;
        match tokio::time::timeout(limit, resolver.resolve_request()).await {
            Ok(Ok(resolved)) => return Some(resolved),
            // h3 has answered it with 431.
            Ok(Err(StreamError::HeaderTooBig { .. })) => worker.limit_reached("header_bytes_max"),
            Ok(Err(StreamError::StreamError { .. })) => worker.limit_reached("malformed_http"),
            Ok(Err(StreamError::RemoteTerminate { .. })) => self.tally.note_given_up(),
            Ok(Err(_)) => {}
            Err(_) => worker.limit_reached("header_timeout"),
        }
        self.tally.note_headless();
        None
    }
}

// === impl Tally ===

impl Tally {
    /// Requests that the client gave up before they were answered, less those that were answered.
    pub fn given_up(&self) -> usize {
        self.0.given_up.get()
    }

    /// Requests that had no complete head.
    pub fn headless(&self) -> usize {
        self.0.headless.get()
    }

    fn note_given_up(&self) {
        self.0.given_up.set(self.0.given_up.get() + 1);
    }

    fn note_answered(&self) {
        self.0.given_up.set(self.0.given_up.get().saturating_sub(1));
    }

    fn note_headless(&self) {
        self.0.headless.set(self.0.headless.get() + 1);
    }
}

// === impl Responder ===

impl Responder {
    /// Sends an answer to its end, no faster than the client takes it.
    async fn answer(&mut self, response: Response<Outgoing>, method: &Method) -> Result<(), Failed> {
        let (parts, mut body) = response.into_parts();
        let mut response = Response::from_parts(parts, ());
        crate::http::headers::complete(&mut response, method, body.size_hint().exact());
        self.begun = true;
        sent(self.patience, self.stream.send_response(response)).await?;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            match frame?.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => sent(self.patience, self.stream.send_data(data)).await?,
                Err(other) => {
                    if let Ok(trailers) = other.into_trailers() {
                        sent(self.patience, self.stream.send_trailers(trailers)).await?;
                    }
                }
            }
        }
        self.stream.finish().await?;
        self.done = true;
        Ok(())
    }

    fn reset(&mut self, code: Code) {
        self.stream.stop_stream(code);
        self.done = true;
    }
}

impl Drop for Responder {
    /// Whatever went wrong, half an answer must not look like a whole one.
    fn drop(&mut self) {
        if !self.done {
            self.reset(Code::H3_INTERNAL_ERROR);
        }
    }
}

/// Sends one piece. The worker's watch sees the connection alone, of which another request may keep up appearances.
async fn sent(patience: Duration, sending: impl Future<Output = Result<(), StreamError>>) -> Result<(), Failed> {
    match tokio::time::timeout(patience, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(Failed::TooSlow),
    }
}

// === impl Failed ===

impl From<StreamError> for Failed {
    fn from(error: StreamError) -> Self {
        match error {
            // More headers than the client takes.
            StreamError::HeaderTooBig { .. } => Self::Reset(Code::H3_INTERNAL_ERROR),
            _ => Self::GivenUp(Code::H3_REQUEST_CANCELLED),
        }
    }
}

impl From<RequestError> for Failed {
    /// An answer that cannot be completed must not look complete (RFC 9114, 4.1.1 and 8.1).
    fn from(error: RequestError) -> Self {
        match error.kind {
            ErrorKind::ClientClosed => Self::GivenUp(Code::H3_REQUEST_INCOMPLETE),
            ErrorKind::BadRequest => Self::Reset(Code::H3_MESSAGE_ERROR),
            _ => Self::Reset(Code::H3_INTERNAL_ERROR),
        }
    }
}
