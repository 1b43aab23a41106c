//! A client's connection, from the accepted socket to its last request: TLS, protocol, and which listener its requests
//! belong to.

use crate::{
    error::ErrorKind,
    h1, h2, h3,
    http::headers::Forwarded,
    l4::{Counters, copy_both},
    shared::Published,
    tls::{Alpn, Replay, TlsInfo},
    upstream::h1::Tunnel,
    watch::{Command, Watch, Watched},
    worker::{View, Worker, listener_labels},
};
use ::http::HeaderValue;
use bytes::BytesMut;
use portolan_telemetry::{
    Scheme,
    metrics::{HttpServer, ListenerLabels, RouteLabels},
};
use portolan_translate::snapshot::{Belongs, HttpListener, Port, PortKind, Transport};
use std::{
    cell::{OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// How every HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client's connection.
pub struct Conn {
    /// The worker that serves it.
    pub worker: Rc<Worker>,
    /// The client.
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// TLS, where it is ended here.
    pub tls: Option<TlsInfo>,
    /// What requests are forwarded with.
    pub forwarded: Forwarded,
    /// What the worker sees of it.
    pub watch: Rc<Watch>,
    bind: SocketAddr,
    transport: Transport,
    port: RefCell<(Arc<Published>, Arc<Port>)>,
    alt_svc: RefCell<Option<(Arc<Published>, Option<HeaderValue>)>>,
    unrouted: OnceCell<HttpServer>,
}

// === impl Conn ===

impl Conn {
    /// A connection that was accepted on `port`.
    pub fn new(
        worker: Rc<Worker>,
        view: &View,
        port: Arc<Port>,
        peer: SocketAddr,
        local: SocketAddr,
        tls: Option<TlsInfo>,
        watch: Rc<Watch>,
    ) -> Rc<Self> {
        let trusted = worker.shared.trusts(peer.ip());
        let forwarded = Forwarded::new(peer.ip(), tls.is_some(), port.client_port, trusted);
        let (bind, transport) = (port.bind, port.transport);
        let port = RefCell::new((view.published.clone(), port));
        let alt_svc = RefCell::default();
        let unrouted = OnceCell::new();
        Rc::new(Self { worker, peer, local, tls, forwarded, watch, bind, transport, port, alt_svc, unrouted })
    }

    /// The port as the snapshot in force has it; once it has gone, as it was last.
    fn port(&self, view: &View) -> Arc<Port> {
        let mut held = self.port.borrow_mut();
        if !Arc::ptr_eq(&held.0, &view.published) {
            let current = view.published.port(self.bind, self.transport).cloned();
            *held = (view.published.clone(), current.unwrap_or_else(|| held.1.clone()));
        }
        held.1.clone()
    }

    /// The port that the client used.
    pub fn client_port(&self) -> u16 {
        self.port.borrow().1.client_port
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// The listener of a request for `host` (lower case, without port).
    pub fn listener(&self, view: &View, host: &str) -> Result<Arc<HttpListener>, ErrorKind> {
        let port = self.port(view);
        let server_name = self.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
        match port.kind.listener(server_name, host, view.snapshot().namespace_of(self.peer.ip())) {
            Belongs::To(listener) => Ok(listener.clone()),
            Belongs::Nowhere => Err(ErrorKind::NotFound),
            Belongs::Elsewhere => Err(ErrorKind::Misdirected),
        }
    }

    /// Where HTTP/3 is to be had, for clients that came over TLS and TCP.
    pub fn alt_svc(&self, view: &View) -> Option<HeaderValue> {
        if !self.tls.as_ref().is_some_and(|tls| tls.alpn != Alpn::Http3) {
            return None;
        }
        let mut held = self.alt_svc.borrow_mut();
        if !held.as_ref().is_some_and(|(published, _)| Arc::ptr_eq(published, &view.published)) {
            let port = self.port(view);
            let served = view.published.has_http3(port.bind);
            *held = Some((view.published.clone(), if served { h3::alt_svc(&port) } else { None }));
        }
        held.as_ref().and_then(|(_, value)| value.clone())
    }

    /// Metrics of requests that no rule took.
    pub fn unrouted_series(&self) -> &HttpServer {
        self.unrouted.get_or_init(|| {
            let port = self.port.borrow().1.clone();
            let some_listener = match &port.kind {
                PortKind::Http(http) => http.listeners.iter().next().map(|(_, listener)| listener.clone()),
                _ => None,
            };
            let listener = match some_listener {
                Some(listener) => listener_labels(&listener, port.client_port, self.scheme()),
                None => ListenerLabels {
                    gateway: port.parent.to_string().into(),
                    listener: "".into(),
                    scheme: Some(self.scheme()),
                    port: port.client_port,
                },
            };
            self.worker.metrics.http_server(&RouteLabels { listener, route: None, rule: None, backend: None })
        })
    }

    /// Whether this connection should take no more requests: the process ends, or its port has gone.
    pub fn is_leaving(&self, view: &View) -> bool {
        self.worker.shared.is_draining()
            || self.watch.is_leaving()
            || view.published.port(self.bind, self.transport).is_none()
    }

    /// Serves HTTP, in whichever version the client speaks.
    pub async fn serve_http<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        self: Rc<Self>,
        mut stream: S,
        before: BytesMut,
    ) {
        let mut before = before;
        let http2 = match self.tls.as_ref().map(|tls| tls.alpn) {
            Some(Alpn::Http2) => true,
            Some(Alpn::Http1 | Alpn::Http3) => false,
            Some(Alpn::None) | None => match begins_with_preface(&self.watch, &mut stream, &mut before).await {
                Some(http2) => http2,
                None => return,
            },
        };
        if http2 {
            // Boxed, so that the other kind of connection is not as large.
            Box::pin(h2::serve(self.clone(), Watched::new(stream, before, self.watch.clone()))).await;
        } else {
            h1::server::serve(self.clone(), Watched::new(stream, BytesMut::new(), self.watch.clone()), before).await;
        }
    }

    /// Polls what serves the connection, obeying the worker's commands: told to end gracefully, it learns of it; told to
    /// end at once, `None` comes back.
    pub async fn obey<T>(&self, mut poll: impl FnMut(&mut Context<'_>, bool) -> Poll<T>) -> Option<T> {
        std::future::poll_fn(|cx| {
            let command = self.watch.poll_command(cx);
            if let Some(limit) = command.limit() {
                self.worker.limit_reached(limit);
                return Poll::Ready(None);
            }
            poll(cx, command == Command::Graceful).map(Some)
        })
        .await
    }

    /// Carries bytes between a client and a backend.
    pub async fn join<S: AsyncRead + AsyncWrite + Unpin>(self: Rc<Self>, client: S, backend: Tunnel) {
        self.watch.began();
        let idle = self.worker.shared.limits.tunnel_idle_timeout;
        let upstream = Replay::new(backend.read, backend.io);
        let end = copy_both(client, upstream, BytesMut::new(), idle, &Counters::default()).await;
        self.worker.tunnel_ended(&end);
        self.watch.ended();
    }
}

/// Reads until it is sure whether the client speaks HTTP/2. `None`: it went away, or was told to.
async fn begins_with_preface<S: AsyncRead + Unpin>(watch: &Watch, stream: &mut S, read: &mut BytesMut) -> Option<bool> {
    while read.len() < PREFACE.len() && PREFACE.starts_with(read) {
        let more = async { stream.read_buf(read).await.ok().filter(|length| *length > 0) };
        let mut more = std::pin::pin!(more);
        std::future::poll_fn(|cx| match watch.poll_command(cx) {
            Command::None => more.as_mut().poll(cx),
            _ => Poll::Ready(None),
        })
        .await?;
    }
    Some(read.starts_with(PREFACE))
}
