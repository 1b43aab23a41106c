//! `portolan controller`: the Kubernetes side, in the cluster.

use crate::{modules::Modules, serving::init_logging};
use anyhow::{Context, Result};
use clap::Args;
use portolan_controller::{Options, Settings};
use std::{collections::BTreeSet, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

/// How gateways are run.
#[derive(Args)]
pub struct ControllerArgs {
    /// The image that gateways run
    #[arg(long, env = "PORTOLAN_GATEWAY_IMAGE")]
    gateway_image: String,

    /// When that image is pulled: IfNotPresent, Always or Never
    #[arg(long, env = "PORTOLAN_GATEWAY_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    gateway_image_pull_policy: String,
}

/// Runs until it is told to end.
pub fn run(args: ControllerArgs) -> Result<ExitCode> {
    init_logging("info");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let ended = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let config = kube::Config::infer().await;
        let config = config.context("no cluster: neither a ServiceAccount nor a kubeconfig is here")?;
        let client = kube::Client::try_from(config)?;
        let mut modules = Modules::new(None);
        let options = Options {
            settings: Settings { image: args.gateway_image, image_pull_policy: args.gateway_image_pull_policy },
            modules: Box::new(move |objects| modules.load(objects, &mut BTreeSet::new())),
        };
        tracing::info!("following the cluster");
        portolan_controller::run(client, options, ended).await
    })?;
    Ok(ExitCode::SUCCESS)
}
