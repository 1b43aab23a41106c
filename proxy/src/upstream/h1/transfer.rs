//! One request and its response on an HTTP/1.1 connection. Sending goes on while the response is read, so that early
//! answers and bodies in both directions work; a connection goes back to its pool only after a clean end of both.

use super::head::{self, RequestFraming};
use crate::{
    body::{BodyError, RequestBody},
    error::{ErrorKind, RequestError},
    h1::{BodyFault, Framing, Inbox, Malformed, Outbox, Part},
    http::Added,
    upstream::{EndpointState, io::Io},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};
use http_body::{Body, Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// A connection that serves one request at a time.
pub struct Connection {
    io: Io,
    inbox: Inbox,
    outbox: Outbox,
    /// Whether it has served a request before.
    pub reused: bool,
}

/// What is left of an upgraded connection: the stream, and what was read of it already.
pub struct Tunnel {
    /// The stream.
    pub io: Io,
    /// Bytes that the backend sent after its head.
    pub read: BytesMut,
}

/// Why no response came.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The request's body failed.
    #[error(transparent)]
    Request(BodyError),
    /// The connection ended or broke before the first byte of a response.
    #[error("the connection broke before the response: {0}")]
    Broken(io::Error),
    /// The response's head is no HTTP/1.1.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The response's head is larger than `upstream_header_bytes_max`.
    #[error("the response's head is larger than upstream_header_bytes_max")]
    HeadTooLarge,
}

/// A request under way, then its response's body.
pub struct Transfer {
    connection: Option<Connection>,
    home: Rc<EndpointState>,
    /// The request's body, until it is sent.
    request: Option<RequestBody>,
    chunked: bool,
    /// Whether a byte of the request's body was taken from the client.
    consumed: bool,
    response: Option<Framing>,
    reusable: bool,
}

// === impl Connection ===

impl Connection {
    /// A connection over a fresh stream.
    pub fn new(io: Io) -> Self {
        Self { io, inbox: Inbox::new(BytesMut::new()), outbox: Outbox::default(), reused: false }
    }

    /// Whether an idle connection still looks open: no byte and no end may have arrived.
    pub fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        self.inbox.is_empty() && Pin::new(&mut self.io).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }
}

// === impl Transfer ===

impl Transfer {
    /// Begins a request; nothing is sent yet.
    pub fn begin(
        mut connection: Connection,
        home: Rc<EndpointState>,
        head: &request::Parts,
        added: Added<'_>,
        body: RequestBody,
        upgrade: Option<&HeaderValue>,
    ) -> Self {
        let framing = request_framing(head, &body);
        connection.outbox.clear();
        head::write_request(connection.outbox.head(), head, added, framing, upgrade);
        Self {
            connection: Some(connection),
            home,
            request: (framing != RequestFraming::None && framing != RequestFraming::Length(0)).then_some(body),
            chunked: framing == RequestFraming::Chunked,
            consumed: false,
            response: None,
            reusable: false,
        }
    }

    /// Whether the request can be sent once more: nothing of its body is gone.
    pub fn replayable_body(&mut self) -> Option<RequestBody> {
        (!self.consumed).then(|| self.request.take().unwrap_or_default())
    }

