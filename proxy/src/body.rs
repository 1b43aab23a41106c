//! Bodies on their way through: of requests (from any front) and of responses (from any kind of backend). They stream:
//! nothing here holds more than one piece.

use crate::{
    error::RequestError,
    upstream::{h1, h2},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Why a body ends early.
pub type BodyError = RequestError;

/// A body of which only the trait is known: from a client, or out of a filter.
pub type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>;

/// A request's body.
#[derive(Default)]
pub enum RequestBody {
    /// None.
    #[default]
    Empty,
    /// Known as a whole.
    Full(Bytes),
    /// Anything else.
    Boxed(BoxBody),
}

/// A response's body.
pub enum ResponseBody {
    /// None.
    Empty,
    /// Known as a whole.
    Full(Bytes),
    /// From an HTTP/1.1 backend.
    H1(Box<h1::Transfer>),
    /// From an HTTP/2 backend.
    H2(Box<h2::Transfer>),
    /// Anything else.
    Boxed(BoxBody),
}

// === impl RequestBody ===

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

// === impl ResponseBody ===

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::H1(transfer) => transfer.poll_frame(cx),
            Self::H2(transfer) => transfer.poll_frame(cx),
            Self::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::H1(transfer) => transfer.is_end(),
            Self::H2(transfer) => transfer.is_end(),
            Self::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::H1(transfer) => transfer.size_hint(),
            Self::H2(transfer) => transfer.size_hint(),
            Self::Boxed(body) => body.size_hint(),
        }
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}
