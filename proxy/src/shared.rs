//! What all workers share: the snapshot that is in force, limits, health of endpoints, metrics. Read on every request,
//! written by reloads alone.

use crate::{
    limits::Limits,
    tls::{ServerTls, TlsConfigError},
    upstream::HealthRegistry,
};
use arc_swap::ArcSwap;
use hashbrown::{HashMap, HashSet};
use ipnet::IpNet;
use portolan_telemetry::{
    access_log::AccessLogWriter,
    metrics::Registry,
    trace::{Sampler, SpanSink},
};
use portolan_translate::snapshot::{ModuleDigest, Port, Snapshot, TlsServer, Transport};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// A snapshot in force, with an index of its ports.
#[derive(Debug, Default)]
pub struct Published {
    /// Counts publications.
    pub generation: u64,
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    ports: HashMap<(SocketAddr, Transport), Arc<Port>>,
    http3: HashSet<SocketAddr>,
}

/// How the engine runs; fixed at its start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Limits and time-outs.
    pub limits: Limits,
    /// Proxies whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which traces are sampled that begin here.
    pub sampler: Sampler,
}

/// What all workers share.
pub struct Shared {
    /// How the engine runs.
    pub options: Options,
    /// Limits, apart for those who keep them.
    pub limits: Arc<Limits>,
    /// Health of endpoints.
    pub health: Arc<HealthRegistry>,
    /// Metrics.
    pub metrics: Registry,
    /// Where requests are logged, if anywhere.
    pub access_log: Option<AccessLogWriter>,
    /// Where spans go.
    pub spans: SpanSink,
    /// What instances of Wasm filters share.
    pub wasm: Arc<portolan_wasm::Shared>,
    published: ArcSwap<Published>,
    modules: RwLock<HashMap<ModuleDigest, Arc<portolan_wasm::Module>>>,
    draining: AtomicBool,
    server_tls: Mutex<HashMap<usize, (Arc<TlsServer>, ServerTlsResult)>>,
}

/// TLS of a listener, or why it cannot be served.
type ServerTlsResult = Result<Arc<ServerTls>, Arc<TlsConfigError>>;

// === impl Published ===

impl Published {
    fn new(generation: u64, snapshot: Arc<Snapshot>) -> Self {
        let ports = snapshot.ports.iter().map(|port| ((port.bind, port.transport), port.clone())).collect();
        let http3 = crate::h3::h3_ports(&snapshot).iter().map(|port| port.bind).collect();
        Self { generation, snapshot, ports, http3 }
    }

    /// Whether HTTP/3 is served beside the HTTPS port that is bound at an address.
    pub fn has_http3(&self, bind: SocketAddr) -> bool {
        self.http3.contains(&bind)
    }

    /// The port that is bound at an address.
    pub fn port(&self, bind: SocketAddr, transport: Transport) -> Option<&Arc<Port>> {
        self.ports.get(&(bind, transport))
    }
}

// === impl Shared ===

impl Shared {
    /// Nothing is published yet.
    pub fn new(options: Options, metrics: Registry, access_log: Option<AccessLogWriter>, spans: SpanSink) -> Self {
        Self {
            limits: Arc::new(options.limits.clone()),
            options,
            health: Arc::default(),
            metrics,
            access_log,
            spans,
            wasm: Arc::default(),
            published: ArcSwap::default(),
            modules: RwLock::default(),
            draining: AtomicBool::new(false),
            server_tls: Mutex::default(),
        }
    }

    /// The snapshot in force.
    pub fn published(&self) -> &ArcSwap<Published> {
        &self.published
    }

    /// Puts a snapshot in force.
    pub fn publish(&self, snapshot: Arc<Snapshot>) -> u64 {
        let generation = self.published.load().generation + 1;
        self.published.store(Arc::new(Published::new(generation, snapshot)));
        generation
    }

    /// Whether a peer's `X-Forwarded-*` is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.options.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// A compiled module.
    pub fn module(&self, digest: &ModuleDigest) -> Option<Arc<portolan_wasm::Module>> {
        self.modules.read().unwrap_or_else(std::sync::PoisonError::into_inner).get(digest).cloned()
    }

    /// Makes compiled modules available, and forgets all others.
    pub fn set_modules(&self, modules: HashMap<ModuleDigest, Arc<portolan_wasm::Module>>) {
        *self.modules.write().unwrap_or_else(std::sync::PoisonError::into_inner) = modules;
    }

    /// TLS of a listener: built once, for all workers, so that any of them resumes a session.
    pub fn server_tls(&self, server: &Arc<TlsServer>) -> ServerTlsResult {
        let mut all = self.server_tls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = all.entry(Arc::as_ptr(server) as usize);
        // The entry holds the listener's TLS, so that its address cannot mean another meanwhile.
        entry.or_insert_with(|| (server.clone(), ServerTls::new(server).map(Arc::new).map_err(Arc::new))).1.clone()
    }

    /// Once a second: forgets TLS of listeners that have gone, and health of endpoints that have.
    pub fn sweep(&self) {
        let mut all = self.server_tls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        all.retain(|_, (server, _)| Arc::strong_count(server) > 1);
        self.health.sweep();
    }

    /// Whether connections are to be ended as soon as it hurts nobody.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// From now on connections are ended as soon as it hurts nobody.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }
}
