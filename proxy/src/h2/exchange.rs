//! One request over HTTP/2, from its stream to its answer.

use super::{Receiving, SendFault, Sending, tunnel::Tunnel};
use crate::{
    body::{BodyError, RequestBody},
    conn::Conn,
    error::{ErrorKind, RequestError},
    http::{self as proxy_http, InFlight, Switch, Upgrade, headers},
};
use bytes::Bytes;
use h2::{Reason, RecvStream, ext::Protocol, server::SendResponse};
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

/// A request's body.
struct ClientBody(Receiving);

/// Serves a request to the end of its answer, or until the client takes it back.
pub async fn serve(conn: Rc<Conn>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (mut head, stream) = request.into_parts();
    let method = head.method.clone();
    let protocol = head.extensions.remove::<Protocol>();
    let (upgrade, switch) = protocol.and_then(|protocol| Upgrade::of_connect(protocol.as_str())).unzip();
    let (body, tunnel) = match switch {
        None => (ClientBody::begin(stream, &head), None),
        Some(switch) => (RequestBody::Empty, Some((switch, stream))),
    };
    let mut request = InFlight::new(head, body);
    let response = {
        let mut answering = pin!(proxy_http::serve(&conn, &mut request, upgrade));
        // For as long as the client wants the answer.
        poll_fn(|cx| match answering.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        })
        .await
    };
    let Some(response) = response else { return };
    let (parts, body) = response.into_parts();
    let mut response = Response::from_parts(parts, ());
    headers::complete(&mut response, &method, body.size_hint().exact());
    let tunnel = tunnel.filter(|(switch, _): &(Switch, _)| switch.is_wanted());
    let whole = tunnel.is_none() && (body.is_end_stream() || method == Method::HEAD);
    let Ok(sender) = respond.send_response(response, whole) else { return };
    if let Some((switch, receiver)) = tunnel {
        return switch.hand_over(Tunnel::new(sender, receiver));
    }
    if !whole {
        let mut sending = Sending::new(body, sender);
        if let Err(SendFault::Body(_)) = poll_fn(|cx| sending.poll(cx)).await {
            // An answer that cannot be completed must not look complete.
            sending.reset(Reason::INTERNAL_ERROR);
        }
    }
}

// === impl ClientBody ===

impl ClientBody {
    fn begin(stream: RecvStream, head: &http::request::Parts) -> RequestBody {
        if stream.is_end_stream() {
            return RequestBody::Empty;
        }
        RequestBody::Boxed(Box::pin(Self(Receiving::new(stream, &head.headers))))
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = self.get_mut().0.poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(client_error)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// What a failed read of the client's body means.
fn client_error(error: h2::Error) -> BodyError {
    let broken = error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR);
    let kind = if broken { ErrorKind::BadRequest } else { ErrorKind::ClientClosed };
    RequestError::new(kind, error)
}
