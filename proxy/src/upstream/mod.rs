//! Backends as one worker sees them: endpoints, connections to them, the choice among them. State is kept by the index
//! of the backend and follows the snapshot; it never outlives the worker.

pub mod connect;
mod endpoint;
pub mod h1;
pub mod h2;
pub mod io;

pub use endpoint::{EndpointState, Health};

use crate::{clock, limits::Limits, rng::Rng, tls};
use hashbrown::HashMap;
use portolan_telemetry::metrics::{Upstream, WorkerMetrics};
use portolan_translate::snapshot::{Backend, BackendIndex, BackendKey, Endpoints, Snapshot};
use std::{
    cell::{OnceCell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex, Weak},
    time::Instant,
};

/// Health of all endpoints, shared by all workers; touched when endpoints change, not when requests run.
#[derive(Debug, Default)]
pub struct HealthRegistry {
    entries: Mutex<HashMap<(BackendKey, SocketAddr), Weak<Health>>>,
}

/// The backends of one worker.
pub struct Upstreams {
    limits: Arc<Limits>,
    registry: Arc<HealthRegistry>,
    metrics: WorkerMetrics,
    backends: RefCell<Vec<Option<Rc<BackendState>>>>,
}

/// A backend as one worker sees it.
pub struct BackendState {
    /// The backend.
    pub backend: Arc<Backend>,
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Metrics of connections and retries.
    pub metrics: Upstream,
    endpoints: RefCell<EndpointSet>,
    tls: OnceCell<Result<Arc<rustls::ClientConfig>, String>>,
}

struct EndpointSet {
    source: Arc<Endpoints>,
    list: Vec<Rc<EndpointState>>,
}

// === impl HealthRegistry ===

impl HealthRegistry {
    fn get(&self, key: &BackendKey, address: SocketAddr) -> Arc<Health> {
        let mut entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let entry = entries.entry((key.clone(), address)).or_default();
        match entry.upgrade() {
            Some(health) => health,
            None => {
                let health = Arc::default();
                *entry = Arc::downgrade(&health);
                health
            }
        }
    }

    /// Forgets endpoints that no worker knows any more.
    pub fn sweep(&self) {
        self.entries
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .retain(|_, health| health.strong_count() > 0);
    }

    /// Every endpoint that is ejected now.
    pub fn ejected(&self) -> Vec<(BackendKey, SocketAddr)> {
        let now = clock::process_ms();
        let entries = self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let ejected =
            entries.iter().filter(|(_, health)| health.upgrade().is_some_and(|health| health.is_ejected(now)));
        ejected.map(|(key, _)| key.clone()).collect()
    }
}

// === impl Upstreams ===

impl Upstreams {
    /// No state yet: each backend's is made when the first request comes.
    pub fn new(limits: Arc<Limits>, registry: Arc<HealthRegistry>, metrics: WorkerMetrics) -> Self {
        Self { limits, registry, metrics, backends: RefCell::default() }
    }

    /// The state of a backend, brought up to the snapshot.
    pub fn get(&self, snapshot: &Snapshot, index: BackendIndex) -> Option<Rc<BackendState>> {
        let (backend, endpoints) = (snapshot.backend(index)?, snapshot.endpoints(index)?);
        let mut backends = self.backends.borrow_mut();
        let at = index.0 as usize;
        if backends.len() <= at {
            backends.resize_with(at + 1, || None);
        }
        let state = match &backends[at] {
            Some(state) if Arc::ptr_eq(&state.backend, backend) => state,
            _ => {
                if let Some(old) = backends[at].take() {
                    old.retire();
                }
                backends[at].insert(Rc::new(BackendState::new(backend.clone(), &self.metrics)))
            }
        };
        state.follow(endpoints, self);
        Some(state.clone())
    }

    /// Once a second: closes idle connections, drops backends that have gone.
    pub fn sweep(&self, snapshot: &Snapshot, now: Instant) {
        let mut backends = self.backends.borrow_mut();
        for (index, slot) in (0..).zip(backends.iter_mut()) {
            let Some(state) = slot else { continue };
            let current = snapshot.backend(BackendIndex(index));
            if !current.is_some_and(|backend| Arc::ptr_eq(backend, &state.backend)) {
                state.retire();
                *slot = None;
            } else if let Some(endpoints) = snapshot.endpoints(BackendIndex(index)) {
                state.follow(endpoints, self);
                state.endpoints.borrow().list.iter().for_each(|endpoint| endpoint.sweep(now));
            }
        }
    }
}

