//! The QUIC endpoint of one HTTPS port: which connections are taken, with which certificates, until when. All datagrams
//! of a port come to one endpoint, and so to one worker.

use super::{session::Session, transport::Link};
use crate::{
    accept::port_labels,
    conn::Conn,
    limits::Limits,
    serve::Counted,
    shared::Published,
    tls::{QuicTls, quic_port_config},
    watch::{Command, Watch, Watchlist},
    worker::Worker,
};
use h3::error::Code;
use portolan_telemetry::metrics::Connections;
use portolan_translate::snapshot::{Port, PortKind, TlsPort, Transport};
use quinn::{Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use std::{
    cell::Cell,
    io,
    net::{SocketAddr, UdpSocket},
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};
use tokio::sync::Notify;

/// How often a port is compared with the snapshot if nobody says that there is a new one.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Time in which clients are told of the end of their connections, once the last one has ended.
const CLOSING_MAX: Duration = Duration::from_secs(1);
/// Unidirectional streams that a client may have open: one for control, two for QPACK, and some without meaning.
const UNI_STREAMS_MAX: u32 = 8;
/// Bytes that a client may send ahead on one stream.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes that a client may send ahead on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that wait on one connection for a client to take them.
const SEND_BYTES_MAX: u64 = 2 << 20;
/// Datagrams of clients whose handshake has not begun, in bytes.
const INCOMING_BYTES_MAX: u64 = 8 << 20;
/// The same of one client.
const INCOMING_BYTES_MAX_EACH: u64 = 64 << 10;
/// Signs of life during the time after which a silent connection is given up.
const SIGNS_OF_LIFE: u32 = 3;
/// HTTP/3 bytes of a head beyond those that it may have once it is decoded: h3 still answers such a request.
const HEAD_SLACK: usize = 2;

/// A port that is served, until it is told to retire.
pub struct Handle(Rc<Orders>);

/// A port that ends once its requests are answered.
pub struct Retiring(Rc<Orders>);

#[derive(Default)]
struct Orders {
    retired: Cell<bool>,
    ended: Cell<bool>,
    changed: Notify,
}

/// The endpoint, as its task sees it.
struct Endpoints {
    worker: Rc<Worker>,
    bind: SocketAddr,
    endpoint: Endpoint,
    connections: Arc<AtomicUsize>,
    open: Rc<Cell<usize>>,
    watchlist: Watchlist,
    orders: Rc<Orders>,
    transport: Arc<TransportConfig>,
    followed: Option<Arc<Published>>,
    served: Option<Served>,
    told_to_leave: bool,
}

/// What connections are taken with.
struct Served {
    port: Arc<Port>,
    tls_port: Arc<TlsPort>,
    /// `None`: there is no TLS with which QUIC could be served.
    tls: Option<(Arc<ServerConfig>, QuicTls)>,
    metrics: Connections,
}

/// Serves HTTP/3 beside the HTTPS port that is bound at `bind`, in the background, by the snapshot in force. `socket`
/// is bound there for UDP, and nobody else reads from it. Must be called where `spawn_local` works.
///
/// # Errors
/// If the runtime cannot use the socket.
pub fn spawn(
    worker: Rc<Worker>,
    bind: SocketAddr,
    socket: UdpSocket,
    connections: Arc<AtomicUsize>,
) -> io::Result<Handle> {
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
    let orders = Rc::new(Orders::default());
    let transport = Arc::new(transport_config(&worker.shared.limits));
    let endpoints = Endpoints {
        worker,
        bind,
        endpoint,
        connections,
        open: Rc::default(),
        watchlist: Watchlist::default(),
        orders: orders.clone(),
        transport,
        followed: None,
        served: None,
        told_to_leave: false,
    };
    tokio::task::spawn_local(endpoints.run());
    Ok(Handle(orders))
}

// === impl Handle, Retiring ===

impl Handle {
    /// A snapshot was published: certificates may have changed.
    pub fn follow(&self) {
        self.0.changed.notify_one();
    }

    /// Takes no more connections, and ends those that are there once their requests are answered.
    pub fn retire(self) -> Retiring {
        self.0.retired.set(true);
        self.0.changed.notify_one();
        Retiring(self.0)
    }
}

impl Retiring {
    /// Takes connections again; `None` if the port has ended meanwhile, and is to be spawned anew. Before it has ended
    /// no other may be spawned at its address: the two would read each other's datagrams.
    pub fn resume(self) -> Option<Handle> {
        if self.0.ended.get() {
            return None;
        }
        self.0.retired.set(false);
        self.0.changed.notify_one();
        Some(Handle(self.0))
    }

    /// Whether the port has ended.
    pub fn is_ended(&self) -> bool {
        self.0.ended.get()
    }
}

// === impl Endpoints ===

impl Endpoints {
    async fn run(mut self) {
        // A port counts as a connection, so that a drain waits for it.
        let _listening = Counted::new(Rc::default(), self.connections.clone());
        let mut every = tokio::time::interval(FOLLOW_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let orders = self.orders.clone();
        loop {
            self.follow();
            if self.is_leaving() && self.open.get() == 0 {
                break;
            }
            let endpoint = &self.endpoint;
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => self.take(incoming),
                    None => break,
                },
                () = orders.changed.notified() => {}
                _ = every.tick() => {}
            }
        }
        orders.ended.set(true);
        self.endpoint.close(VarInt::from_u32(Code::H3_NO_ERROR.value() as u32), b"");
        let _ = tokio::time::timeout(CLOSING_MAX, self.endpoint.wait_idle()).await;
    }

    fn is_leaving(&self) -> bool {
        self.orders.retired.get() || self.worker.shared.is_draining()
    }

    /// Brings the endpoint in line with its orders and with the snapshot in force.
    fn follow(&mut self) {
        if self.is_leaving() != self.told_to_leave {
            self.told_to_leave = self.is_leaving();
            if self.told_to_leave {
                self.watchlist.end(true);
            }
        }
        let view = self.worker.view();
        if self.followed.as_ref().is_some_and(|followed| Arc::ptr_eq(followed, &view.published)) {
            return;
        }
        self.followed = Some(view.published.clone());
        let port = view.published.port(self.bind, Transport::Tcp);
        let tls_port = port.and_then(|port| match &port.kind {
            PortKind::Tls(tls_port) => Some((port.clone(), tls_port.clone())),
            _ => None,
        });
        let Some((port, tls_port)) = tls_port else {
            if self.served.take().is_some() {
                self.endpoint.set_server_config(None);
                self.watchlist.end(true);
            }
            return;
        };
        match &mut self.served {
            Some(served) if Arc::ptr_eq(&served.tls_port, &tls_port) => served.port = port,
            _ => {
                let tls = self.configure(&tls_port);
                self.endpoint.set_server_config(tls.as_ref().map(|(config, _)| ServerConfig::clone(config)));
                let metrics = self.worker.metrics.connections(&port_labels(&port));
                self.served = Some(Served { port, tls_port, tls, metrics });
            }
        }
    }

    fn configure(&self, port: &TlsPort) -> Option<(Arc<ServerConfig>, QuicTls)> {
        let tls = match quic_port_config(port) {
            Ok(tls) => tls?,
            Err(error) => {
                tracing::error!(%error, address = %self.bind, "HTTP/3 cannot be served");
                return None;
            }
        };
        let mut config = ServerConfig::with_crypto(tls.config.clone());
        config
            .transport_config(self.transport.clone())
            .max_incoming(self.worker.shared.limits.connections_max)
            .incoming_buffer_size(INCOMING_BYTES_MAX_EACH)
            .incoming_buffer_size_total(INCOMING_BYTES_MAX);
        Some((Arc::new(config), tls))
    }

    fn take(&self, incoming: Incoming) {
        let served = self.served.as_ref().filter(|_| !self.is_leaving());
        let Some((served, (config, tls))) = served.and_then(|served| Some((served, served.tls.clone()?))) else {
            return incoming.refuse();
        };
        if self.open.get() >= self.worker.shared.limits.connections_max {
            self.worker.limit_reached("connections_max");
            return incoming.refuse();
        }
        let watch = Watch::new();
        watch.set_multiplexes();
        self.worker.watchlist.add(&watch);
        self.watchlist.add(&watch);
        let arrival = Arrival { worker: self.worker.clone(), port: served.port.clone(), config, tls, watch };
        let counted = Counted::new(self.open.clone(), self.connections.clone());
        let (open, orders) = (served.metrics.open(), self.orders.clone());
        tokio::task::spawn_local(async move {
            arrival.serve(incoming).await;
            drop((counted, open));
            orders.changed.notify_one();
        });
    }
}

