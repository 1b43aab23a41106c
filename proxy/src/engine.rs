//! The engine as its driver sees it: started once, given snapshots, drained at the end. Workers are its threads.

use crate::{
    accept::{self, Accepted},
    clock,
    shared::Shared,
    watch::{Command, Watch},
    worker::Worker,
};
use portolan_translate::snapshot::{Port, Snapshot, Transport};
use std::{
    cell::Cell,
    collections::BTreeMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::mpsc, task::LocalSet};

/// Orders that wait for one worker.
const ORDERS_MAX: usize = 1024;
/// How often a worker looks at what is due.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Time that idle HTTP/1.1 connections are left open while the process drains, so that a request which is already on
/// its way meets an open connection.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// Where an engine listens.
type BindKey = (SocketAddr, Transport);

/// The engine.
pub struct Engine {
    shared: Arc<Shared>,
    workers: Vec<WorkerHandle>,
    listeners: BTreeMap<BindKey, std::net::TcpListener>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// What is listened for.
    pub transport: Transport,
    /// What the kernel says.
    pub source: io::Error,
}

struct WorkerHandle {
    orders: mpsc::Sender<Order>,
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// What a worker is told.
enum Order {
    Listen(BindKey, std::net::TcpListener),
    Retire(BindKey),
    Drain,
    Stop,
}

// === impl Engine ===

impl Engine {
    /// Starts the workers; nothing is listened on yet.
    pub fn start(shared: Arc<Shared>, workers: usize) -> io::Result<Self> {
        let workers =
            (0..workers.max(1)).map(|id| spawn_worker(shared.clone(), id as u16)).collect::<io::Result<_>>()?;
        Ok(Self { shared, workers, listeners: BTreeMap::new() })
    }

    /// What all workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves a snapshot from now on. What cannot be listened on is told, and everything else is served.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) -> (u64, Vec<BindError>) {
        let wanted: BTreeMap<BindKey, &Arc<Port>> =
            snapshot.ports.iter().map(|port| ((port.bind, port.transport), port)).collect();
        let generation = self.shared.publish(snapshot.clone());
        let gone: Vec<BindKey> = self.listeners.keys().filter(|key| !wanted.contains_key(*key)).copied().collect();
        for key in gone {
            self.listeners.remove(&key);
            self.order(|| Order::Retire(key));
        }
        let mut failures = Vec::new();
        for key in wanted.keys().filter(|(_, transport)| *transport == Transport::Tcp) {
            if self.listeners.contains_key(key) {
                continue;
            }
            if let Err(source) = self.listen(*key) {
                failures.push(BindError { address: key.0, transport: key.1, source });
            }
        }
        (generation, failures)
    }

    fn listen(&mut self, key: BindKey) -> io::Result<()> {
        let listener = std::net::TcpListener::bind(key.0)?;
        listener.set_nonblocking(true)?;
        for worker in &self.workers {
            let _ = worker.orders.blocking_send(Order::Listen(key, listener.try_clone()?));
        }
        self.listeners.insert(key, listener);
        Ok(())
    }

    fn order(&self, order: impl Fn() -> Order) {
        for worker in &self.workers {
            // A worker that has gone has nothing left to do.
            let _ = worker.orders.blocking_send(order());
        }
    }

    /// Ends: takes no more connections, answers what is under way, then stops. Says whether everything was answered
    /// within the limit.
    pub fn drain(mut self) -> bool {
        self.shared.drain();
        self.listeners.clear();
        self.order(|| Order::Drain);
        let deadline = Instant::now() + self.shared.limits.drain_timeout;
        let open =
            |workers: &[WorkerHandle]| workers.iter().map(|worker| worker.connections.load(Relaxed)).sum::<usize>();
        while open(&self.workers) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let clean = open(&self.workers) == 0;
        self.order(|| Order::Stop);
        for worker in self.workers.drain(..) {
            let _ = worker.thread.join();
        }
        clean
    }

    /// Client connections that are open.
    pub fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections.load(Relaxed)).sum()
    }
}

// === workers ===

fn spawn_worker(shared: Arc<Shared>, id: u16) -> io::Result<WorkerHandle> {
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let thread = std::thread::Builder::new().name(format!("worker-{id}")).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a worker cannot start"),
        };
        LocalSet::new().block_on(&runtime, run(shared, id, received, counted));
    })?;
    Ok(WorkerHandle { orders, connections, thread })
}

/// The life of a worker.
async fn run(shared: Arc<Shared>, id: u16, mut orders: mpsc::Receiver<Order>, connections: Arc<AtomicUsize>) {
    let seed = portolan_telemetry::trace::IdRng::from_system().next_u64();
    let worker = Rc::new(Worker::new(shared, id, seed));
    let mut listeners: BTreeMap<BindKey, tokio::task::JoinHandle<()>> = BTreeMap::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut drained_at = None;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Listen(key, listener)) => {
                    let task = accept_loop(worker.clone(), key, listener, connections.clone());
                    listeners.insert(key, tokio::task::spawn_local(task));
                }
                Some(Order::Retire(key)) => {
                    listeners.remove(&key).inspect(|task| task.abort());
                }
                Some(Order::Drain) => {
                    listeners.values().for_each(tokio::task::JoinHandle::abort);
                    listeners.clear();
                    worker.watchlist.end(true);
                    drained_at = Some(Instant::now() + DRAIN_IDLE);
                }
                Some(Order::Stop) | None => return,
            },
            _ = sweep.tick() => {
                worker.sweep();
                if id == 0 {
                    worker.shared.sweep();
                }
                if drained_at.is_some_and(|at| clock::now() >= at) {
                    worker.watchlist.end(false);
                }
            }
        }
    }
}

async fn accept_loop(worker: Rc<Worker>, key: BindKey, listener: std::net::TcpListener, connections: Arc<AtomicUsize>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be used"),
    };
    let open = Rc::new(Cell::new(0));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let view = worker.view();
                let Some(port) = view.published.port(key.0, key.1).cloned() else { continue };
                if open.get() >= worker.shared.limits.connections_max {
                    worker.limit_reached("connections_max");
                    continue;
                }
                let local = stream.local_addr().unwrap_or(key.0);
                let watch = Watch::new();
                worker.watchlist.add(&watch);
                if worker.shared.is_draining() {
                    watch.command(Command::Graceful);
                }
                let accepted = Accepted { worker: worker.clone(), view, port, peer, local, watch };
                let counted = Counted::new(open.clone(), connections.clone());
                tokio::task::spawn_local(async move {
                    accept::serve(accepted, stream).await;
                    drop(counted);
                });
            }
            Err(error) => {
                // Out of descriptors, or a connection that was gone before it was accepted: neither ends the listener.
                worker.limit_reached("accept_failed");
                tracing::warn!(%error, address = %key.0, "cannot accept");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Counts a connection for as long as it lives.
struct Counted(Rc<Cell<usize>>, Arc<AtomicUsize>);

impl Counted {
    fn new(open: Rc<Cell<usize>>, all: Arc<AtomicUsize>) -> Self {
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
