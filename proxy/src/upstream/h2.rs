//! HTTP/2 to backends, on the h2 crate directly: connections that many requests share, bodies in both directions with
//! flow control, trailers.

use super::{BackendState, EndpointState, connect};
use crate::{
    body::{BodyError, RequestBody},
    error::{ErrorKind, RequestError},
    h2::{CONNECTION_WINDOW_BYTES, Receiving, STREAM_WINDOW_BYTES, SendFault, Sending},
    http::Added,
    limits::Limits,
};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response, Version, header, request, uri};
use http_body::{Body, Frame, SizeHint};
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Requests that share one connection; more open another, as a backend's own limit is commonly 100.
const STREAMS_MAX: u32 = 100;

/// A connection that many requests share.
pub struct Connection {
    sender: SendRequest<Bytes>,
    streams: Cell<u32>,
    closed: Rc<Cell<bool>>,
}

/// A request under way, then its response's body.
pub struct Transfer {
    connection: Rc<Connection>,
    home: Rc<EndpointState>,
    request: Option<Sending<RequestBody>>,
    response: Option<ResponseFuture>,
    body: Option<Receiving>,
}

// === impl Connection ===

impl Connection {
    /// Whether no more requests can be sent on it.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

/// A connection with room for a request: one that is there, else a new one. `fresh` asks for a new one.
pub async fn connection(
    backend: &BackendState,
    endpoint: &Rc<EndpointState>,
    limits: &Limits,
    fresh: bool,
) -> Result<Rc<Connection>, RequestError> {
    let existing = || {
        let connections = endpoint.h2.borrow();
        let open = connections.iter().filter(|one| !one.is_closed() && one.streams.get() < STREAMS_MAX);
        open.min_by_key(|one| one.streams.get()).cloned()
    };
    if let Some(found) = existing().filter(|_| !fresh) {
        return Ok(found);
    }
    let _one_at_a_time = endpoint.h2_connecting.lock().await;
    if let Some(found) = existing().filter(|_| !fresh) {
        return Ok(found);
    }
    let connect_error = |error: &dyn std::fmt::Display| RequestError::new(ErrorKind::UpstreamConnect, error);
    let io =
        connect::connect(backend, endpoint.endpoint.address, limits).await.map_err(|error| connect_error(&error))?;
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(limits.upstream_header_bytes_max as u32)
        .enable_push(false);
    let (sender, driver) = builder.handshake::<_, Bytes>(io).await.map_err(|error| connect_error(&error))?;
    let closed = Rc::new(Cell::new(false));
    let connection = Rc::new(Connection { sender, streams: Cell::new(0), closed: closed.clone() });
    tokio::task::spawn_local(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "an HTTP/2 connection to a backend ended");
        }
        closed.set(true);
    });
    endpoint.h2.borrow_mut().push(connection.clone());
    Ok(connection)
}

// === impl Transfer ===

impl Transfer {
    /// Begins a request. On failure the body comes back untouched, since nothing of it was sent.
    pub async fn begin(
        connection: Rc<Connection>,
        home: Rc<EndpointState>,
        head: &request::Parts,
        added: Added<'_>,
        body: RequestBody,
        tls: bool,
    ) -> Result<Self, (RequestError, RequestBody)> {
        let refused = |error: h2::Error| RequestError::new(ErrorKind::UpstreamReset, error);
        let request = match request_head(head, added, tls) {
            Ok(request) => request,
            Err(error) => return Err((RequestError::new(ErrorKind::BadRequest, error), body)),
        };
        let mut sender = match connection.sender.clone().ready().await {
            Ok(sender) => sender,
            Err(error) => {
                connection.closed.set(true);
                return Err((refused(error), body));
            }
        };
        let end = body.is_end_stream();
        let (response, stream) = match sender.send_request(request, end) {
            Ok(begun) => begun,
            Err(error) => return Err((refused(error), body)),
        };
        connection.streams.set(connection.streams.get() + 1);
        let request = (!end).then(|| Sending::new(body, stream));
        Ok(Self { connection, home, request, response: Some(response), body: None })
    }

    /// Waits for the response's head, sending the request meanwhile.
    pub async fn response(&mut self) -> Result<Response<()>, RequestError> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                return Poll::Ready(Err(error));
            }
            let response = self.response.as_mut().expect("the head is awaited once");
            let response = ready!(Pin::new(response).poll(cx)).map_err(upstream_error);
            self.response = None;
            let (mut head, body) = response?.into_parts();
            self.body = (!body.is_end_stream()).then(|| Receiving::new(body, &head.headers));
            head.version = Version::HTTP_11;
            crate::http::headers::remove_hop_by_hop(&mut head.headers);
            Poll::Ready(Ok(Response::from_parts(head, ())))
        })
        .await
    }

    /// The next piece of the response's body.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            self.body = None;
            return Poll::Ready(Some(Err(error)));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(upstream_error)))
    }

    /// Sends as much of the request as flow control lets through.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let Some(request) = &mut self.request else { return Poll::Ready(Ok(())) };
        let sent = ready!(request.poll(cx));
        if let Err(SendFault::Body(_)) = sent {
            request.reset(h2::Reason::CANCEL);
        }
        self.request = None;
        Poll::Ready(match sent {
            Err(SendFault::Body(error)) => Err(error),
            Err(SendFault::Refused(reason)) if reason != h2::Reason::NO_ERROR => {
                Err(RequestError::new(ErrorKind::UpstreamReset, reason))
            }
            // What became of the stream shows where the answer is read.
            _ => Ok(()),
        })
    }

    /// Whether nothing more will come.
    pub fn is_end(&self) -> bool {
        self.body.as_ref().is_none_or(Receiving::is_end)
    }

    /// The size of what will come.
    pub fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Receiving::size_hint)
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.connection.streams.set(self.connection.streams.get().saturating_sub(1));
        self.home.ended();
    }
}

fn upstream_error(error: h2::Error) -> RequestError {
    // A stream that the backend resets says nothing about the backend: it may have had its reasons, a deadline first of all.
    let of_stream = error.is_reset() && error.is_remote() && error.reason() != Some(h2::Reason::REFUSED_STREAM);
    let kind = if of_stream {
        ErrorKind::UpstreamCancelled
    } else if error.is_io() || error.is_go_away() || error.is_remote() {
        ErrorKind::UpstreamReset
    } else {
        ErrorKind::UpstreamProtocol
    };
    RequestError::new(kind, error)
}

/// The head with its pseudo-headers: scheme and authority in the URI, no Host (RFC 9113, 8.3.1).
fn request_head(head: &request::Parts, added: Added<'_>, tls: bool) -> Result<Request<()>, http::Error> {
    let host = head.headers.get(header::HOST).map(|host| host.as_bytes());
    let authority = match head.uri.authority() {
        Some(authority) => authority.clone(),
        None => uri::Authority::try_from(host.unwrap_or_default())?,
    };
    let uri = uri::Builder::new()
        .scheme(if tls { "https" } else { "http" })
        .authority(authority)
        .path_and_query(head.uri.path_and_query().cloned().unwrap_or_else(|| uri::PathAndQuery::from_static("/")))
        .build()?;
    let mut head = head.clone();
    added.insert(&mut head);
    head.headers.remove(header::HOST);
    head.uri = uri;
    head.version = Version::HTTP_2;
    head.extensions = http::Extensions::new();
    Ok(Request::from_parts(head, ()))
}
