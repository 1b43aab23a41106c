//! Many requests at once, each counted exactly once. One kept connection per slot; never retries what may have
//! been processed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use http::HeaderName;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::answer::Answer;
use crate::client::{Client, Session};
use crate::failure::{Failure, Fate};
use crate::request::Request;
use crate::tally::Tally;

/// Requests in flight at most.
pub const CONCURRENCY_MAX: usize = 1024;

/// How often one request is sent again where the peer did not process it.
const RESENDS_MAX: u32 = 3;

/// What to send, how often, and what to count.
#[derive(Clone, Debug)]
pub struct Load {
    /// The request, sent as it is each time.
    pub request: Request,
    /// How many requests; with `u64::MAX`, until [`Progress::stop`].
    pub count: u64,
    /// Requests in flight, each on a connection of its own; from 1 to [`CONCURRENCY_MAX`].
    pub concurrency: usize,
    /// A response header whose values are counted.
    pub by_header: Option<HeaderName>,
    /// Tells others how far it is, and is told to stop.
    pub progress: Arc<Progress>,
}

/// How far a load is.
#[derive(Debug)]
pub struct Progress {
    claimed: AtomicU64,
    stopped: AtomicBool,
    finished: watch::Sender<u64>,
}

// === impl Load ===

impl Load {
    /// `count` requests, `concurrency` at once.
    pub fn new(request: Request, count: u64, concurrency: usize) -> Self {
        Self { request, count, concurrency, by_header: None, progress: Arc::default() }
    }

    /// Requests until [`Progress::stop`].
    pub fn until_stopped(request: Request, concurrency: usize) -> Self {
        Self::new(request, u64::MAX, concurrency)
    }

    /// Counts answers by the value of this header, too.
    pub fn by_header(mut self, name: HeaderName) -> Self {
        self.by_header = Some(name);
        self
    }
}

// === impl Progress ===

impl Default for Progress {
    fn default() -> Self {
        Self { claimed: AtomicU64::new(0), stopped: AtomicBool::new(false), finished: watch::Sender::new(0) }
    }
}

impl Progress {
    /// Requests answered or failed so far.
    pub fn finished(&self) -> u64 {
        *self.finished.borrow()
    }

    /// Waits until so many requests are answered or failed.
    pub async fn reached(&self, finished: u64) {
        let mut seen = self.finished.subscribe();
        seen.wait_for(|now| *now >= finished).await.expect("the sender lives in self");
    }

    /// Begins no further request; those in flight are still awaited and counted.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn claim(&self, count: u64) -> bool {
        !self.stopped.load(Ordering::Relaxed) && self.claimed.fetch_add(1, Ordering::Relaxed) < count
    }

    fn finish(&self) {
        self.finished.send_modify(|finished| *finished += 1);
    }
}

/// Runs the load to its end. Every request is counted once, as an answer or as a failure.
pub async fn run_load(client: &Client, load: &Load) -> Tally {
    let begun = Instant::now();
    let slots = load.concurrency.clamp(1, CONCURRENCY_MAX).min(usize::try_from(load.count).unwrap_or(usize::MAX));
    let shared = Arc::new(load.clone());
    let mut running = JoinSet::new();
    for _ in 0..slots {
        running.spawn(slot(client.session(), shared.clone()));
    }
    let mut tally = Tally::default();
    while let Some(finished) = running.join_next().await {
        tally.merge(finished.expect("a slot neither panics nor is aborted"));
    }
    tally.elapsed = begun.elapsed();
    tally
}

/// One request after the other until there is none left to claim.
async fn slot(mut session: Session, load: Arc<Load>) -> Tally {
    let mut tally = Tally::default();
    while load.progress.claim(load.count) {
        match send(&mut session, &load.request, &mut tally.resent).await {
            Ok(answer) => tally.answer(&answer, load.by_header.as_ref()),
            Err(failure) => tally.failure(failure),
        }
        load.progress.finish();
    }
    tally.connections = session.connections();
    session.close().await;
    tally
}

async fn send(session: &mut Session, request: &Request, resent: &mut u64) -> Result<Answer, Failure> {
    for _ in 0..RESENDS_MAX {
        match session.send(request, &mut ()).await {
            Err(failure) if failure.fate() == Fate::NotProcessed => *resent += 1,
            outcome => return outcome,
        }
    }
    session.send(request, &mut ()).await
}
