//! The server of HTTP/1.1 for clients: one request at a time, its body and its answer streaming both at once. Strict
//! where two readers could differ; a client that goes away ends its request.

mod head;
mod line;
#[cfg(test)]
mod tests;

use crate::{
    conn::Conn,
    error::RequestError,
    h1::recycle,
    http::{self as proxy_http, InFlight, Outgoing, Switch, Upgrade},
};
use bytes::{Bytes, BytesMut};
use head::{AnswerFraming, Client, RequestHead};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame};
use line::{Instead, Line, Shared};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of a request's body that are read and dropped after its answer, so that the connection can serve on.
const UNREAD_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read and dropped after the last answer, which would be lost if they met a closed socket.
const LINGER_BYTES_MAX: usize = 1 << 20;
/// Time that a client is given to end its side after the last answer.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// What becomes of a connection after an answer.
enum After {
    /// It serves another request.
    Again,
    /// It ends.
    Close,
    /// It ends, once the client has read the answer.
    Linger,
    /// It is cut off: the client has gone, or an answer broke off.
    Cut,
    /// It carries another protocol from now on.
    Switch(Switch),
}

/// Serves a client's requests until its connection ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin + 'static>(conn: Rc<Conn>, io: S, first: BytesMut) {
    let leaving = Cell::new(false);
    let mut serving = pin!(serve_requests(&conn, Rc::new(RefCell::new(Line::new(io, first))), &leaving));
    conn.obey(|cx, graceful| {
        leaving.set(leaving.get() || graceful);
        serving.as_mut().poll(cx)
    })
    .await;
}

async fn serve_requests<S>(conn: &Rc<Conn>, line: Shared<S>, leaving: &Cell<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let limits = &conn.worker.shared.limits;
    loop {
        let request = poll_fn(|cx| line.borrow_mut().poll_request(limits, leaving.get(), cx)).await;
        let after = match request {
            Ok(head) => exchange(conn, &line, head).await,
            Err(Instead::Gone) => After::Close,
            Err(Instead::Refused(error)) => refuse(conn, &line, &error).await,
        };
        match after {
            After::Again => {}
            After::Cut => return,
            After::Close => return close(&line).await,
            After::Linger => return Box::pin(linger(&line)).await,
            After::Switch(switch) => return hand_over(line, switch),
        }
    }
}

/// One request and its answer.
async fn exchange<S>(conn: &Rc<Conn>, line: &Shared<S>, head: RequestHead) -> After
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let RequestHead { parts, framing, client } = head;
    let body = Line::body(line, framing, client.expects_continue);
    let (upgrade, switch) = Upgrade::of_http1(&parts.headers).unzip();
    let mut request = InFlight::new(parts, body);
    let response = {
        let mut answering = pin!(proxy_http::serve(conn, &mut request, upgrade));
        // For as long as the client is there.
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => line.borrow_mut().poll_gone(cx).map(|()| None),
        })
        .await
    };
    match response {
        Some(response) => {
            conn.worker.batch.gather().await;
            answer(line, response, client, switch).await
        }
        None => After::Cut,
    }
}

/// Answers what is no request that could be served.
async fn refuse<S>(conn: &Conn, line: &Shared<S>, error: &RequestError) -> After
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    tracing::debug!(peer = %conn.peer, %error, "a request's head is refused");
    let client = Client {
        knows_chunks: true,
        takes_trailers: false,
        expects_continue: false,
        persistent: false,
        head_only: false,
    };
    answer(line, proxy_http::refusal(conn, error), client, None).await;
    After::Linger
}

// === answering ===

async fn answer<S>(line: &Shared<S>, response: Response<Outgoing>, client: Client, switch: Option<Switch>) -> After
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (parts, body) = response.into_parts();
    let head = Response::from_parts(parts, ());
    let framing = head::framing_of(&head, body.size_hint().exact(), client);
    // A client that was never asked for its body may send it or not: nobody can tell what follows.
    let unasked = line.borrow_mut().take_held_back();
    let persistent =
        client.persistent && !unasked && framing != AnswerFraming::UntilClose && !says_close(head.headers());
    head::write_response(line.borrow_mut().outbox.head(), &head, framing, client, persistent);
    recycle(head.into_parts().0.headers);
    let mut sending = Sending { body, framing, trailers: client.takes_trailers, ended: false };
    if poll_fn(|cx| sending.poll(line, cx)).await.is_err() {
        return After::Cut;
    }
    drop(sending);
    if let Some(switch) = switch.filter(Switch::is_wanted) {
        return After::Switch(switch);
    }
    let rest = if line.borrow().is_incoming() { Box::pin(drop_rest(line, persistent)).await } else { Rest::Read };
    match (persistent, rest) {
        (true, Rest::Read) => After::Again,
        (false, Rest::Read) => After::Close,
        (_, Rest::Unread) => After::Linger,
    }
}

