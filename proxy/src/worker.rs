//! A worker: one thread, one current-thread runtime, its own connections to backends and its own view of the snapshot.

use crate::{
    batch::Batch,
    budget::RetryBudget,
    clock,
    filter::Filters,
    l4::End,
    rng::Rng,
    shared::{Published, Shared},
    tls::{ServerTls, TlsConfigError},
    upstream::Upstreams,
    watch::Watchlist,
};
use hashbrown::HashMap;
use portolan_telemetry::{
    Scheme,
    metrics::{Counter, HttpClient, HttpServer, ListenerLabels, RouteLabels, WorkerId, WorkerMetrics},
    trace::IdRng,
};
use portolan_translate::snapshot::{BackendIndex, BackendKey, HttpListener, L4Rule, Rule, Snapshot, Target, TlsServer};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{Arc, Weak},
};

/// A worker.
pub struct Worker {
    id: u16,
    /// What all workers share.
    pub shared: Arc<Shared>,
    /// Backends.
    pub upstreams: Upstreams,
    /// Where requests meet before they write.
    pub batch: Batch,
    /// Random numbers that need no secrecy.
    pub rng: Rng,
    /// Random numbers of traces.
    pub ids: RefCell<IdRng>,
    /// Metrics of this worker.
    pub metrics: WorkerMetrics,
    /// Client connections.
    pub watchlist: Watchlist,
    /// Wasm filters.
    pub filters: Filters,
    /// Retries that are left.
    pub retry_budget: RetryBudget,
    view: RefCell<Rc<View>>,
    rules: RefCell<HashMap<(usize, usize), Rc<RuleState>>>,
    limits_reached: RefCell<HashMap<&'static str, Counter>>,
    l4_turns: RefCell<HashMap<usize, (Arc<L4Rule>, u64)>>,
}

/// The snapshot as a worker holds it: counted without atomics.
pub struct View {
    /// The publication.
    pub published: Arc<Published>,
}

/// A rule under one listener, as one worker sees it.
pub struct RuleState {
    rule: Arc<Rule>,
    /// Its address means nothing else for as long as this is here. Weak, since the listener's table holds the rule.
    listener: Weak<HttpListener>,
    labels: ListenerLabels,
    names: RuleNames,
    turn: Cell<u64>,
    mirror_turn: Cell<u64>,
    metrics: WorkerMetrics,
    series: RefCell<Vec<Series>>,
}

/// Metrics of what a rule sends to one backend (`None`: of what it answers itself).
type Series = (Option<BackendIndex>, Rc<HttpServer>, Rc<HttpClient>);

/// How a rule is named in logs and metrics.
pub struct RuleNames {
    /// `kind/namespace/name`.
    pub route: Arc<str>,
    /// The rule's name, or its index.
    pub rule: Arc<str>,
    /// Both, as filters see them.
    pub route_and_rule: Arc<str>,
    /// The listener.
    pub listener: Arc<str>,
}

// === impl View ===

impl View {
    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.published.snapshot
    }
}

// === impl Worker ===

impl Worker {
    /// A worker of the engine.
    pub fn new(shared: Arc<Shared>, id: u16, seed: u64) -> Self {
        let published = shared.published().load_full();
        let metrics = shared.metrics.worker(WorkerId(id));
        Self {
            id,
            upstreams: Upstreams::new(shared.limits.clone(), shared.health.clone(), metrics.clone()),
            batch: Batch::default(),
            rng: Rng::new(seed),
            ids: RefCell::new(IdRng::from_system()),
            metrics,
            watchlist: Watchlist::default(),
            filters: Filters::default(),
            retry_budget: RetryBudget::new(clock::now()),
            view: RefCell::new(Rc::new(View { published })),
            rules: RefCell::default(),
            limits_reached: RefCell::default(),
            l4_turns: RefCell::default(),
            shared,
        }
    }

    /// Its number.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The snapshot in force.
    pub fn view(&self) -> Rc<View> {
        let current = self.shared.published().load();
        let mut view = self.view.borrow_mut();
        if !Arc::ptr_eq(&view.published, &current) {
            *view = Rc::new(View { published: Arc::clone(&current) });
        }
        view.clone()
    }

