//! A body that a peer sends.

use crate::http::headers::content_length;
use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::task::{Context, Poll, ready};

/// A body on its way in.
pub struct Receiving {
    stream: Option<RecvStream>,
    /// Data has ended; trailers may follow.
    data_ended: bool,
    length: Option<u64>,
}

impl Receiving {
    /// The body behind a head with these headers.
    pub fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = content_length(headers);
        let stream = (!stream.is_end_stream()).then_some(stream);
        Self { stream, data_ended: false, length }
    }

    /// The next piece.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        if !self.data_ended {
            match ready!(stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // The window opens as the data is taken on, which bounds what is held here.
                    let _ = stream.flow_control().release_capacity(data.len());
                    if stream.is_end_stream() {
                        self.stream = None;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => {
                    self.stream = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(stream.poll_trailers(cx));
        self.stream = None;
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    /// Whether nothing more will come.
    pub fn is_end(&self) -> bool {
        self.stream.is_none()
    }

    /// The size of what will come.
    pub fn size_hint(&self) -> SizeHint {
        match (&self.stream, self.length) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(length)) if !self.data_ended => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
    }
}