fn says_close(headers: &HeaderMap) -> bool {
    headers.get(header::CONNECTION).is_some_and(|value| *value == HeaderValue::from_static("close"))
}

/// An answer's body on its way out.
struct Sending {
    body: Outgoing,
    framing: AnswerFraming,
    trailers: bool,
    ended: bool,
}

/// The answer cannot be completed: it must not look complete.
struct BrokenOff;

impl Sending {
    /// Fills the outbox and writes it out, until all is written.
    fn poll<S>(&mut self, line: &Shared<S>, cx: &mut Context<'_>) -> Poll<Result<(), BrokenOff>>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        loop {
            let mut waits = false;
            while !self.ended && !waits && line.borrow().outbox.has_room() {
                // The body may read the request's, which borrows the line.
                match self.poll_next(cx) {
                    Poll::Ready(Ok(frame)) => self.put(line, frame)?,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => waits = true,
                }
            }
            let mut line = line.borrow_mut();
            ready!(line.poll_drain(cx)).map_err(|_| BrokenOff)?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return line.poll_gone(cx).map(|()| Err(BrokenOff));
            }
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, BrokenOff>> {
        let over = match self.framing {
            AnswerFraming::Nothing => true,
            AnswerFraming::Length(0) => self.body.is_end_stream(),
            _ => false,
        };
        if over {
            return Poll::Ready(Ok(None));
        }
        Pin::new(&mut self.body).poll_frame(cx).map(|frame| frame.transpose().map_err(|_| BrokenOff))
    }

    /// Takes a frame, or the end.
    fn put<S>(&mut self, line: &Shared<S>, frame: Option<Frame<Bytes>>) -> Result<(), BrokenOff> {
        let outbox = &mut line.borrow_mut().outbox;
        let (chunked, no_trailers) = (self.framing == AnswerFraming::Chunked, HeaderMap::new());
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                if let AnswerFraming::Length(left) = &mut self.framing {
                    *left = left.checked_sub(data.len() as u64).ok_or(BrokenOff)?;
                }
                outbox.push(data, chunked);
            }
            Some(Err(frame)) if chunked => {
                let trailers = frame.into_trailers().unwrap_or_default();
                outbox.end_chunks(if self.trailers { &trailers } else { &no_trailers });
                self.ended = true;
            }
            // Nowhere but behind chunks is there a place for trailers.
            Some(Err(_)) => {}
            None => {
                if chunked {
                    outbox.end_chunks(&no_trailers);
                } else if matches!(self.framing, AnswerFraming::Length(1..)) {
                    return Err(BrokenOff);
                }
                self.ended = true;
            }
        }
        Ok(())
    }
}

// === endings ===

/// What is left of a request's body after its answer.
enum Rest {
    /// Nothing.
    Read,
    /// Too much.
    Unread,
}

/// Reads what is left of a request's body, within a limit, if the connection shall serve on.
async fn drop_rest<S>(line: &Shared<S>, persistent: bool) -> Rest
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut left = if persistent { UNREAD_BYTES_MAX } else { 0 };
    while left > 0 {
        match poll_fn(|cx| line.borrow_mut().poll_incoming(cx)).await {
            None => return Rest::Read,
            Some(Ok(frame)) => left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len).max(1)),
            Some(Err(_)) => return Rest::Unread,
        }
        if !line.borrow().is_incoming() {
            return Rest::Read;
        }
    }
    Rest::Unread
}

/// Ends our side.
async fn close<S>(line: &Shared<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // The client may have gone already.
    let _ = poll_fn(|cx| line.borrow_mut().poll_shutdown(cx)).await;
}

/// Ends our side and reads on for a while: a client that still sends would otherwise be reset, and might lose the answer.
async fn linger<S>(line: &Shared<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    close(line).await;
    let discard = async {
        let mut left = LINGER_BYTES_MAX;
        while let Ok(length @ 1..) = poll_fn(|cx| line.borrow_mut().poll_discard(cx)).await {
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, discard).await;
}

/// Gives the stream to whoever carries the other protocol.
fn hand_over<S>(line: Shared<S>, switch: Switch)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    // Nothing but a body that was never read could still hold it.
    if let Some(line) = Rc::into_inner(line) {
        let (io, read) = line.into_inner().into_stream();
        switch.hand_over(crate::tls::Replay::new(read, io));
    }
}