    /// The state of a rule under a listener.
    pub fn rule(&self, listener: &Arc<HttpListener>, rule: &Arc<Rule>, port: u16, scheme: Scheme) -> Rc<RuleState> {
        let key = (Arc::as_ptr(rule) as usize, Arc::as_ptr(listener) as usize);
        let mut rules = self.rules.borrow_mut();
        let state = rules.entry(key).or_insert_with(|| {
            Rc::new(RuleState::new(rule.clone(), listener.clone(), port, scheme, self.metrics.clone()))
        });
        state.clone()
    }

    /// Counts that a limit was reached.
    pub fn limit_reached(&self, name: &'static str) {
        let mut counters = self.limits_reached.borrow_mut();
        counters.entry(name).or_insert_with(|| self.metrics.limit(name)).add(1);
    }

    /// TLS of a listener; built once for all workers.
    pub fn server_tls(&self, server: &Arc<TlsServer>) -> Result<Arc<ServerTls>, Arc<TlsConfigError>> {
        self.shared.server_tls(server)
    }

    /// Where the next connection or session of a rule below HTTP goes; `None`: the rule has no backend.
    pub fn target<'r>(&self, rule: &'r Arc<L4Rule>) -> Option<&'r Target> {
        let ticket = match rule.backends.total() {
            0 | 1 => 0,
            total => {
                let mut turns = self.l4_turns.borrow_mut();
                let (_, turn) = turns.entry(Arc::as_ptr(rule) as usize).or_insert_with(|| (rule.clone(), 0));
                *turn += 1;
                spread(*turn - 1, total)
            }
        };
        rule.backends.at(ticket)
    }

    /// Counts a tunnel that ended because of its limit.
    pub fn tunnel_ended(&self, end: &End) {
        match end {
            End::Idle => self.limit_reached("tunnel_idle_timeout"),
            End::Failed { side, source } => tracing::debug!(?side, %source, "a tunnel broke"),
            End::Finished { .. } => {}
        }
    }

    /// Once a second: what is due.
    pub fn sweep(&self) {
        let now = clock::now();
        self.watchlist.sweep(&self.shared.limits);
        let view = self.view();
        self.upstreams.sweep(view.snapshot(), now);
        self.filters.sweep(view.snapshot());
        self.l4_turns.borrow_mut().retain(|_, (rule, _)| Arc::strong_count(rule) > 1);
        self.rules.borrow_mut().retain(|_, state| state.is_served() || Rc::strong_count(state) > 1);
    }
}

// === impl RuleState ===

impl RuleState {
    fn new(rule: Arc<Rule>, listener: Arc<HttpListener>, port: u16, scheme: Scheme, metrics: WorkerMetrics) -> Self {
        let id = &rule.id;
        let route = format!("{}/{}", id.kind, id.route);
        let name = id.name.as_deref().map_or_else(|| id.rule.to_string(), ToOwned::to_owned);
        let names = RuleNames {
            route_and_rule: format!("{route}/{name}").into(),
            route: route.into(),
            rule: name.into(),
            listener: listener.id.to_string().into(),
        };
        let labels = listener_labels(&listener, port, scheme);
        let (turn, mirror_turn, series) = (Cell::new(0), Cell::new(0), RefCell::default());
        let listener = Arc::downgrade(&listener);
        Self { rule, listener, labels, names, turn, mirror_turn, metrics, series }
    }

    /// Whether a snapshot that somebody holds has the rule at the listener.
    fn is_served(&self) -> bool {
        self.listener.strong_count() > 0 && Arc::strong_count(&self.rule) > 1
    }

    /// The rule's names.
    pub fn names(&self) -> &RuleNames {
        &self.names
    }

    /// The next ticket below `total`: over each `total` tickets every one comes once, spread as evenly as may be.
    pub fn ticket(&self, total: u64) -> u64 {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        spread(turn, total)
    }

    /// Whether it is a mirror's turn, for `numerator` of each `denominator` requests.
    pub fn mirrors(&self, numerator: u32, denominator: u32) -> bool {
        let turn = self.mirror_turn.get();
        self.mirror_turn.set(turn.wrapping_add(1));
        spread(turn, u64::from(denominator)) < u64::from(numerator)
    }

    /// Metrics of requests that this rule sends to a backend, or answers itself.
    pub fn series(&self, backend: Option<(BackendIndex, &BackendKey)>) -> Rc<HttpServer> {
        self.both_series(backend).0
    }

