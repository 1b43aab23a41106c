//! A client's connection as its current request, that request's body and its answer share it.

use super::head::{self, Progress, RequestHead};
use crate::{
    body::{BodyError, RequestBody},
    error::{ErrorKind, RequestError},
    h1::{BodyFault, Framing, Inbox, Outbox, Part},
    limits::Limits,
};
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes that are read ahead while a request is under way, which shows whether the client is still there.
const AHEAD_BYTES_MAX: usize = 16 << 10;
/// What is written before a body that the client holds back (RFC 9110, 10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A connection.
pub struct Line<S> {
    io: S,
    /// What was read and not used.
    pub inbox: Inbox,
    /// What is to be written.
    pub outbox: Outbox,
    progress: Progress,
    /// What is left of the request's body; `None`: nothing.
    incoming: Option<Framing>,
    /// The client holds its body back until it is asked for it.
    held_back: bool,
}

/// A line that several hold.
pub type Shared<S> = Rc<RefCell<Line<S>>>;

/// What a client sent instead of another request.
pub enum Instead {
    /// Nothing: it is gone, or was given up.
    Gone,
    /// What cannot be answered otherwise than by this.
    Refused(RequestError),
}

/// The body of the current request.
struct ClientBody<S>(Shared<S>);

// === impl Line ===

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Line<S> {
    /// A connection of which `first` was read already.
    pub fn new(io: S, first: BytesMut) -> Self {
        let (inbox, outbox) = (Inbox::new(first), Outbox::default());
        Self { io, inbox, outbox, progress: Progress::default(), incoming: None, held_back: false }
    }

    /// The next request's head. `leaving`: only if its first byte is there already.
    pub fn poll_request(
        &mut self,
        limits: &Limits,
        leaving: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RequestHead, Instead>> {
        loop {
            if !self.inbox.is_empty() {
                match head::read_request(&mut self.inbox, &mut self.progress, limits) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(Instead::Refused(error))),
                }
            } else if leaving {
                return Poll::Ready(Err(Instead::Gone));
            }
            match ready!(self.inbox.poll_fill(&mut self.io, cx)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(Instead::Gone)),
                Ok(_) => {}
            }
        }
    }

    /// The body of a request whose head was read. One that is here already is handed over as a whole.
    pub fn body(this: &Shared<S>, framing: Option<Framing>, expects_continue: bool) -> RequestBody {
        let Some(framing) = framing else { return RequestBody::Empty };
        let mut line = this.borrow_mut();
        if let Framing::Length(length) = framing
            && line.inbox.len() as u64 >= length
        {
            return RequestBody::Full(line.inbox.take(length as usize));
        }
        line.incoming = Some(framing);
        line.held_back = expects_continue && line.inbox.is_empty();
        RequestBody::Boxed(Box::pin(ClientBody(this.clone())))
    }

    /// Whether a part of the request's body is still to come.
    pub fn is_incoming(&self) -> bool {
        self.incoming.is_some()
    }

    /// Whether the client still holds its body back; it is not asked for it any more.
    pub fn take_held_back(&mut self) -> bool {
        std::mem::take(&mut self.held_back)
    }

    /// Ready once the client has gone. Only while nothing of a body is to come, which has its own reader.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.incoming.is_none() && self.inbox.len() < AHEAD_BYTES_MAX {
            match ready!(self.inbox.poll_fill(&mut self.io, cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Writes what is to be written.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_drain(&mut self.io, cx)
    }

    /// Ends our side.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    /// Reads and drops; the number of bytes, 0 at the end.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.inbox.is_empty() {
            ready!(self.inbox.poll_fill(&mut self.io, cx))?;
        }
        let length = self.inbox.len();
        self.inbox.skip(length);
        Poll::Ready(Ok(length))
    }

    /// The next part of the request's body.
    pub fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(framing) = &mut self.incoming else { return Poll::Ready(None) };
        if std::mem::take(&mut self.held_back) {
            self.outbox.head().extend_from_slice(CONTINUE);
        }
        // A failed write shows below, as the end of the stream.
        let _ = self.outbox.poll_drain(&mut self.io, cx);
        let part = ready!(self.inbox.poll_part(&mut self.io, framing, cx));
        if framing.is_done() || !matches!(part, Ok(Part::Data(_))) {
            self.incoming = None;
        }
        Poll::Ready(match part {
            Ok(Part::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Part::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Part::End) => None,
            Err(fault) => Some(Err(fault.into())),
        })
    }

    /// The stream, and what was read of it, for another protocol.
    pub fn into_stream(self) -> (S, BytesMut) {
        (self.io, self.inbox.into_bytes())
    }
}

impl From<BodyFault> for BodyError {
    /// A fault of the client's.
    fn from(fault: BodyFault) -> Self {
        let kind = match fault {
            BodyFault::Malformed(_) => ErrorKind::BadRequest,
            BodyFault::Closed | BodyFault::Broken(_) => ErrorKind::ClientClosed,
        };
        Self::new(kind, fault)
    }
}

// === impl ClientBody ===

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Body for ClientBody<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.borrow_mut().poll_incoming(cx)
    }

    fn is_end_stream(&self) -> bool {
        !self.0.borrow().is_incoming()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0.borrow().incoming {
            None => SizeHint::with_exact(0),
            Some(Framing::Length(left)) => SizeHint::with_exact(*left),
            Some(_) => SizeHint::default(),
        }
    }
}
