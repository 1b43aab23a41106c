//! One request and its response on an HTTP/1.1 connection. Sending goes on while the response is read, so that early
//! answers and bodies in both directions work; a connection goes back to its pool only after a clean end of both.

use super::{
    framing::{Framing, Malformed, Piece},
    head::{self, RequestFraming},
};
use crate::{
    body::{BodyError, RequestBody},
    error::{ErrorKind, RequestError},
    upstream::{EndpointState, io::Io},
};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};
use http_body::{Body, Frame, SizeHint};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of read buffer at the start of a response; doubled while reads fill it.
const READ_BYTES_MIN: usize = 8 << 10;
/// Bytes of read buffer at most.
const READ_BYTES_MAX: usize = 128 << 10;
/// Bytes of a whole body that are copied out, so that the read buffer can be used again.
const COPY_BYTES_MAX: usize = 4 << 10;

/// A connection that serves one request at a time.
pub struct Connection {
    io: Io,
    read: BytesMut,
    read_size: usize,
    write: Vec<u8>,
    written: usize,
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
    /// The response's head is no HTTP/1.1, or too large.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// A request under way, then its response's body.
pub struct Transfer {
    connection: Option<Connection>,
    home: Rc<EndpointState>,
    /// The request's body, until it is sent.
    request: Option<RequestBody>,
    chunked: bool,
    chunk_open: bool,
    pending: Bytes,
    /// Whether a byte of the request's body was taken from the client.
    consumed: bool,
    response: Option<Framing>,
    trailers: Option<HeaderMap>,
    reusable: bool,
}

// === impl Connection ===

impl Connection {
    /// A connection over a fresh stream.
    pub fn new(io: Io) -> Self {
        let (read, write) = (BytesMut::new(), Vec::with_capacity(512));
        Self { io, read, read_size: READ_BYTES_MIN, write, written: 0, reused: false }
    }

    /// Whether an idle connection still looks open: no byte and no end may have arrived.
    pub fn is_open(&mut self) -> bool {
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        self.read.is_empty() && Pin::new(&mut self.io).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(self.read_size);
        // `poll_read_buf` fills the spare capacity and advances by what was read.
        let read = ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read))?;
        if read >= self.read_size && self.read_size < READ_BYTES_MAX {
            self.read_size *= 2;
        }
        Poll::Ready(Ok(read))
    }

    /// Writes out the buffer, then `data`.
    fn poll_drain(&mut self, cx: &mut Context<'_>, data: &mut Bytes) -> Poll<io::Result<()>> {
        while self.written < self.write.len() || !data.is_empty() {
            let head = &self.write[self.written..];
            let io = Pin::new(&mut self.io);
            let sent = match (head.is_empty(), data.is_empty()) {
                (false, true) => ready!(io.poll_write(cx, head))?,
                (true, _) => ready!(io.poll_write(cx, data))?,
                (false, false) => ready!(io.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(data)]))?,
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = sent.min(head.len());
            self.written += of_head;
            data.advance(sent - of_head);
        }
        if !self.write.is_empty() {
            self.write.clear();
            self.written = 0;
            // TLS keeps what the socket would not take.
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }
}

// === impl Transfer ===

