//! `portolan dev`: serves a directory of manifests on this machine and follows its changes.

mod banner;
mod handover;
mod session;

pub use banner::problems;

use crate::{modules::Modules, stage::Stage, state};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use handover::Handover;
use ipnet::IpNet;
use portolan_dev::{addresses::Layout, ca::Ca};
use portolan_proxy::Limits;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

/// How long a thread waits for more files to read before it ends.
const THREADS_REST: Duration = Duration::from_secs(1);

/// Exit codes: 0 ended as asked; 1 could not serve; 2 wrong use.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 ended as asked; 1 requests were cut off at the end; 2 could not start.")]
pub struct DevArgs {
    /// A directory of manifests (*.yaml, *.yml), or one file
    #[arg(required_unless_present = "print_ca", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Where addresses and the local CA are remembered [default: one for each DIR, below ~/.local/state/portolan]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Put everything on 127.0.0.1, each address and port on a port of its own
    #[arg(long)]
    single_address: bool,

    /// Run the commands of pod templates annotated portolan.dev/dev-command
    #[arg(long)]
    allow_commands: bool,

    /// Print the local CA's certificate and end
    #[arg(long)]
    print_ca: bool,

    /// Where the admin port listens [default: 127.0.0.1:15000, or the next free port]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,

    /// Worker threads [default: one for each core]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// Where requests are logged
    #[arg(long, value_enum, default_value_t = AccessLogTo::Off)]
    access_log: AccessLogTo,

    /// Set a limit by its name, such as header_timeout=5s or body_bytes_max=10Mi. May be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE")]
    limits: Vec<String>,

    /// Take over the sockets of the `portolan dev` that uses the same state directory, which then ends
    #[arg(long)]
    take_over: bool,

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

/// Runs until it is told to end.
pub fn run(args: DevArgs) -> Result<ExitCode> {
    let home = args.state_dir.clone().unwrap_or_else(state::home);
    if args.print_ca {
        print!("{}", Ca::open(&home)?.certificate_pem());
        return Ok(ExitCode::SUCCESS);
    }
    let directory = args.directory.clone().context("name a directory of manifests")?;
    let state_dir = args.state_dir.clone().unwrap_or_else(|| state::directory_of(&home, &directory));
    init_logging();
    raise_descriptor_limit();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // A thread that ends gives its memory back.
    let runtime = runtime.worker_threads(2).thread_keep_alive(THREADS_REST).enable_all().build()?;
    let ca = Ca::open(&home)?;
    runtime.block_on(async {
        let layout = if args.single_address { Layout::SingleAddress } else { Layout::detect() };
        let (handover, allocator) = Handover::begin(args.take_over, &state_dir, layout).await?;
        let allocator = Arc::new(allocator);
        let modules = Modules::new(Some(state_dir.join("modules")));
        let stage = Stage::new(allocator.clone(), ca, modules);
        session::run(args, session::Places { directory, state_dir }, handover, allocator, stage).await
    })
}

/// Listeners and connections take descriptors: as many as this process may have.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the number of open files stays limited");
    }
}

/// Limits with what the command line says of them.
fn limits(args: &DevArgs) -> Result<Limits> {
    let mut limits = Limits::default();
    for setting in &args.limits {
        let (name, value) = setting.split_once('=').with_context(|| format!("--limit {setting}: write NAME=VALUE"))?;
        limits.set(name, value)?;
    }
    Ok(limits)
}

fn init_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PORTOLAN_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
