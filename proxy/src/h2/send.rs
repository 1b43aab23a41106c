//! A body that is sent to a peer, no faster than its flow control lets through.

use crate::body::BodyError;
use bytes::{Buf, Bytes};
use h2::SendStream;
use http_body::Body;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A body on its way out.
pub struct Sending<B> {
    body: B,
    stream: SendStream<Bytes>,
    /// A piece that flow control has not let through yet.
    pending: Bytes,
    /// Nothing follows what is pending.
    last: bool,
}

/// Why a body was not sent to its end.
#[derive(Debug)]
pub enum SendFault {
    /// The body itself failed; the stream is to be reset.
    Body(BodyError),
    /// The peer wants no more of it.
    Refused(h2::Reason),
    /// The stream has gone.
    Gone,
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Sending<B> {
    /// Sends a body behind its head.
    pub fn new(body: B, stream: SendStream<Bytes>) -> Self {
        Self { body, stream, pending: Bytes::new(), last: false }
    }

    /// Sends until all is sent.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        // A peer may say that it wants no more, with NO_ERROR after an early answer.
        if let Poll::Ready(reason) = self.stream.poll_reset(cx) {
            return Poll::Ready(Err(reason.map_or(SendFault::Gone, SendFault::Refused)));
        }
        loop {
            if !self.pending.is_empty() {
                ready!(self.poll_pending(cx))?;
                if self.last && self.pending.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let gone = |_| SendFault::Gone;
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.last = self.body.is_end_stream();
                        if data.is_empty() && self.last {
                            return Poll::Ready(self.stream.send_data(data, true).map_err(gone));
                        }
                        self.pending = data;
                    }
                    Err(frame) => {
                        let trailers = frame.into_trailers().unwrap_or_default();
                        return Poll::Ready(self.stream.send_trailers(trailers).map_err(gone));
                    }
                },
                Some(Err(error)) => return Poll::Ready(Err(SendFault::Body(error))),
                None => return Poll::Ready(self.stream.send_data(Bytes::new(), true).map_err(gone)),
            }
        }
    }

    /// Sends as much of what is pending as there is capacity for.
    fn poll_pending(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendFault>> {
        self.stream.reserve_capacity(self.pending.len());
        // `poll_capacity` tells of growth alone; what is there already has to be looked at first.
        let capacity = match self.stream.capacity() {
            0 => ready!(self.stream.poll_capacity(cx)).and_then(Result::ok),
            there => Some(there),
        };
        let Some(capacity) = capacity else { return Poll::Ready(Err(SendFault::Gone)) };
        let piece = self.pending.split_to(capacity.min(self.pending.remaining()));
        let end = self.last && self.pending.is_empty();
        Poll::Ready(self.stream.send_data(piece, end).map_err(|_| SendFault::Gone))
    }

    /// Ends the stream before the body has ended.
    pub fn reset(&mut self, reason: h2::Reason) {
        self.stream.send_reset(reason);
    }
}
