//! The client's body under its limits: counted, not larger than allowed, not slower than allowed.

use crate::{
    body::{BodyError, RequestBody},
    error::ErrorKind,
    limits::Limits,
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::{Instant, Sleep};

/// A body under limits.
pub struct Metered {
    body: RequestBody,
    bytes: Rc<Cell<u64>>,
    limits: Arc<Limits>,
    /// Made when the client first keeps us waiting.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    /// Puts a body under limits; one that is there as a whole needs none.
    pub fn boxed(body: RequestBody, bytes: Rc<Cell<u64>>, limits: Arc<Limits>) -> RequestBody {
        RequestBody::Boxed(Box::pin(Self { body, bytes, limits, patience: None }))
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let limit = self.limits.body_idle_timeout;
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        match patience.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(ErrorKind::BodyTimeout.into()))),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Trailers of clients never say what only headers may.
fn without_forbidden_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            super::headers::sanitise_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else { return this.poll_patience(cx) };
        if let Some(patience) = &mut this.patience {
            patience.as_mut().reset(Instant::now() + this.limits.body_idle_timeout);
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            this.bytes.set(this.bytes.get() + data.len() as u64);
            if this.limits.body_bytes_max.is_some_and(|limit| this.bytes.get() > limit) {
                return Poll::Ready(Some(Err(ErrorKind::BodyTooLarge.into())));
            }
        }
        Poll::Ready(frame.map(|frame| frame.map(without_forbidden_trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
