//! One filter on one worker: its instances, which streams go to which, and what happens to those that fail.
//! Never shared between workers.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::attributes::StreamInfo;
use crate::config::FilterConfig;
use crate::host::Host;
use crate::instance::{Env, Instance};
use crate::module::Phases;
use crate::outcome::{FailureKind, FilterFailure};
use crate::shared::Shared;
use crate::stream::Stream;

/// How long a place rests after its second failure in a row; doubled by each further one.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// How long it rests at most.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Doublings after which the rest is at its longest.
const BACKOFF_DOUBLINGS_MAX: u32 = 9;

/// A filter, with its own instances, on one worker.
pub struct Plugin {
    env: Rc<Env>,
    places: RefCell<Vec<Place>>,
}

/// Room for one instance, and how it fared there.
#[derive(Default)]
struct Place {
    instance: Option<Rc<Instance>>,
    /// Instances that ended here before they served a stream to its end, without a healthy one between.
    failures: u32,
    /// No new start before this time, on the host's monotonic clock.
    rests_until: Duration,
}

// === impl Plugin ===

impl Plugin {
    /// A filter that has not started yet: it does with [`Plugin::start`], or with its first stream.
    pub fn new(config: Arc<FilterConfig>, host: Rc<dyn Host>, shared: &Arc<Shared>) -> Self {
        let places = (0..config.limits.instances.max(1)).map(|_| Place::default()).collect();
        let (name, shared) = (config.name.as_str().into(), shared.filter(&config.name));
        let env = Env { name, config, host, shared, failure_logs: RefCell::default() };
        Self { env: Rc::new(env), places: RefCell::new(places) }
    }

    /// Starts all instances: to learn, before any stream depends on it, whether the filter accepts its configuration.
    ///
    /// # Errors
    /// Why an instance does not start.
    pub fn start(&self) -> Result<(), FilterFailure> {
        self.places.borrow_mut().iter_mut().try_for_each(|place| place.live(&self.env).map(drop))
    }

    /// What it is configured with.
    pub fn config(&self) -> &Arc<FilterConfig> {
        &self.env.config
    }

    /// The phases that its module takes part in.
    pub fn phases(&self) -> Phases {
        self.env.config.module.phases()
    }

    /// Streams that are open on this worker.
    pub fn streams(&self) -> usize {
        self.places.borrow().iter().filter_map(|place| place.instance.as_ref()).map(|it| it.streams()).sum()
    }

    /// Opens a stream in the instance that serves the fewest.
    ///
    /// # Errors
    /// When no instance will take it: they do not start, rest after failures, or are full.
    pub fn open_stream(&self, info: Rc<dyn StreamInfo>) -> Result<Stream, FilterFailure> {
        let instance = self.choose()?;
        let id = instance.open(info)?;
        self.env.shared.counters.streams.fetch_add(1, Ordering::Relaxed);
        Ok(Stream::new(instance, id))
    }

    fn choose(&self) -> Result<Rc<Instance>, FilterFailure> {
        let mut places = self.places.borrow_mut();
        let mut best: Option<(usize, Rc<Instance>)> = None;
        let mut last_failure = None;
        for place in places.iter_mut() {
            match place.live(&self.env) {
                Ok(instance) => {
                    let streams = instance.streams();
                    let probing = place.failures > 1 && streams > 0;
                    if !probing && best.as_ref().is_none_or(|(fewest, _)| streams < *fewest) {
                        best = Some((streams, instance));
                    }
                }
                Err(failure) => last_failure = Some(failure),
            }
        }
        match best {
            Some((_, instance)) => Ok(instance),
            None => Err(last_failure.unwrap_or_else(|| self.unavailable("an instance is on probation"))),
        }
    }

    fn unavailable(&self, why: &str) -> FilterFailure {
        unavailable(&self.env, why)
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("config", &self.env.config).finish_non_exhaustive()
    }
}

// === impl Place ===

impl Place {
    /// The instance here, started anew if there is none or it has ended and the place has rested. One that has not yet
    /// proved itself after failures is on probation: it gets one stream at a time.
    fn live(&mut self, env: &Rc<Env>) -> Result<Rc<Instance>, FilterFailure> {
        if let Some(instance) = &self.instance {
            if instance.served() > 0 {
                self.failures = 0;
            }
            if !instance.is_dead() {
                return Ok(Rc::clone(instance));
            }
            self.instance = None;
            self.failed(env);
        }
        if env.host.monotonic() < self.rests_until {
            return Err(unavailable(env, "its instances keep failing, and rest before the next start"));
        }
        match Instance::start(env) {
            Ok(instance) => {
                self.instance = Some(Rc::clone(&instance));
                Ok(instance)
            }
            Err(failure) => {
                self.failed(env);
                Err(failure)
            }
        }
    }

    /// The first failure costs no rest: a filter that traps now and then is replaced at once.
    fn failed(&mut self, env: &Rc<Env>) {
        self.failures = self.failures.saturating_add(1);
        self.rests_until = match self.failures {
            0 | 1 => Duration::ZERO,
            more => {
                let doublings = (more - 2).min(BACKOFF_DOUBLINGS_MAX);
                env.host.monotonic() + (BACKOFF_FIRST * 2u32.pow(doublings)).min(BACKOFF_MAX)
            }
        };
    }
}

fn unavailable(env: &Rc<Env>, why: &str) -> FilterFailure {
    env.shared.counters.failed(FailureKind::Unavailable);
    env.failure(FailureKind::Unavailable, why)
}
