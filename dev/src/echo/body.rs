//! Bodies of answers: bytes at hand, a pattern of any length, the request's own body, or frames from a task; with
//! trailers, or broken off half way where the request asked for it. Never buffers.

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep},
};

const PATTERN: &[u8] = &[b'x'; 64 * 1024];
const BREAK_PAUSE: Duration = Duration::from_millis(50);

/// The connection is to break here.
#[derive(Debug, thiserror::Error)]
#[error("the request asked for the connection to be closed")]
pub(crate) struct Aborted;

/// A body of an answer.
pub(crate) struct EchoBody {
    content: Content,
    trailers: Option<HeaderMap>,
    breaks: Option<Break>,
}

struct Break {
    /// Bytes until then.
    left: u64,
    /// Time for what was sent before to leave: a connection that ends drops what it still holds.
    pause: Pin<Box<Sleep>>,
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
        Self { content, trailers: None, breaks: None }
    }

    pub(crate) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.trailers = (!trailers.is_empty()).then_some(trailers);
        self
    }

    /// Half of what is known of its length is sent, then the body breaks off.
    pub(crate) fn broken(mut self) -> Self {
        let left = self.content.length().unwrap_or(0) / 2;
        self.breaks = Some(Break { left, pause: Box::pin(tokio::time::sleep(BREAK_PAUSE)) });
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
        if let Some(Break { left: 0, pause }) = &mut self.breaks {
            ready!(pause.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Aborted)));
        }
        let Some(frame) = ready!(self.next_data(cx)) else {
            self.content = Content::Done;
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let mut frame = frame?;
        if let (Some(breaks), Some(data)) = (&mut self.breaks, frame.data_mut()) {
            data.truncate(usize::try_from(breaks.left).unwrap_or(usize::MAX));
            breaks.left -= data.len() as u64;
            if breaks.left == 0 {
                breaks.pause.as_mut().reset(Instant::now() + BREAK_PAUSE);
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.trailers.is_none() && self.breaks.is_none() && self.content.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match (self.trailers.is_none(), self.content.length()) {
            (true, Some(length)) => SizeHint::with_exact(length),
            // A length would make HTTP/1.1 end the body before its trailers.
            _ => SizeHint::default(),
        }
    }
}
