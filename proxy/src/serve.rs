//! The life of a worker: its orders, the ports that it listens on, and what is due each second.

use crate::{
    accept::{self, Accepted},
    clock,
    engine::BindKey,
    h3,
    listen::{Bound, Listener},
    shared::Shared,
    udp::{self, UdpHandle},
    watch::Watch,
    worker::{View, Worker},
};
use portolan_telemetry::metrics::Connections;
use portolan_translate::snapshot::{Port, Snapshot, Transport};
use std::{
    cell::{Cell, OnceCell},
    collections::BTreeMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    runtime::LocalOptions,
    sync::{Notify, mpsc},
};

/// How often a worker looks at what is due.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Time that HTTP/1.1 connections are left open while the process drains, so that a request which is already on its
/// way meets an open connection.
const DRAIN_IDLE: Duration = Duration::from_secs(1);
/// Pause after a failed `accept`, so that a lack of descriptors does not turn into a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What a worker is told.
pub enum Order {
    /// A snapshot was published.
    Follow {
        /// Ports to listen on from now on.
        listen: Vec<(BindKey, Bound)>,
        /// Ports that have gone.
        retire: Vec<BindKey>,
    },
    /// Take no more connections; end those that are there once they are answered.
    Drain,
    /// End.
    Stop,
}

/// UDP ports beside HTTPS ports, for HTTP/3.
pub fn quic_binds(snapshot: &Snapshot) -> impl Iterator<Item = BindKey> {
    h3::h3_ports(snapshot).into_iter().map(|port| (port.bind, Transport::Udp))
}

/// Whether a worker serves a port: all do for TCP, one for UDP, since datagrams of one client must meet one session.
pub fn is_served_by(key: BindKey, worker: usize, workers: usize) -> bool {
    match key.1 {
        Transport::Tcp => true,
        Transport::Udp => {
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key.0);
            hash % workers as u64 == worker as u64
        }
    }
}

/// Runs a worker to its end, on the current thread.
pub fn run_worker(shared: Arc<Shared>, id: u16, orders: mpsc::Receiver<Order>, connections: Arc<AtomicUsize>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime.block_on(Life::new(shared, id, connections).live(orders)),
        Err(error) => tracing::error!(%error, "a worker cannot start"),
    }
}

/// A worker with the ports that it serves.
struct Life {
    worker: Rc<Worker>,
    connections: Arc<AtomicUsize>,
    tcp: BTreeMap<BindKey, Rc<Notify>>,
    udp: BTreeMap<BindKey, Datagrams>,
    /// QUIC ports that end: until one has ended, its address cannot have another.
    retiring: BTreeMap<BindKey, h3::Retiring>,
    /// When idle connections are ended too.
    drain_at: Option<Instant>,
    /// That time has come at the last sweep. After a stall requests may wait in the sockets that nobody has read yet, so
    /// connections are ended a sweep later.
    drain_due: bool,
}

impl Life {
    fn new(shared: Arc<Shared>, id: u16, connections: Arc<AtomicUsize>) -> Self {
        let seed = portolan_telemetry::trace::IdRng::from_system().next_u64();
        let worker = Rc::new(Worker::new(shared, id, seed));
        Self {
            worker,
            connections,
            tcp: BTreeMap::new(),
            udp: BTreeMap::new(),
            retiring: BTreeMap::new(),
            drain_at: None,
            drain_due: false,
        }
    }