    /// Metrics of requests, and of tries, that this rule sends to a backend.
    pub fn both_series(&self, backend: Option<(BackendIndex, &BackendKey)>) -> (Rc<HttpServer>, Rc<HttpClient>) {
        let index = backend.map(|(index, _)| index);
        let mut all = self.series.borrow_mut();
        if let Some((_, server, client)) = all.iter().find(|(at, ..)| *at == index) {
            return (server.clone(), client.clone());
        }
        let labels = RouteLabels {
            listener: self.labels.clone(),
            route: Some(self.names.route.clone()),
            rule: Some(self.names.rule.clone()),
            backend: backend.map(|(_, key)| backend_name(key)),
        };
        let (server, client) = (Rc::new(self.metrics.http_server(&labels)), Rc::new(self.metrics.http_client(&labels)));
        all.push((index, server.clone(), client.clone()));
        (server, client)
    }
}

/// How a backend is named in logs and metrics: `namespace/name:port`.
pub fn backend_name(key: &BackendKey) -> Arc<str> {
    format!("{}:{}", key.service, key.port).into()
}

/// Labels of a listener.
pub fn listener_labels(listener: &HttpListener, port: u16, scheme: Scheme) -> ListenerLabels {
    let id = &listener.id;
    ListenerLabels { gateway: id.owner.to_string().into(), listener: id.name.clone(), scheme: Some(scheme), port }
}

/// A permutation of the numbers below `total`, walked in steps of about the golden ratio, which keeps neighbours apart.
fn spread(turn: u64, total: u64) -> u64 {
    if total <= 2 {
        return if total == 0 { 0 } else { turn % total };
    }
    let mut step = (total as f64 * 0.618_033_988_749_895) as u64 | 1;
    while gcd(step, total) != 1 {
        step += 1;
    }
    (u128::from(turn % total) * u128::from(step) % u128::from(total)) as u64
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Options};
    use portolan_telemetry::{
        metrics::Registry,
        trace::{Sampler, SpanSink},
    };
    use portolan_translate::{
        ObjectName,
        snapshot::{
            Backends, Candidate, HostMap, ListenerId, Matcher, PathMatch, RouteKind, RouteTable, RuleId, Timeouts,
        },
    };

    /// A listener of one rule that answers all.
    fn listener() -> (Arc<HttpListener>, Arc<Rule>) {
        let id = RuleId { kind: RouteKind::HTTPRoute, route: ObjectName::new("n", "r"), rule: 0, name: None };
        let (filters, backends, timeouts) = (Box::default(), Backends::new([]), Timeouts::default());
        let rule = Arc::new(Rule { id, filters, backends, timeouts, retry: None, session: None });
        let path = PathMatch::Prefix("".into());
        let matcher = Matcher { path, method: None, headers: Box::default(), query: Box::default() };
        let mut hosts = HostMap::default();
        hosts.insert(None, vec![Candidate { matcher, rule: rule.clone() }]);
        let id = ListenerId { owner: ObjectName::new("n", "g"), kind: "Gateway", name: "http".into() };
        (Arc::new(HttpListener { id, hostname: None, routes: Arc::new(RouteTable::new(hosts)) }), rule)
    }

    #[tokio::test]
    async fn a_rule_is_forgotten_with_the_snapshot_that_had_it() {
        let options = Options { limits: Limits::default(), trusted_proxies: Vec::new(), sampler: Sampler::ratio(0.0) };
        let worker = Worker::new(Arc::new(Shared::new(options, Registry::default(), None, SpanSink::disabled())), 0, 1);
        let (served, rule) = listener();
        worker.rule(&served, &rule, 80, Scheme::Http);
        drop(rule);
        worker.sweep();
        assert_eq!(worker.rules.borrow().len(), 1);
        drop(served);
        worker.sweep();
        assert_eq!(worker.rules.borrow().len(), 0);
    }

    #[test]
    fn tickets_are_exact_in_each_round() {
        for total in [1, 2, 3, 7, 10, 100, 997, 1000] {
            let mut seen: Vec<u64> = (0..total).map(|turn| spread(turn, total)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..total).collect::<Vec<_>>(), "total {total}");
        }
    }

    #[test]
    fn tickets_are_spread_within_a_round() {
        // Of 90:10 the ten must not come in one run.
        let minority: Vec<u64> = (0..100).filter(|turn| spread(*turn, 100) >= 90).collect();
        let gaps: Vec<u64> = minority.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap >= 3), "{minority:?}");
    }
}
