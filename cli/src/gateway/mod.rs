//! `portolan gateway`: serves one Gateway of a cluster. It follows the cluster itself, so that it stays current with no
//! controller, and serves what it saw last while the API server is away.

mod edges;
mod session;

use crate::serving::{EngineArgs, init_logging, raise_descriptor_limit};
use anyhow::Result;
use clap::Args;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Which Gateway is served, and how.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 ended as asked; 1 requests were cut off at the end; 2 could not start.")]
pub struct GatewayArgs {
    /// The Gateway's name
    #[arg(long, env = "PORTOLAN_GATEWAY_NAME")]
    name: String,

    /// The Gateway's namespace
    #[arg(long, env = "PORTOLAN_GATEWAY_NAMESPACE")]
    namespace: String,

    /// Where health, metrics and loaded generations are told, to the cluster
    #[arg(long, value_name = "ADDR", default_value = "[::]:15020")]
    read_only: SocketAddr,

    /// Where compiled Wasm modules are kept; nowhere unless it is given
    #[arg(long, value_name = "DIR")]
    module_cache: Option<PathBuf>,

    /// Seconds for which connections are still taken once it is to end: until whoever sends them has heard of it
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    leaving: u64,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs until it is told to end.
pub fn run(args: GatewayArgs) -> Result<ExitCode> {
    init_logging("info");
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(session::run(args))
}
