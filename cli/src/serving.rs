//! The engine with all that goes with it (telemetry, access log, admin port), as every command that serves traffic runs
//! it. Where objects come from is the caller's business.

use crate::{
    admin::{Admin, Known, Told},
    modules::Modules,
};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use portolan_proxy::{
    Engine, Limits, Options, Shared,
    listen::{BindError, Listeners},
};
use portolan_telemetry::{
    Labels,
    access_log::{AccessLog, Destination, Query},
    metrics::{ConfigLoads, Registry, WorkerId, names},
    otlp::{Otlp, OtlpConfig},
    trace::{Sampler, SpanSink},
};
use portolan_translate::{Edges, Objects, Translation, translate};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tracing_subscriber::EnvFilter;

/// Workers' metrics have the numbers from 0; those of the process have this one.
const PROCESS_METRICS: WorkerId = WorkerId(u16::MAX);
/// Time that telemetry is given to be sent at the end.
const TELEMETRY_FLUSH: Duration = Duration::from_secs(2);

/// How traffic is served.
#[derive(Args)]
pub struct EngineArgs {
    /// Where the admin port listens [default: 127.0.0.1:15000, or the next free port]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<SocketAddr>,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// Where requests are logged
    #[arg(long, value_enum, default_value_t = AccessLogTo::Off)]
    access_log: AccessLogTo,

    /// Set a limit by its name, such as header_timeout=5s or body_bytes_max=10Mi. May be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,

    /// Proxies (addresses or networks) whose X-Forwarded-* headers are believed
    #[arg(long, value_name = "CIDR")]
    trusted_proxy: Vec<IpNet>,

    /// Share of traces that are sampled, 0 to 1, where the client does not say
    #[arg(long, value_name = "RATIO", default_value_t = 0.0)]
    trace_ratio: f64,

    /// Where traces and metrics are sent (OTLP over gRPC)
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    otlp: Option<String>,
}

/// Where requests are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AccessLogTo {
    /// Nowhere.
    Off,
    /// To standard output, a JSON line each.
    Stdout,
}

/// The engine and what goes with it.
pub struct Serving {
    engine: Engine,
    admin: Admin,
    access_log: Option<AccessLog>,
    otlp: Option<Otlp>,
    loads: ConfigLoads,
    previous: Option<Translation>,
}

// === impl EngineArgs ===

impl EngineArgs {
    /// Limits with what the command line says of them.
    fn limits(&self) -> Result<Limits> {
        let mut limits = Limits::default();
        for setting in &self.limits {
            let (name, value) =
                setting.split_once('=').with_context(|| format!("--limit {setting}: write NAME=VALUE"))?;
            limits.set(name, value)?;
        }
        Ok(limits)
    }

    fn otlp(&self, metrics: &Registry) -> Result<Option<Otlp>> {
        let config = OtlpConfig::from_env(self.otlp.as_deref(), |name| std::env::var(name).ok())?;
        Ok(config.map(|config| Otlp::start(config, metrics.clone())).transpose()?)
    }

    fn access_log(&self, metrics: &Registry) -> Result<Option<AccessLog>> {
        if self.access_log == AccessLogTo::Off {
            return Ok(None);
        }
        let dropped = metrics.worker(PROCESS_METRICS).handle(&names::ACCESS_LOG_DROPPED, &Labels::none());
        Ok(Some(AccessLog::start(Destination::Stdout, Query::Keep, dropped)?))
    }
}

// === impl Serving ===

impl Serving {
    /// Starts the workers; nothing is listened on yet.
    pub fn start(args: &EngineArgs, listeners: Arc<Listeners>) -> Result<Self> {
        let metrics = Registry::default();
        let otlp = args.otlp(&metrics)?;
        let access_log = args.access_log(&metrics)?;
        let options = Options {
            limits: args.limits()?,
            trusted_proxies: args.trusted_proxy.clone(),
            sampler: Sampler::ratio(args.trace_ratio),
        };
        let writer = access_log.as_ref().map(AccessLog::writer);
        let spans = otlp.as_ref().map_or_else(SpanSink::disabled, Otlp::spans);
        let shared = Arc::new(Shared::new(options, metrics.clone(), writer, spans));
        let workers = args.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
        let engine = Engine::start(shared.clone(), listeners, workers).context("cannot start the workers")?;
        let admin = Admin::new(shared, metrics.clone());
        let loads = metrics.worker(PROCESS_METRICS).config_loads();
        Ok(Self { engine, admin, access_log, otlp, loads, previous: None })
    }

    /// What the admin port tells.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The last translation.
    pub fn translation(&self) -> Option<&Translation> {
        self.previous.as_ref()
    }

    /// Translates what is there now; puts nothing in force.
    pub fn translate(&self, objects: &Objects, edges: &Edges) -> Translation {
        translate(objects, edges, self.previous.as_ref())
    }

    /// Puts a translation in force, which came of these edges. Returns the addresses that could not be listened on.
    pub fn publish(
        &mut self,
        translation: Translation,
        edges: Edges,
        modules: &Modules,
        known: impl FnOnce(Arc<Edges>) -> Known,
    ) -> (&Translation, Vec<BindError>) {
        self.engine.shared().set_modules(modules.compiled().collect());
        // Told first: who sees that a generation is served finds its names and statuses.
        self.admin.tell(Told { statuses: translation.statuses.clone(), known: known(Arc::new(edges)) });
        let (generation, failures) = self.engine.publish(translation.snapshot.clone());
        self.loads.loaded(generation);
        if !failures.is_empty() {
            self.loads.failed();
        }
        let filters = &translation.snapshot.wasm_filters;
        self.engine.shared().wasm.retain(|name| filters.iter().any(|filter| filter.name.to_string() == name));
        (self.previous.insert(translation), failures)
    }

    /// From now on is not ready, and asks clients to connect anew, though it still takes connections.
    pub fn retire(&self) {
        self.engine.shared().drain();
    }

    /// Answers what is under way, then ends; says whether nothing was cut off. `meanwhile` ends it at once.
    pub async fn end(self, at_once: impl Future<Output = ()>) -> bool {
        let engine = self.engine;
        let drained = tokio::task::spawn_blocking(move || engine.drain());
        let clean = tokio::select! {
            clean = drained => clean.unwrap_or(false),
            () = at_once => false,
        };
        if let Some(log) = self.access_log {
            log.finish();
        }
        if let Some(otlp) = self.otlp {
            otlp.finish(TELEMETRY_FLUSH);
        }
        clean
    }
}

/// Listeners and connections take descriptors: as many as this process may have.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the number of open files stays limited");
    }
}

/// What libraries log and we log better.
const QUIET: [&str; 3] = ["kube_leader_election=off", "kube_client::client::builder=off", "kube_runtime::watcher=off"];

/// Logs to standard error what `PORTOLAN_LOG` asks for, else `level` and worse.
pub fn init_logging(level: &str) {
    let asked = std::env::var("PORTOLAN_LOG").ok().filter(|asked| EnvFilter::try_new(asked).is_ok());
    let asked = asked.unwrap_or_else(|| level.to_owned());
    // Who names modules gets all that he names.
    let quiet = QUIET.into_iter().filter(|_| !asked.contains('=')).filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(EnvFilter::new(&asked), EnvFilter::add_directive);
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}