/// A connection that has not begun.
struct Arrival {
    worker: Rc<Worker>,
    port: Arc<Port>,
    config: Arc<ServerConfig>,
    tls: QuicTls,
    watch: Rc<Watch>,
}

// === impl Arrival ===

impl Arrival {
    async fn serve(self, incoming: Incoming) {
        let Some(connection) = self.handshake(incoming).await else { return };
        let Self { worker, port, tls, watch, .. } = self;
        let (peer, view) = (connection.remote_address(), worker.view());
        let local = SocketAddr::new(connection.local_ip().unwrap_or(port.bind.ip()), port.bind.port());
        let info = tls.info(&connection);
        let head_bytes_max = worker.shared.limits.header_bytes_max.saturating_mul(HEAD_SLACK);
        let link = Link::new(connection, watch.clone(), head_bytes_max);
        let conn = Conn::new(worker, &view, port, peer, local, Some(info), watch);
        if conn.is_leaving(&view) {
            conn.watch.command(Command::Graceful);
        }
        if let Some(session) = Session::begin(conn, link).await {
            session.run().await;
        }
    }

    async fn handshake(&self, incoming: Incoming) -> Option<quinn::Connection> {
        let limit = self.worker.shared.limits.header_timeout;
        let peer = incoming.remote_address();
        let handshake = async { incoming.accept_with(self.config.clone())?.await };
        match tokio::time::timeout(limit, handshake).await {
            Ok(Ok(connection)) => return Some(connection),
            Ok(Err(error)) => {
                self.worker.limit_reached("tls_handshake_failed");
                tracing::debug!(%peer, %error, "a QUIC handshake failed");
            }
            Err(_) => self.worker.limit_reached("header_timeout"),
        }
        None
    }
}

fn transport_config(limits: &Limits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.h2_streams_max.into())
        .max_concurrent_uni_streams(UNI_STREAMS_MAX.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(SEND_BYTES_MAX)
        .datagram_receive_buffer_size(None)
        // A client that is there answers, so that a request may take longer than a connection may be silent; an idle
        // connection is ended by the worker's watch.
        .keep_alive_interval(Some(limits.keepalive_timeout / SIGNS_OF_LIFE))
        .max_idle_timeout(Some(
            IdleTimeout::try_from(limits.keepalive_timeout).unwrap_or(IdleTimeout::from(VarInt::MAX)),
        ));
    transport
}
