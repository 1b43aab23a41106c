//! The binary `portolan`: reads the command line and hands over.

mod admin;
mod answers;
mod check;
mod cluster;
mod controller;
mod dev;
mod explain;
mod gateway;
mod heap;
mod modules;
mod request;
mod serving;
mod stage;
mod state;
mod status;
mod table;
mod yaml;

use dev::problems as dev_problems;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// A gateway and sidecarless service mesh for Kubernetes, extended with WebAssembly
#[derive(Parser)]
#[command(name = "portolan", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a directory of Kubernetes manifests on this machine, and follow its changes
    Dev(Box<dev::DevArgs>),
    /// Serve one Gateway of a Kubernetes cluster; the controller starts it
    Gateway(Box<gateway::GatewayArgs>),
    /// Write statuses, and run what each Gateway of a Kubernetes cluster needs
    Controller(controller::ControllerArgs),
    /// Say what would become of a directory of manifests, or what of a cluster does not work
    Check(check::CheckArgs),
    /// Say which route a request would take, and why the others lost
    Explain(explain::ExplainArgs),
    /// Send a request, knowing the names, addresses and CA of a running `portolan dev`
    Request(Box<request::Request>),
    /// Show listeners, routes, backends and filters of a running engine, or what a cluster has
    Status(status::StatusArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Dev(args) => dev::run(*args),
        Command::Gateway(args) => gateway::run(*args),
        Command::Controller(args) => controller::run(args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Request(args) => request::run(*args),
        Command::Status(args) => status::run(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "portolan", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("portolan: {error:#}");
        ExitCode::from(2)
    })
}
