//! From an accepted socket to what serves it: HTTP, TLS by server name, or bytes.

use crate::{
    conn::Conn,
    l4::{Counters, copy_both},
    tls::{self, TlsInfo},
    upstream::{BackendState, EndpointState, connect, io::Io},
    watch::Watch,
    worker::{View, Worker},
};
use bytes::BytesMut;
use portolan_telemetry::metrics::ListenerLabels;
use portolan_translate::snapshot::{
    FrontendRoutes, L4Rule, Port, PortKind, Target, TlsAction, TlsPort, TlsRoutes, TlsServer,
};
use std::{future::Future, io, net::SocketAddr, rc::Rc, sync::Arc, task::Poll};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

/// A socket that was accepted.
pub struct Accepted {
    /// The worker.
    pub worker: Rc<Worker>,
    /// The snapshot at that time.
    pub view: Rc<View>,
    /// The port.
    pub port: Arc<Port>,
    /// The client.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// What the worker sees of the connection.
    pub watch: Rc<Watch>,
}

/// Serves a socket that was accepted, to its end.
pub async fn serve(accepted: Accepted, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let port = accepted.port.clone();
    // Boxed but for the plainest, so that one kind of connection is not as large as the largest.
    match &port.kind {
        PortKind::Http(_) => accepted.http(stream, BytesMut::new(), None).await,
        PortKind::Tls(tls) => Box::pin(accepted.tls(tls, stream)).await,
        PortKind::Tcp(_, rule) => Box::pin(accepted.forward(rule.as_ref(), stream, BytesMut::new())).await,
        PortKind::Udp(..) => {}
        PortKind::Frontend(frontend) => {
            let namespace = accepted.view.snapshot().namespace_of(accepted.peer.ip());
            match frontend.routes_for(namespace) {
                FrontendRoutes::Http(_) => Box::pin(accepted.http(stream, BytesMut::new(), None)).await,
                FrontendRoutes::Tls(routes) => Box::pin(accepted.tls_frontend(routes, stream)).await,
                FrontendRoutes::L4(rule) => Box::pin(accepted.forward(Some(rule), stream, BytesMut::new())).await,
            }
        }
    }
}

