//! `portolan check`: what would become of a directory of manifests, without serving it.

use crate::{
    admin::client,
    cluster, dev_problems,
    modules::{Files, Modules},
    stage::Stage,
};
use anyhow::Result;
use clap::{Args, ValueEnum};
use portolan_dev::{
    addresses::{Allocator, Layout},
    ca::Ca,
};
use portolan_source::{Directory, Loaded};
use portolan_translate::{Translation, translate};
use std::{path::PathBuf, process::ExitCode, sync::Arc};

/// What would become of a directory of manifests.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 everything is accepted and resolved; 1 something is not; 2 wrong use.")]
pub struct CheckArgs {
    /// A directory of manifests (*.yaml, *.yml), or one file
    #[arg(value_name = "DIR", required_unless_present = "cluster")]
    directory: Option<PathBuf>,

    /// Check the cluster that the kubeconfig names: what it has and lacks, and what of its objects does not work
    #[arg(long, conflicts_with = "directory")]
    cluster: bool,

    /// Print the objects' statuses instead of the problems
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

/// A form of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Checks a directory.
pub fn run(args: &CheckArgs) -> Result<ExitCode> {
    let Some(directory) = &args.directory else { return check_cluster(args.output) };
    anyhow::ensure!(directory.exists(), "{} does not exist", directory.display());
    let (loaded, translation) = translated(directory.clone())?;
    let problems = dev_problems(&loaded, &translation);
    match args.output {
        None => {
            problems.iter().for_each(|problem| println!("{problem}"));
            let objects = translation.statuses.objects().count();
            match problems.len() {
                0 => println!("{objects} objects: everything is accepted and resolved"),
                count => {
                    println!("{objects} objects with a status, {count} problem{}", if count == 1 { "" } else { "s" })
                }
            }
        }
        Some(output) => {
            let statuses: Vec<_> = translation.statuses.objects().collect();
            print_as(output, &serde_json::json!({ "problems": loaded.problems, "objects": statuses }))?;
        }
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn check_cluster(output: Option<Output>) -> Result<ExitCode> {
    let findings = client::block_on(cluster::check::findings())?;
    match output {
        None => findings.iter().for_each(|finding| println!("{finding}")),
        Some(output) => print_as(output, &serde_json::json!({ "findings": findings }))?,
    }
    let bad = findings.iter().any(|finding| finding.verdict == cluster::check::Verdict::Problem);
    Ok(if bad { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn print_as(output: Output, value: &serde_json::Value) -> Result<()> {
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(value)?),
        Output::Yaml => print!("{}", crate::yaml::to_yaml(value)),
    }
    Ok(())
}

/// Reads and translates a directory as `dev` would, leaving no trace on this machine.
pub fn translated(directory: PathBuf) -> Result<(Loaded, Translation)> {
    let loaded = Directory::new(directory).load();
    let scratch = tempfile::tempdir()?;
    let allocator = Arc::new(Allocator::open(scratch.path(), Layout::detect())?);
    let mut stage = Stage::new(allocator, Ca::open(scratch.path())?, Modules::new(None, Files::Read));
    let set = stage.set(&loaded.objects, std::iter::empty());
    let translation = translate(&set.objects, &set.edges, None);
    Ok((loaded, translation))
}
