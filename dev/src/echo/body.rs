//! Bodies of answers: bytes at hand, a pattern of any length, the request's own body, or frames from a task; with
//! trailers, or broken off half way where the request asked for it. Never buffers.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

const PATTERN: &[u8] = &[b'x'; 64 * 1024];

/// The connection is to break here.
#[derive(Debug, thiserror::Error)]
#[error("the request asked for the connection to be closed")]
pub(crate) struct Aborted;

/// A body of an answer.
pub(crate) struct EchoBody {
    content: Content,
    trailers: Option<HeaderMap>,
    /// Bytes after which the body breaks off.
    breaks_after: Option<u64>,
}

enum Content {
    Bytes(Bytes),
    Pattern(u64),
    Request(Incoming),
    Frames(mpsc::Receiver<Frame<Bytes>>),
    Done,
}

// === impl EchoBody ===

impl EchoBody {
    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::new(Content::Bytes(bytes.into()))
    }

    pub(crate) fn empty() -> Self {
        Self::new(Content::Done)
    }

    pub(crate) fn pattern(length: u64) -> Self {
        Self::new(Content::Pattern(length))
    }

    pub(crate) fn request(body: Incoming) -> Self {
        Self::new(Content::Request(body))
    }

    pub(crate) fn frames(frames: mpsc::Receiver<Frame<Bytes>>) -> Self {
        Self::new(Content::Frames(frames))
    }

    fn new(content: Content) -> Self {
        Self { content, trailers: None, breaks_after: None }
    }

    pub(crate) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = (!trailers.is_empty()).then_some(trailers);
        self
    }

    /// Half of what is known of its length is sent, then the body breaks off.
    pub(crate) fn broken(mut self) -> Self {
        self.breaks_after = Some(self.content.length().unwrap_or(0) / 2);
        self
    }

    fn next_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match &mut self.content {
            Content::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Done;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Content::Pattern(0) | Content::Done => Poll::Ready(None),
            Content::Pattern(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(PATTERN.len());
                *left -= length as u64;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PATTERN[..length])))))
            }
            Content::Request(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| Aborted)))
            }
            Content::Frames(frames) => frames.poll_recv(cx).map(|frame| frame.map(Ok)),
        }
    }
}

impl Content {
    fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Pattern(length) => Some(*length),
            Self::Request(body) => body.size_hint().exact(),
            Self::Frames(_) => None,
            Self::Done => Some(0),
        }
    }
}

impl Body for EchoBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        if self.breaks_after == Some(0) {
            return Poll::Ready(Some(Err(Aborted)));
        }
        let Some(frame) = ready!(self.next_data(cx)) else {
            self.content = Content::Done;
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let mut frame = frame?;
        if let (Some(left), Some(data)) = (&mut self.breaks_after, frame.data_mut()) {
            data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= data.len() as u64;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.breaks_after.is_none() && self.content.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match (self.trailers.is_none(), self.content.length()) {
            (true, Some(length)) => SizeHint::with_exact(length),
            // A length would make HTTP/1.1 end the body before its trailers.
            _ => SizeHint::default(),
        }
    }
}
