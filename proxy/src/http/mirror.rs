//! Mirrors: copies of a request whose answers nobody waits for. A mirror never slows the request down: a copy that does
//! not keep up is given up.

use super::{call, respond::Passage};
use crate::{
    body::{BodyError, RequestBody},
    error::{ErrorKind, RequestError},
    worker::Worker,
};
use bytes::Bytes;
use http::request;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use portolan_telemetry::trace::TraceContext;
use portolan_translate::snapshot::{BackendIndex, Filter, Target};
use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::sync::mpsc;

/// Pieces of a body that a mirror may lag behind.
const LAG_PIECES_MAX: usize = 64;
/// Time that a mirror is given in all.
const TIME_MAX: Duration = Duration::from_secs(30);

/// Sends copies to the mirrors whose turn it is; gives back the body for the request itself.
pub fn send(
    passage: &Passage<'_>,
    chains: &[&[Filter]],
    head: &request::Parts,
    trace: TraceContext,
    mut body: RequestBody,
) -> RequestBody {
    for filter in chains.iter().flat_map(|filters| filters.iter()) {
        let Filter::Mirror(mirror) = filter else { continue };
        let Target::Backend(index) = mirror.target else { continue };
        if !passage.state.mirrors(mirror.numerator, mirror.denominator) {
            continue;
        }
        let (ours, copy) = tee(body);
        body = ours;
        let worker = passage.conn.worker.clone();
        let mut head = head.clone();
        trace.write(&mut head.headers);
        tokio::task::spawn_local(async move {
            let sent = Box::pin(one_copy(&worker, index, head, copy));
            match tokio::time::timeout(TIME_MAX, sent).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a mirror failed"),
                Err(_) => worker.limit_reached("mirror_timeout"),
            }
        });
    }
    body
}

/// Reads the answer to its end, so that the connection can serve again.
async fn one_copy(
    worker: &Rc<Worker>,
    index: BackendIndex,
    head: request::Parts,
    body: RequestBody,
) -> Result<(), RequestError> {
    let view = worker.view();
    let (_, mut answer) = call::send(worker, view.snapshot(), index, &head, body).await?;
    while let Some(frame) = answer.frame().await {
        frame?;
    }
    Ok(())
}

// === tee ===

/// A body, and a copy of it that follows.
fn tee(body: RequestBody) -> (RequestBody, RequestBody) {
    match body {
        RequestBody::Empty => (RequestBody::Empty, RequestBody::Empty),
        RequestBody::Full(bytes) => (RequestBody::Full(bytes.clone()), RequestBody::Full(bytes)),
        body => {
            let (sender, receiver) = mpsc::channel(LAG_PIECES_MAX);
            let size = body.size_hint();
            let ours = Tee { body, copy: Some(sender) };
            (RequestBody::Boxed(Box::pin(ours)), RequestBody::Boxed(Box::pin(Copy { receiver, size, ended: false })))
        }
    }
}

enum Piece {
    Data(Bytes),
    Trailers(http::HeaderMap),
    End,
}

struct Tee {
    body: RequestBody,
    copy: Option<mpsc::Sender<Piece>>,
}

struct Copy {
    receiver: mpsc::Receiver<Piece>,
    size: SizeHint,
    ended: bool,
}

impl Tee {
    /// Hands a piece to the copy; one that lags too far behind is given up.
    fn hand(&mut self, piece: Piece) {
        if self.copy.as_ref().is_some_and(|copy| copy.try_send(piece).is_err()) {
            self.copy = None;
        }
    }
}

impl Body for Tee {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => this.hand(Piece::Data(data.clone())),
                (_, Some(trailers)) => this.hand(Piece::Trailers(trailers.clone())),
                (None, None) => {}
            },
            Some(Err(_)) => this.copy = None,
            None => this.hand(Piece::End),
        }
        Poll::Ready(frame)
    }

    // The end is always polled for, so that the copy hears of it.
    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Body for Copy {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        match ready!(this.receiver.poll_recv(cx)) {
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Piece::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Piece::End) => {
                this.ended = true;
                Poll::Ready(None)
            }
            None => Poll::Ready(Some(Err(ErrorKind::ClientClosed.into()))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.size
    }
}
