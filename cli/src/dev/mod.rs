//! `portolan dev`: serves a directory of manifests on this machine and follows its changes.

mod banner;
mod handover;
mod session;

pub use banner::problems;

use crate::{
    modules::{Files, Modules},
    serving::{EngineArgs, init_logging, raise_descriptor_limit},
    stage::Stage,
    state,
};
use anyhow::{Context, Result};
use clap::Args;
use handover::Handover;
use portolan_dev::{addresses::Layout, ca::Ca};
use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

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

    /// Take over the sockets of the `portolan dev` that uses the same state directory, which then ends
    #[arg(long)]
    take_over: bool,

    #[command(flatten)]
    engine: EngineArgs,
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
    init_logging("warn");
    raise_descriptor_limit();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // A thread that ends gives its memory back.
    let runtime = runtime.worker_threads(2).thread_keep_alive(THREADS_REST).enable_all().build()?;
    let ca = Ca::open(&home)?;
    runtime.block_on(async {
        let layout = if args.single_address { Layout::SingleAddress } else { Layout::detect() };
        let (handover, allocator) = Handover::begin(args.take_over, &state_dir, layout).await?;
        let allocator = Arc::new(allocator);
        let modules = Modules::new(Some(state_dir.join("modules")), Files::Read);
        let stage = Stage::new(allocator.clone(), ca, modules);
        session::run(args, session::Places { directory, state_dir }, handover, allocator, stage).await
    })
}
