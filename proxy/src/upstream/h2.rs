//! HTTP/2 to backends, on the h2 crate directly: connections that many requests share, bodies in both directions with
//! flow control, trailers.

use super::{BackendState, EndpointState, connect};
use crate::{
    body::{BodyError, RequestBody},
    error::{ErrorKind, RequestError},
    limits::Limits,
};
use bytes::{Buf, Bytes};
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response, Version, header, request, uri};
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
/// Bytes that a backend may send ahead on one stream.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes that a backend may send ahead on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

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
    request: Option<(RequestBody, SendStream<Bytes>)>,
    pending: Bytes,
    response: Option<ResponseFuture>,
    body: Option<RecvStream>,
    /// Data of the body has ended; trailers may follow.
    data_ended: bool,
    length: Option<u64>,
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
        body: RequestBody,
        tls: bool,
    ) -> Result<Self, (RequestError, RequestBody)> {
        let refused = |error: h2::Error| RequestError::new(ErrorKind::UpstreamReset, error);
        let request = match request_head(head, tls) {
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
        let request = (!end).then_some((body, stream));
        let (pending, response) = (Bytes::new(), Some(response));
        Ok(Self { connection, home, request, pending, response, body: None, data_ended: false, length: None })
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
            self.length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            self.body = (!body.is_end_stream()).then_some(body);
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
        if !self.data_ended {
            match ready!(body.poll_data(cx)) {
                Some(Ok(data)) => {
                    // The window opens as the client takes the data, which bounds what is held here.
                    let _ = body.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => {
                    self.body = None;
                    return Poll::Ready(Some(Err(upstream_error(error))));
                }
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(body.poll_trailers(cx));
        self.body = None;
        match trailers {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(upstream_error(error)))),
        }
    }

    /// Sends as much of the request as flow control lets through.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            let Some((body, stream)) = &mut self.request else { return Poll::Ready(Ok(())) };
            // The backend may say that it wants no more (RST_STREAM with NO_ERROR after an early answer).
            if let Poll::Ready(reason) = stream.poll_reset(cx) {
                self.request = None;
                return match reason {
                    Ok(h2::Reason::NO_ERROR) | Err(_) => Poll::Ready(Ok(())),
                    Ok(reason) => Poll::Ready(Err(RequestError::new(ErrorKind::UpstreamReset, reason))),
                };
            }
            if !self.pending.is_empty() {
                stream.reserve_capacity(self.pending.len());
                // `poll_capacity` tells of growth alone; what is there already has to be looked at first.
                let capacity = match stream.capacity() {
                    0 => ready!(stream.poll_capacity(cx)).and_then(Result::ok),
                    there => Some(there),
                };
                let Some(capacity) = capacity else {
                    self.request = None;
                    return Poll::Ready(Ok(()));
                };
                let piece = self.pending.split_to(capacity.min(self.pending.remaining()));
                if stream.send_data(piece, false).is_err() {
                    self.request = None;
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.pending = data,
                    Err(frame) => {
                        let _ = stream.send_trailers(frame.into_trailers().unwrap_or_default());
                        self.request = None;
                    }
                },
                Some(Err(error)) => {
                    stream.send_reset(h2::Reason::CANCEL);
                    self.request = None;
                    return Poll::Ready(Err(error));
                }
                None => {
                    let _ = stream.send_data(Bytes::new(), true);
                    self.request = None;
                }
            }
        }
    }

    /// Whether nothing more will come.
    pub fn is_end(&self) -> bool {
        self.body.is_none()
    }

    /// The size of what will come.
    pub fn size_hint(&self) -> SizeHint {
        match (&self.body, self.length) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(length)) if !self.data_ended => SizeHint::with_exact(length),
            _ => SizeHint::default(),
        }
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
fn request_head(head: &request::Parts, tls: bool) -> Result<Request<()>, http::Error> {
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
    let mut headers: HeaderMap = head.headers.clone();
    headers.remove(header::HOST);
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}