impl Accepted {
    async fn http<S: AsyncRead + AsyncWrite + Unpin + 'static>(
        self,
        stream: S,
        before: BytesMut,
        tls: Option<TlsInfo>,
    ) {
        let Self { worker, view, port, peer, local, watch } = self;
        Conn::new(worker, &view, port, peer, local, tls, watch).serve_http(stream, before).await;
    }

    /// A port with HTTPS and TLS listeners: the server name decides.
    async fn tls(self, port: &TlsPort, mut stream: TcpStream) {
        let Some((hello, first)) = self.hello(&mut stream).await else { return };
        let name = hello.server_name.unwrap_or_default();
        let Some(listener) = port.listeners.get(&name) else {
            self.worker.limit_reached("unknown_server_name");
            return;
        };
        let stream = tls::Replay::new(first, stream);
        match &listener.action {
            TlsAction::Http(server, _) => {
                if let Some((stream, info)) = Box::pin(self.handshake(server, stream)).await {
                    Box::pin(self.http(stream, BytesMut::new(), Some(info))).await;
                }
            }
            TlsAction::Terminate(server, routes) => {
                if let Some((stream, _)) = Box::pin(self.handshake(server, stream)).await {
                    let rule = routes.get(&name);
                    self.forward(rule, stream, BytesMut::new()).await;
                }
            }
            TlsAction::Passthrough(routes) => self.forward(routes.get(&name), stream, BytesMut::new()).await,
        }
    }

    /// A Service's port with TLSRoutes: TLS goes through.
    async fn tls_frontend(self, routes: &TlsRoutes, mut stream: TcpStream) {
        let Some((hello, first)) = self.hello(&mut stream).await else { return };
        let rule = routes.get(&hello.server_name.unwrap_or_default());
        self.forward(rule, stream, first).await;
    }

    async fn hello(&self, stream: &mut TcpStream) -> Option<(tls::Hello, BytesMut)> {
        let limits = &self.worker.shared.limits;
        let read = tls::read_client_hello(stream, limits.client_hello_bytes_max);
        match self.in_time(read).await? {
            Ok(read) => Some(read),
            Err(error) => {
                self.worker.limit_reached("client_hello");
                tracing::debug!(peer = %self.peer, %error, "no usable ClientHello");
                None
            }
        }
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        server: &Arc<TlsServer>,
        stream: S,
    ) -> Option<(tokio_rustls::server::TlsStream<S>, TlsInfo)> {
        let tls = match self.worker.server_tls(server) {
            Ok(tls) => tls,
            Err(error) => {
                tracing::error!(%error, "a listener's TLS cannot be served");
                return None;
            }
        };
        let acceptor = TlsAcceptor::from(tls.config.clone());
        match self.in_time(acceptor.accept(stream)).await? {
            Ok(stream) => {
                let info = tls.info(stream.get_ref().1);
                Some((stream, info))
            }
            Err(error) => {
                self.worker.limit_reached("tls_handshake_failed");
                tracing::debug!(peer = %self.peer, %error, "a TLS handshake failed");
                None
            }
        }
    }

    /// Waits for a future for as long as the worker lets the connection go on.
    async fn in_time<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| match self.watch.poll_command(cx).limit() {
            Some(limit) => {
                self.worker.limit_reached(limit);
                Poll::Ready(None)
            }
            None => future.as_mut().poll(cx).map(Some),
        })
        .await
    }

    /// Carries bytes to a backend of a rule; without one, the connection is closed.
    async fn forward<S: AsyncRead + AsyncWrite + Unpin>(self, rule: Option<&Arc<L4Rule>>, stream: S, first: BytesMut) {
        let Some(rule) = rule else { return self.worker.limit_reached("no_route") };
        match self.connect(rule).await {
            Ok((io, backend, endpoint)) => {
                self.watch.began();
                endpoint.began();
                let idle = self.worker.shared.limits.tunnel_idle_timeout;
                let counters = Counters::default();
                let end = copy_both(stream, io, first, idle, &counters).await;
                self.worker.tunnel_ended(&end);
                self.count_bytes(&backend, &counters);
                endpoint.ended();
                self.watch.ended();
            }
            Err(error) => {
                self.worker.limit_reached("upstream_connect");
                tracing::debug!(peer = %self.peer, %error, rule = %rule.id, "no backend for a connection");
            }
        }
    }

    fn count_bytes(&self, backend: &BackendState, counters: &Counters) {
        let bytes = self.worker.metrics.l4_bytes(&port_labels(&self.port), &backend.name);
        bytes.received(counters.to_upstream.get());
        bytes.sent(counters.to_client.get());
    }

    /// Connects to a backend of a rule; an endpoint that cannot be reached is passed over once.
    async fn connect(&self, rule: &Arc<L4Rule>) -> io::Result<(Io, Rc<BackendState>, Rc<EndpointState>)> {
        let backend = self.backend(rule)?;
        let mut last = None;
        loop {
            let endpoint = backend.pick(&self.worker.rng, last);
            let endpoint = endpoint.ok_or_else(|| io::Error::other("the backend has no endpoint"))?;
            let address = endpoint.endpoint.address;
            match connect::connect(&backend, address, &self.worker.shared.limits).await {
                Ok(io) => {
                    endpoint.health.succeeded();
                    return Ok((io, backend, endpoint));
                }
                Err(error) if last.is_none() => {
                    endpoint.health.failed(crate::clock::process_ms());
                    tracing::debug!(%error, "trying another endpoint");
                    last = Some(address);
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    fn backend(&self, rule: &Arc<L4Rule>) -> io::Result<Rc<BackendState>> {
        match self.worker.target(rule) {
            Some(Target::Backend(index)) => {
                let backend = self.worker.upstreams.get(self.view.snapshot(), *index);
                backend.ok_or_else(|| io::Error::other("the backend has gone"))
            }
            Some(Target::Invalid { reference, reason }) => Err(io::Error::other(format!("{reference}: {reason}"))),
            None => Err(io::Error::other("the rule has no backend")),
        }
    }
}

/// Labels of what is counted per port rather than per listener.
pub fn port_labels(port: &Port) -> ListenerLabels {
    let (gateway, listener) = match &port.kind {
        PortKind::Tcp(id, _) | PortKind::Udp(id, _) => (id.owner.to_string().into(), id.name.clone()),
        PortKind::Frontend(frontend) => (frontend.id.owner.to_string().into(), frontend.id.name.clone()),
        // Several listeners may share the port; the first bytes decide among them later.
        PortKind::Http(_) | PortKind::Tls(_) => (port.parent.to_string().into(), "".into()),
    };
    ListenerLabels { gateway, listener, scheme: None, port: port.client_port }
}