    async fn live(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Follow { listen, retire }) => self.follow(listen, retire),
                    Some(Order::Drain) => self.drain(),
                    Some(Order::Stop) | None => return,
                },
                _ = sweep.tick() => self.sweep(),
            }
        }
    }

    fn follow(&mut self, listen: Vec<(BindKey, Bound)>, retire: Vec<BindKey>) {
        for key in retire {
            self.tcp.remove(&key).inspect(|stop| stop.notify_one());
            self.stop_udp(key);
        }
        self.udp.values().for_each(Datagrams::follow);
        for (key, bound) in listen {
            if let Err(error) = self.listen(key, &bound) {
                tracing::error!(%error, address = %key.0, "a port cannot be served");
            }
        }
    }

    fn listen(&mut self, key: BindKey, bound: &Bound) -> std::io::Result<()> {
        let view = self.worker.view();
        match key.1 {
            Transport::Tcp => {
                let Some(port) = view.published.port(key.0, key.1).cloned() else { return Ok(()) };
                let (stop, last) = (Rc::new(Notify::new()), Cell::new(Some(port)));
                let acceptor =
                    Acceptor { worker: self.worker.clone(), key, open: Rc::default(), last, metrics: OnceCell::new() };
                let connections = self.connections.clone();
                tokio::task::spawn_local(acceptor.run(bound.listener()?, stop.clone(), connections));
                self.tcp.insert(key, stop);
            }
            Transport::Udp => {
                let port = self.listen_udp(key, bound, &view)?;
                self.udp.insert(key, port);
            }
        }
        Ok(())
    }

    /// A UDP listener where the snapshot has one, else HTTP/3 beside an HTTPS port.
    fn listen_udp(&mut self, key: BindKey, bound: &Bound, view: &View) -> std::io::Result<Datagrams> {
        let (worker, connections) = (self.worker.clone(), self.connections.clone());
        if view.published.port(key.0, Transport::Udp).is_some() {
            return udp::serve(worker, key.0, bound.udp()?, connections).map(Datagrams::Udp);
        }
        if let Some(resumed) = self.retiring.remove(&key).and_then(h3::Retiring::resume) {
            return Ok(Datagrams::Quic(resumed));
        }
        h3::spawn(worker, key.0, bound.udp()?, connections).map(Datagrams::Quic)
    }

    fn stop_udp(&mut self, key: BindKey) {
        match self.udp.remove(&key) {
            Some(Datagrams::Udp(port)) => port.stop(),
            Some(Datagrams::Quic(port)) => drop(self.retiring.insert(key, port.retire())),
            None => {}
        }
    }

    fn drain(&mut self) {
        std::mem::take(&mut self.tcp).values().for_each(|stop| stop.notify_one());
        let udp: Vec<BindKey> = self.udp.keys().copied().collect();
        udp.into_iter().for_each(|key| self.stop_udp(key));
        self.worker.watchlist.end(true);
        self.drain_at = Some(Instant::now() + DRAIN_IDLE);
    }

    fn sweep(&mut self) {
        self.worker.sweep();
        self.retiring.retain(|_, port| !port.is_ended());
        if self.worker.id() == 0 {
            self.worker.shared.sweep();
        }
        if self.drain_due {
            self.worker.watchlist.end(false);
        }
        self.drain_due = self.drain_at.is_some_and(|at| clock::now() >= at);
    }
}

/// What is served on a UDP socket.
enum Datagrams {
    /// A UDP listener.
    Udp(UdpHandle),
    /// HTTP/3.
    Quic(h3::Handle),
}

impl Datagrams {
    /// A snapshot was published.
    fn follow(&self) {
        match self {
            Self::Udp(port) => port.endpoints_changed(),
            Self::Quic(port) => port.follow(),
        }
    }
}

// === accepting ===

/// Accepts on one port.
struct Acceptor {
    worker: Rc<Worker>,
    key: BindKey,
    open: Rc<Cell<usize>>,
    /// The port as it was last in a snapshot: connections that were queued when it went are still served by it.
    last: Cell<Option<Arc<Port>>>,
    metrics: OnceCell<Connections>,
}

impl Acceptor {
    async fn run(self, listener: Listener, stop: Rc<Notify>, connections: Arc<AtomicUsize>) {
        // A listener counts as a connection while it is being retired, so that a drain waits for it.
        let listening = Counted::new(Rc::default(), connections.clone());
        loop {
            tokio::select! {
                () = stop.notified() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.serve(stream, peer, &connections),
                    Err(error) => {
                        // Out of descriptors, or a connection that had gone: neither ends the listener.
                        self.worker.limit_reached("accept_failed");
                        tracing::warn!(%error, address = %self.key.0, "cannot accept");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        listener.retire(|stream, peer| self.serve(stream, peer, &connections)).await;
        drop(listening);
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, connections: &Arc<AtomicUsize>) {
        if self.open.get() >= self.worker.shared.limits.connections_max {
            return self.worker.limit_reached("connections_max");
        }
        let view = self.worker.view();
        let Some(port) = self.port(&view) else { return };
        let local = stream.local_addr().unwrap_or(self.key.0);
        let watch = Watch::new();
        self.worker.watchlist.add(&watch);
        let accepted = Accepted { worker: self.worker.clone(), view, port, peer, local, watch };
        let counted = Counted::new(self.open.clone(), connections.clone());
        let open = self.metrics(&accepted.port).open();
        tokio::task::spawn_local(async move {
            accept::serve(accepted, stream).await;
            drop((counted, open));
        });
    }

    fn metrics(&self, port: &Port) -> &Connections {
        self.metrics.get_or_init(|| self.worker.metrics.connections(&accept::port_labels(port)))
    }

    fn port(&self, view: &View) -> Option<Arc<Port>> {
        let current = view.published.port(self.key.0, self.key.1).cloned().or_else(|| self.last.take());
        self.last.set(current.clone());
        current
    }
}

/// Counts a connection for as long as it lives.
pub struct Counted(Rc<Cell<usize>>, Arc<AtomicUsize>);

impl Counted {
    /// One more connection of a port and of a worker.
    pub fn new(open: Rc<Cell<usize>>, all: Arc<AtomicUsize>) -> Self {
        open.set(open.get() + 1);
        all.fetch_add(1, Relaxed);
        Self(open, all)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
        self.1.fetch_sub(1, Relaxed);
    }
}
