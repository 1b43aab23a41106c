//! The body of a request over HTTP/3, with its trailers, held to its Content-Length.

use super::transport::Receiver;
use crate::{
    body::{BodyError, RequestBody},
    error::{ErrorKind, RequestError},
};
use bytes::{Buf, Bytes};
use h3::{
    error::{Code, StreamError},
    server::RequestStream,
};
use http_body::{Body, Frame, SizeHint};
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// A request's body.
pub struct ClientBody {
    stream: RequestStream<Receiver, Bytes>,
    part: Part,
    /// Bytes that Content-Length still announces.
    left: Option<u64>,
    /// What came with the head.
    first: Option<Result<Frame<Bytes>, BodyError>>,
    ending: Ending,
}

/// How the client ended its side, for whoever answers.
#[derive(Clone, Default)]
pub struct Ending(Rc<Cell<bool>>);

enum Part {
    Data,
    Trailers,
    End,
}

// === impl ClientBody ===

impl ClientBody {
    /// The body of a request whose head was read; looks whether there is one.
    pub fn begin(stream: RequestStream<Receiver, Bytes>, length: Option<u64>, ending: Ending) -> RequestBody {
        let mut body = Self { stream, part: Part::Data, left: length, first: None, ending };
        let mut cx = Context::from_waker(Waker::noop());
        match body.poll_next(&mut cx) {
            Poll::Ready(None) => return RequestBody::Empty,
            Poll::Ready(frame) => body.first = frame,
            Poll::Pending if length == Some(0) => return RequestBody::Empty,
            Poll::Pending => {}
        }
        RequestBody::Boxed(Box::pin(body))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match self.part {
                Part::Data => match ready!(self.stream.poll_recv_data(cx)) {
                    Ok(Some(mut data)) => {
                        let data = data.copy_to_bytes(data.remaining());
                        return Poll::Ready(Some(self.take(data)));
                    }
                    Ok(None) => self.part = Part::Trailers,
                    Err(error) => return self.fail(&error),
                },
                Part::Trailers => {
                    let trailers = match ready!(self.stream.poll_recv_trailers(cx)) {
                        Ok(trailers) => trailers,
                        Err(error) => return self.fail(&error),
                    };
                    self.part = Part::End;
                    if self.left.is_some_and(|left| left > 0) {
                        return Poll::Ready(Some(Err(self.malformed("the body is shorter than Content-Length"))));
                    }
                    return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
                }
                Part::End => return Poll::Ready(None),
            }
        }
    }

    fn take(&mut self, data: Bytes) -> Result<Frame<Bytes>, BodyError> {
        if let Some(left) = &mut self.left {
            match left.checked_sub(data.len() as u64) {
                Some(rest) => *left = rest,
                None => return Err(self.malformed("the body is longer than Content-Length")),
            }
        }
        Ok(Frame::data(data))
    }

    /// RFC 9114, 4.1.2: a stream error.
    fn malformed(&mut self, what: &str) -> BodyError {
        self.part = Part::End;
        self.stream.stop_sending(Code::H3_MESSAGE_ERROR);
        RequestError::new(ErrorKind::BadRequest, what)
    }

    fn fail(&mut self, error: &StreamError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.part = Part::End;
        let kind = match error {
            StreamError::HeaderTooBig { .. } => ErrorKind::HeadersTooLarge,
            StreamError::StreamError { .. } => ErrorKind::BadRequest,
            _ => {
                self.ending.0.set(true);
                ErrorKind::ClientClosed
            }
        };
        Poll::Ready(Some(Err(RequestError::new(kind, error))))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => this.poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && matches!(self.part, Part::End)
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref()).map_or(0, Bytes::len) as u64;
        self.left.map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + first))
    }
}

// === impl Ending ===

impl Ending {
    /// Whether the client broke its request off before it was complete.
    pub fn is_broken_off(&self) -> bool {
        self.0.get()
    }
}
