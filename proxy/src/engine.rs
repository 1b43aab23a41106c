//! The engine as its driver sees it: started once, given snapshots, drained at the end. Its threads are the workers.

use crate::{
    listen::{BindError, Bound, Listeners},
    serve::{self, Order},
    shared::Shared,
};
use portolan_translate::snapshot::{Snapshot, Transport};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Orders that wait for one worker. One is sent per publication.
const ORDERS_MAX: usize = 16;
/// How often a drain looks whether it is done.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Where the engine listens.
pub type BindKey = (SocketAddr, Transport);

/// The engine.
pub struct Engine {
    shared: Arc<Shared>,
    listeners: Arc<Listeners>,
    workers: Vec<WorkerHandle>,
    bound: BTreeMap<BindKey, Listening>,
}

/// A socket, and what is served on it.
struct Listening {
    bound: Bound,
    kind: Kind,
}

/// What is served on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A port of the snapshot.
    Port,
    /// HTTP/3 beside one.
    Quic,
}

struct WorkerHandle {
    orders: mpsc::Sender<Order>,
    connections: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Engine {
    /// Starts the workers; nothing is listened on yet. Sockets come from `listeners`, where those of a process before
    /// may wait.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(shared: Arc<Shared>, listeners: Arc<Listeners>, workers: usize) -> io::Result<Self> {
        let workers = (0..workers.max(1)).map(|id| spawn(shared.clone(), id as u16)).collect::<io::Result<_>>()?;
        Ok(Self { shared, listeners, workers, bound: BTreeMap::new() })
    }

    /// What all workers share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Serves a snapshot from now on; gives its number. What cannot be listened on is told, and everything else is
    /// served. Blocks for as long as the workers need to take the order.
    pub fn publish(&mut self, snapshot: Arc<Snapshot>) -> (u64, Vec<BindError>) {
        let ports = snapshot.ports.iter().map(|port| ((port.bind, port.transport), Kind::Port));
        let wanted: BTreeMap<BindKey, Kind> =
            serve::quic_binds(&snapshot).map(|key| (key, Kind::Quic)).chain(ports).collect();
        let generation = self.shared.publish(snapshot);
        // A UDP socket that changes between a listener and HTTP/3 is closed, and opened again.
        let gone: Vec<_> = self.bound.extract_if(.., |key, held| wanted.get(key) != Some(&held.kind)).collect();
        let mut failures = Vec::new();
        let mut listen = Vec::new();
        let retire: Vec<BindKey> = gone.iter().map(|(key, _)| *key).collect();
        for (_, held) in gone {
            self.retire(held.bound);
        }
        for (key, kind) in wanted {
            if self.bound.contains_key(&key) {
                continue;
            }
            match self.listeners.bind(key.0, key.1) {
                Ok(bound) => {
                    listen.push((key, bound.clone()));
                    self.bound.insert(key, Listening { bound, kind });
                }
                Err(error) => failures.push(error),
            }
        }
        let count = self.workers.len();
        self.order(|worker| Order::Follow {
            listen: listen.iter().filter(|(key, _)| serve::is_served_by(*key, worker, count)).cloned().collect(),
            retire: retire.clone(),
        });
        (generation, failures)
    }

    fn retire(&self, bound: Bound) {
        let address = bound.address();
        if let Err(error) = self.listeners.retire(bound) {
            tracing::warn!(%error, %address, "connections that arrive while this port closes may be reset");
        }
    }

    fn order(&self, order: impl Fn(usize) -> Order) {
        for (id, worker) in self.workers.iter().enumerate() {
            // A worker that has gone has nothing left to do.
            let _ = worker.orders.blocking_send(order(id));
        }
    }

    /// Ends: takes no more connections, answers what is under way, then stops. Says whether everything was answered
    /// within the limit. Blocks meanwhile.
    pub fn drain(mut self) -> bool {
        self.shared.drain();
        for held in std::mem::take(&mut self.bound).into_values() {
            self.retire(held.bound);
        }
        self.order(|_| Order::Drain);
        let deadline = Instant::now() + self.shared.limits.drain_timeout;
        while self.is_busy() && Instant::now() < deadline {
            std::thread::sleep(DRAIN_POLL);
        }
        let clean = !self.is_busy();
        self.order(|_| Order::Stop);
        for worker in self.workers.drain(..) {
            let _ = worker.thread.join();
        }
        clean
    }

    /// Whether a worker still listens somewhere or has a connection.
    fn is_busy(&self) -> bool {
        self.connections() > 0
    }

    /// Client connections that are open, and listeners that are being retired.
    pub fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.connections.load(Relaxed)).sum()
    }
}

fn spawn(shared: Arc<Shared>, id: u16) -> io::Result<WorkerHandle> {
    let (orders, received) = mpsc::channel(ORDERS_MAX);
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    let thread = std::thread::Builder::new().name(format!("worker-{id}"));
    let thread = thread.spawn(move || serve::run_worker(shared, id, received, counted))?;
    Ok(WorkerHandle { orders, connections, thread })
}
