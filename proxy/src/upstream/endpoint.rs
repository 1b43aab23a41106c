//! One endpoint as one worker sees it: its load, its idle connections, and its health, which all workers share.

use super::{h1, h2};
use crate::limits::Limits;
use portolan_translate::snapshot::Endpoint;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Failures in a row after which an endpoint is ejected.
pub const EJECTION_FAILURES: u32 = 5;
/// Time for which an endpoint is ejected the first time; it grows with each ejection in a row.
pub const EJECTION_TIME: Duration = Duration::from_secs(10);
/// Ejections in a row that still make the time grow.
const EJECTION_GROWTH_MAX: u32 = 6;
/// Time in which a latency that was seen loses most of its weight.
const LATENCY_DECAY_SECONDS: f64 = 10.0;
/// Latency that is assumed of an endpoint that nobody has asked yet, in seconds; low, so that it is tried soon.
const LATENCY_ASSUMED_SECONDS: f64 = 0.001;

/// Health of an endpoint, shared by all workers.
#[derive(Debug, Default)]
pub struct Health {
    failures: AtomicU32,
    ejections: AtomicU32,
    /// Milliseconds on the process's clock until which the endpoint is ejected.
    ejected_until_ms: AtomicU64,
}

/// One endpoint as one worker sees it.
pub struct EndpointState {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Shared health.
    pub health: Arc<Health>,
    limits: Arc<Limits>,
    outstanding: Cell<u32>,
    latency_seconds: Cell<f64>,
    latency_at: Cell<Instant>,
    idle: RefCell<Vec<IdleConnection>>,
    /// HTTP/2 connections.
    pub(super) h2: RefCell<Vec<Rc<h2::Connection>>>,
    /// Only one HTTP/2 connection is made at a time.
    pub(super) h2_connecting: tokio::sync::Mutex<()>,
    gone: Cell<bool>,
}

struct IdleConnection {
    since: Instant,
    connection: h1::Connection,
}

// === impl Health ===

impl Health {
    /// Notes a success: the count of failures starts anew, and after a probation so does that of ejections.
    pub fn succeeded(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
            self.ejections.store(0, Relaxed);
        }
    }

    /// Notes a failure of the connection or protocol; says whether the endpoint is ejected by it.
    pub fn failed(&self, now_ms: u64) -> bool {
        // One more failure after an ejection has run out ejects again at once: it was a probe.
        if self.failures.fetch_add(1, Relaxed) + 1 < EJECTION_FAILURES || self.is_ejected(now_ms) {
            return false;
        }
        let growth = self.ejections.fetch_add(1, Relaxed).min(EJECTION_GROWTH_MAX);
        let time = EJECTION_TIME.as_millis() as u64 * u64::from(growth + 1);
        self.ejected_until_ms.store(now_ms + time, Relaxed);
        true
    }

    /// Whether the endpoint is to be passed over.
    pub fn is_ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Relaxed) > now_ms
    }
}

// === impl EndpointState ===

impl EndpointState {
    /// The state of an endpoint that is new to this worker.
    pub fn new(endpoint: Endpoint, health: Arc<Health>, limits: Arc<Limits>, now: Instant) -> Self {
        Self {
            endpoint,
            health,
            limits,
            outstanding: Cell::new(0),
            latency_seconds: Cell::new(LATENCY_ASSUMED_SECONDS),
            latency_at: Cell::new(now),
            idle: RefCell::default(),
            h2: RefCell::default(),
            h2_connecting: tokio::sync::Mutex::new(()),
            gone: Cell::new(false),
        }
    }

    /// What choosing this endpoint would cost: its latency (peaks count at once and fade) times its queue.
    pub fn cost(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.latency_at.get()).as_secs_f64();
        let faded = self.latency_seconds.get() * (-age / LATENCY_DECAY_SECONDS).exp();
        faded.max(LATENCY_ASSUMED_SECONDS / 10.0) * f64::from(self.outstanding.get() + 1)
    }

    /// Notes that a request begins.
    pub fn began(&self) {
        self.outstanding.set(self.outstanding.get() + 1);
    }

    /// Notes that a request is over.
    pub fn ended(&self) {
        self.outstanding.set(self.outstanding.get().saturating_sub(1));
    }

    /// Notes how long a response's head took.
    pub fn observe(&self, latency: Duration, now: Instant) {
        let (sample, before) = (latency.as_secs_f64(), self.latency_seconds.get());
        let age = now.saturating_duration_since(self.latency_at.get()).as_secs_f64();
        let weight = (-age / LATENCY_DECAY_SECONDS).exp();
        let next = if sample > before { sample } else { before * weight + sample * (1.0 - weight) };
        self.latency_seconds.set(next);
        self.latency_at.set(now);
    }

    /// An idle connection that still looks open, the one used last.
    pub fn take_idle(&self) -> Option<h1::Connection> {
        loop {
            let mut idle = self.idle.borrow_mut().pop()?;
            if idle.connection.is_open() {
                return Some(idle.connection);
            }
        }
    }

    /// Takes a connection back that can serve another request.
    pub fn keep(&self, connection: h1::Connection) {
        let mut idle = self.idle.borrow_mut();
        if !self.gone.get() && idle.len() < self.limits.pool_idle_max {
            idle.push(IdleConnection { since: crate::clock::now_coarse(), connection });
        }
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self, now: Instant) {
        let timeout = self.limits.pool_idle_timeout;
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|idle| now.saturating_duration_since(idle.since) < timeout && idle.connection.is_open());
        self.h2.borrow_mut().retain(|connection| !connection.is_closed());
    }

    /// The endpoint has left: what is under way ends, nothing is kept.
    pub fn retire(&self) {
        self.gone.set(true);
        self.idle.borrow_mut().clear();
        self.h2.borrow_mut().clear();
    }

    /// Requests under way from this worker.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ejection_needs_failures_in_a_row_and_ends_by_itself() {
        let health = Health::default();
        for _ in 0..EJECTION_FAILURES - 1 {
            assert!(!health.failed(0));
        }
        health.succeeded();
        for _ in 0..EJECTION_FAILURES - 1 {
            assert!(!health.failed(0));
        }
        assert!(health.failed(0));
        let time = EJECTION_TIME.as_millis() as u64;
        assert!(health.is_ejected(time - 1) && !health.is_ejected(time));
        assert!(health.failed(time), "one failure after the time ejects again");
        assert!(health.is_ejected(time + 2 * time - 1) && !health.is_ejected(time + 2 * time));
    }
}