    /// Waits for the response's head, sending the request meanwhile.
    pub async fn response(&mut self, method: &Method, head_bytes_max: usize) -> Result<Response<()>, TransferError> {
        std::future::poll_fn(|cx| self.poll_response(cx, method, head_bytes_max)).await
    }

    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        head_bytes_max: usize,
    ) -> Poll<Result<Response<()>, TransferError>> {
        // A failed write shows below, as an early answer or as the end of the stream.
        if let Poll::Ready(Err(SendError::Request(error))) = self.poll_send(cx) {
            return Poll::Ready(Err(TransferError::Request(error)));
        }
        let connection = self.connection.as_mut().expect("the connection is there until the response ends");
        loop {
            let there = connection.inbox.len();
            if there > 0
                && let Some(head) = head::read_response(&mut connection.inbox, method)?
            {
                // A head that arrives whole is held to the limit as well.
                if there - connection.inbox.len() > head_bytes_max {
                    return Poll::Ready(Err(TransferError::HeadTooLarge));
                }
                let status = head.response.status();
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    continue;
                }
                self.response = head.framing;
                self.reusable = head.reusable;
                return Poll::Ready(Ok(head.response));
            }
            if connection.inbox.len() > head_bytes_max {
                return Poll::Ready(Err(TransferError::HeadTooLarge));
            }
            match ready!(connection.inbox.poll_fill(&mut connection.io, cx)) {
                Ok(0) if connection.inbox.is_empty() => {
                    return Poll::Ready(Err(TransferError::Broken(io::ErrorKind::UnexpectedEof.into())));
                }
                Ok(0) => return Poll::Ready(Err(Malformed("the response's head is cut off").into())),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(TransferError::Broken(error))),
            }
        }
    }

    /// The body, if all of it is here already; the transfer is over then.
    pub fn take_complete_body(&mut self) -> Option<Bytes> {
        let connection = self.connection.as_mut()?;
        let body = match self.response {
            None => Bytes::new(),
            Some(Framing::Length(length)) if connection.inbox.len() as u64 >= length => {
                connection.inbox.take(length as usize)
            }
            Some(_) => return None,
        };
        self.finish();
        Some(body)
    }

    /// The raw stream after `101 Switching Protocols`.
    pub fn into_tunnel(mut self) -> Option<Tunnel> {
        let Connection { io, inbox, .. } = self.connection.take()?;
        Some(Tunnel { io, read: inbox.into_bytes() })
    }

    /// The next piece of the response's body.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(Err(SendError::Request(error))) = self.poll_send(cx) {
            self.connection = None;
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(self.poll_part(cx)) {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(error) => {
                self.connection = None;
                self.response = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        let (Some(connection), Some(framing)) = (self.connection.as_mut(), self.response.as_mut()) else {
            return Poll::Ready(Ok(None));
        };
        let part = ready!(connection.inbox.poll_part(&mut connection.io, framing, cx)).map_err(backend_fault)?;
        if framing.is_done() || matches!(part, Part::End) {
            self.finish();
        }
        Poll::Ready(Ok(match part {
            Part::Data(data) => Some(Frame::data(data)),
            Part::Trailers(trailers) => Some(Frame::trailers(trailers)),
            Part::End => None,
        }))
    }

    /// Sends as much of the request as the stream takes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(connection) = self.connection.as_mut() else { return Poll::Ready(Ok(())) };
        loop {
            let mut waits = false;
            while let Some(body) = self.request.as_mut().filter(|_| !waits && connection.outbox.has_room()) {
                match Pin::new(body).poll_frame(cx) {
                    Poll::Pending => waits = true,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(SendError::Request(error))),
                    Poll::Ready(frame) => {
                        self.consumed |= frame.is_some();
                        let ended = put(&mut connection.outbox, frame.and_then(Result::ok), self.chunked);
                        self.request = self.request.take().filter(|_| !ended);
                    }
                }
            }
            ready!(connection.outbox.poll_drain(&mut connection.io, cx)).map_err(|_| SendError::Stream)?;
            match self.request {
                None => return Poll::Ready(Ok(())),
                Some(_) if waits => return Poll::Pending,
                Some(_) => {}
            }
        }
    }

    /// The response has ended: the connection goes back to its pool if it can serve again.
    fn finish(&mut self) {
        self.response = None;
        let Some(mut connection) = self.connection.take() else { return };
        let sent = self.request.is_none() && connection.outbox.is_empty();
        if self.reusable && sent && connection.inbox.is_empty() {
            connection.reused = true;
            connection.inbox.rest();
            self.home.keep(connection);
        }
    }

    /// Whether nothing more will come.
    pub fn is_end(&self) -> bool {
        self.response.is_none()
    }

    /// The size of what will come.
    pub fn size_hint(&self) -> SizeHint {
        match &self.response {
            None => SizeHint::with_exact(0),
            Some(Framing::Length(length)) => SizeHint::with_exact(*length),
            Some(_) => SizeHint::default(),
        }
    }
}

enum SendError {
    /// The request's body failed.
    Request(BodyError),
    /// The stream to the backend failed.
    Stream,
}

fn backend_fault(fault: BodyFault) -> BodyError {
    let kind = match fault {
        BodyFault::Malformed(_) => ErrorKind::UpstreamProtocol,
        BodyFault::Closed | BodyFault::Broken(_) => ErrorKind::UpstreamReset,
    };
    RequestError::new(kind, fault)
}

/// How a body is framed: by its length if that is known, else in chunks.
fn request_framing(head: &request::Parts, body: &RequestBody) -> RequestFraming {
    match body.size_hint().exact() {
        Some(0) if !head.headers.contains_key(http::header::CONTENT_LENGTH) => RequestFraming::None,
        Some(length) => RequestFraming::Length(length),
        None => RequestFraming::Chunked,
    }
}

/// Takes a frame of a request's body, or its end; says whether it has ended.
fn put(outbox: &mut Outbox, frame: Option<Frame<Bytes>>, chunked: bool) -> bool {
    match frame.map(Frame::into_data) {
        Some(Ok(data)) => {
            outbox.push(data, chunked);
            return false;
        }
        Some(Err(frame)) if chunked => outbox.end_chunks(&frame.into_trailers().unwrap_or_default()),
        None if chunked => outbox.end_chunks(&HeaderMap::new()),
        _ => {}
    }
    true
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.home.ended();
    }
}