// === impl BackendState ===

impl BackendState {
    fn new(backend: Arc<Backend>, metrics: &WorkerMetrics) -> Self {
        let name = crate::worker::backend_name(&backend.key);
        let metrics = metrics.upstream(&name);
        let endpoints = EndpointSet { source: Arc::default(), list: Vec::new() };
        Self { backend, name, metrics, endpoints: RefCell::new(endpoints), tls: OnceCell::new() }
    }

    fn retire(&self) {
        self.endpoints.borrow().list.iter().for_each(|endpoint| endpoint.retire());
    }

    /// Takes over a new list of endpoints; those that stay keep their state.
    fn follow(&self, endpoints: &Arc<Endpoints>, upstreams: &Upstreams) {
        let mut set = self.endpoints.borrow_mut();
        if Arc::ptr_eq(&set.source, endpoints) {
            return;
        }
        let now = clock::now_coarse();
        let mut before: HashMap<_, _> = set.list.drain(..).map(|state| (state.endpoint.address, state)).collect();
        set.list = endpoints
            .list
            .iter()
            .map(|endpoint| match before.remove(&endpoint.address) {
                Some(state) if state.endpoint == *endpoint => state,
                other => {
                    other.iter().for_each(|state| state.retire());
                    let health = upstreams.registry.get(&self.backend.key, endpoint.address);
                    Rc::new(EndpointState::new(endpoint.clone(), health, upstreams.limits.clone(), now))
                }
            })
            .collect();
        before.values().for_each(|state| state.retire());
        set.source = endpoints.clone();
    }

    /// The TLS configuration towards the backend, made once.
    pub fn tls(&self) -> Option<Result<Arc<rustls::ClientConfig>, &str>> {
        let tls = self.backend.tls.as_ref()?;
        let made = self
            .tls
            .get_or_init(|| tls::client_config(tls, self.backend.key.protocol).map_err(|error| error.to_string()));
        Some(made.as_ref().map(Arc::clone).map_err(String::as_str))
    }

    /// The less loaded of two endpoints, leaving out the ejected ones (unless that were more than half of all) and,
    /// where another is left, the one that was tried before.
    pub fn pick(&self, rng: &Rng, tried: Option<SocketAddr>) -> Option<Rc<EndpointState>> {
        let set = self.endpoints.borrow();
        match set.list.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            list => Some(pick_of(list, rng, tried).clone()),
        }
    }

    /// Whether an address is one of the endpoints.
    pub fn has(&self, address: SocketAddr) -> bool {
        self.endpoints.borrow().list.iter().any(|state| state.endpoint.address == address)
    }

    /// The endpoint of a session, if it is still there.
    pub fn by_id(&self, id: u64) -> Option<Rc<EndpointState>> {
        self.endpoints.borrow().list.iter().find(|state| state.endpoint.id == id).cloned()
    }
}

fn pick_of<'a>(list: &'a [Rc<EndpointState>], rng: &Rng, tried: Option<SocketAddr>) -> &'a Rc<EndpointState> {
    let now_ms = clock::process_ms();
    let ejected = list.iter().filter(|state| state.health.is_ejected(now_ms)).count();
    let heed_ejection = ejected > 0 && ejected * 2 <= list.len();
    let fits = |state: &Rc<EndpointState>| {
        !(heed_ejection && state.health.is_ejected(now_ms)) && tried != Some(state.endpoint.address)
    };
    let fitting =
        if ejected == 0 && tried.is_none() { list.len() } else { list.iter().filter(|state| fits(state)).count() };
    if fitting == 0 {
        return &list[rng.below(list.len())];
    }
    let nth = |n: usize| {
        let mut fitting_list = list.iter().filter(|state| fits(state));
        if fitting == list.len() { &list[n] } else { fitting_list.nth(n).unwrap_or(&list[0]) }
    };
    let first = rng.below(fitting);
    if fitting == 1 {
        return nth(first);
    }
    let second = (first + 1 + rng.below(fitting - 1)) % fitting;
    let (first, second, now) = (nth(first), nth(second), clock::now_coarse());
    // Where too many are ejected to leave them out, they are still the worse ones: none is cheaper than it seems.
    let cost = |state: &EndpointState| (ejected > 0 && state.health.is_ejected(now_ms), state.cost(now));
    if cost(first) <= cost(second) { first } else { second }
}