impl Transfer {
    /// Begins a request; nothing is sent yet.
    pub fn begin(
        mut connection: Connection,
        home: Rc<EndpointState>,
        head: &request::Parts,
        body: RequestBody,
        upgrade: Option<&HeaderValue>,
    ) -> Self {
        let framing = request_framing(head, &body);
        connection.write.clear();
        connection.written = 0;
        head::write_request(&mut connection.write, head, framing, upgrade);
        Self {
            connection: Some(connection),
            home,
            request: (framing != RequestFraming::None && framing != RequestFraming::Length(0)).then_some(body),
            chunked: framing == RequestFraming::Chunked,
            chunk_open: false,
            pending: Bytes::new(),
            consumed: false,
            response: None,
            trailers: None,
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
            if !connection.read.is_empty()
                && let Some(head) = head::read_response(&mut connection.read, method)?
            {
                let status = head.response.status();
                if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
                    continue;
                }
                self.response = head.framing;
                self.reusable = head.reusable;
                return Poll::Ready(Ok(head.response));
            }
            if connection.read.len() > head_bytes_max {
                return Poll::Ready(Err(Malformed("the response's head is too large").into()));
            }
            match ready!(connection.poll_fill(cx)) {
                Ok(0) if connection.read.is_empty() => {
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
            Some(Framing::Length(length)) if connection.read.len() as u64 >= length => {
                let length = length as usize;
                if length > COPY_BYTES_MAX {
                    connection.read.split_to(length).freeze()
                } else {
                    let copy = Bytes::copy_from_slice(&connection.read[..length]);
                    connection.read.advance(length);
                    copy
                }
            }
            Some(_) => return None,
        };
        self.finish();
        Some(body)
    }

    /// The raw stream after `101 Switching Protocols`.
    pub fn into_tunnel(mut self) -> Option<Tunnel> {
        let Connection { io, read, .. } = self.connection.take()?;
        Some(Tunnel { io, read })
    }

    /// The next piece of the response's body.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(Err(SendError::Request(error))) = self.poll_send(cx) {
            self.connection = None;
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(self.poll_piece(cx)) {
            Ok(frame) => Poll::Ready(frame.map(Ok)),
            Err(error) => {
                self.connection = None;
                self.response = None;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BodyError>> {
        loop {
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Ok(Some(Frame::trailers(trailers))));
            }
            let (Some(connection), Some(framing)) = (self.connection.as_mut(), self.response.as_mut()) else {
                return Poll::Ready(Ok(None));
            };
            if framing.is_done() {
                self.finish();
                return Poll::Ready(Ok(None));
            }
            if connection.read.is_empty() {
                match ready!(connection.poll_fill(cx)) {
                    Ok(0) if *framing == Framing::UntilClose => {
                        self.response = None;
                        self.finish();
                        return Poll::Ready(Ok(None));
                    }
                    Ok(0) => return Poll::Ready(Err(reset("the backend closed the connection within the body"))),
                    Ok(_) => {}
                    Err(error) => return Poll::Ready(Err(reset(error))),
                }
            }
            let piece = framing.next(&connection.read);
            match piece.map_err(|error| RequestError::new(ErrorKind::UpstreamProtocol, error))? {
                Piece::Skip(length) => connection.read.advance(length),
                Piece::Trailers(length, trailers) => {
                    connection.read.advance(length);
                    self.trailers = (!trailers.is_empty()).then_some(trailers);
                }
                Piece::Data(length) => {
                    let data = connection.read.split_to(length).freeze();
                    if framing.is_done() {
                        self.finish();
                    }
                    return Poll::Ready(Ok(Some(Frame::data(data))));
                }
            }
        }
    }

    /// Sends as much of the request as the stream takes.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let Some(connection) = self.connection.as_mut() else { return Poll::Ready(Ok(())) };
        loop {
            ready!(connection.poll_drain(cx, &mut self.pending)).map_err(|_| SendError::Stream)?;
            let Some(body) = &mut self.request else { return Poll::Ready(Ok(())) };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Err(error)) => return Poll::Ready(Err(SendError::Request(error))),
                Some(Ok(frame)) => {
                    self.consumed = true;
                    match frame.into_data() {
                        Ok(data) => {
                            self.pending = queue(&mut connection.write, data, self.chunked, &mut self.chunk_open)
                        }
                        Err(frame) => {
                            let trailers = frame.into_trailers().unwrap_or_default();
                            end_chunks(&mut connection.write, self.chunked, self.chunk_open, &trailers);
                            self.request = None;
                        }
                    }
                }
                None => {
                    end_chunks(&mut connection.write, self.chunked, self.chunk_open, &HeaderMap::new());
                    self.request = None;
                }
            }
        }
    }

    /// The response has ended: the connection goes back to its pool if it can serve again.
    fn finish(&mut self) {
        self.response = None;
        let Some(mut connection) = self.connection.take() else { return };
        let sent = self.request.is_none() && connection.write.is_empty() && self.pending.is_empty();
        if self.reusable && sent && connection.read.is_empty() {
            connection.reused = true;
            connection.read_size = READ_BYTES_MIN;
            self.home.keep(connection);
        }
    }

    /// Whether nothing more will come.
    pub fn is_end(&self) -> bool {
        self.response.is_none() && self.trailers.is_none()
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

fn reset(cause: impl std::fmt::Display) -> BodyError {
    RequestError::new(ErrorKind::UpstreamReset, cause)
}

/// How a body is framed: by its length if that is known, else in chunks.
fn request_framing(head: &request::Parts, body: &RequestBody) -> RequestFraming {
    match body.size_hint().exact() {
        Some(0) if !head.headers.contains_key(http::header::CONTENT_LENGTH) => RequestFraming::None,
        Some(length) => RequestFraming::Length(length),
        None => RequestFraming::Chunked,
    }
}

/// Queues a piece of the body: chunk framing goes into the buffer, the data stays where it is.
fn queue(write: &mut Vec<u8>, data: Bytes, chunked: bool, chunk_open: &mut bool) -> Bytes {
    if chunked && !data.is_empty() {
        let size = format!("{}{:x}\r\n", if *chunk_open { "\r\n" } else { "" }, data.len());
        write.extend_from_slice(size.as_bytes());
        *chunk_open = true;
    }
    data
}

fn end_chunks(write: &mut Vec<u8>, chunked: bool, chunk_open: bool, trailers: &HeaderMap) {
    if !chunked {
        return;
    }
    write.extend_from_slice(if chunk_open { b"\r\n0\r\n" } else { b"0\r\n" });
    for (name, value) in trailers {
        write.extend_from_slice(name.as_str().as_bytes());
        write.extend_from_slice(b": ");
        write.extend_from_slice(value.as_bytes());
        write.extend_from_slice(b"\r\n");
    }
    write.extend_from_slice(b"\r\n");
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.home.ended();
    }
}
