//! `portolan controller`: the Kubernetes side, in the cluster.

use crate::{
    answers::{self, text, typed},
    modules::{Files, Modules},
    serving::init_logging,
};
use anyhow::{Context, Result};
use clap::Args;
use http::StatusCode;
use portolan_controller::{Health, Identity, Metrics, Options, Settings, set_up_fail_points};
use portolan_source::Objects;
use portolan_telemetry::metrics::PROMETHEUS_CONTENT_TYPE;
use portolan_translate::Reference;
use std::{collections::BTreeSet, net::SocketAddr, process::ExitCode};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// How gateways are run.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 ended as asked; 2 could not start, or another controller leads in its place.")]
pub struct ControllerArgs {
    /// The image that gateways run
    #[arg(long, env = "PORTOLAN_GATEWAY_IMAGE")]
    gateway_image: String,

    /// When that image is pulled: IfNotPresent, Always or Never
    #[arg(long, env = "PORTOLAN_GATEWAY_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    gateway_image_pull_policy: String,

    /// A Secret of a Gateway's namespace by which that image is pulled. May be repeated
    #[arg(long, value_name = "NAME")]
    gateway_image_pull_secret: Vec<String>,

    /// The ClusterRole of what every gateway watches; the binding that gives it to them has the same name
    #[arg(long, default_value = "portolan-gateway")]
    gateway_cluster_role: String,

    /// Name among several controllers; without one, this controller is alone
    #[arg(long, env = "POD_NAME", requires = "pod_namespace")]
    pod_name: Option<String>,

    /// Namespace of the Lease by which one of several controllers leads
    #[arg(long, env = "POD_NAMESPACE")]
    pod_namespace: Option<String>,

    /// Where health and metrics are told
    #[arg(long, value_name = "ADDR", default_value = "[::]:15020")]
    read_only: SocketAddr,
}

/// Runs until it is told to end.
pub fn run(args: ControllerArgs) -> Result<ExitCode> {
    init_logging("info");
    set_up_fail_points();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let ended = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let (health, told) = watch::channel(Health::default());
        let metrics = Metrics::default();
        tell_health(args.read_only, told, metrics.clone()).await?;
        let config = kube::Config::infer().await;
        let config = config.context("no cluster: neither a ServiceAccount nor a kubeconfig is here")?;
        let client = kube::Client::try_from(config)?;
        tracing::info!("following the cluster");
        portolan_controller::run(client, options(args, metrics), health, ended).await
    })?;
    Ok(ExitCode::SUCCESS)
}

fn options(args: ControllerArgs, metrics: Metrics) -> Options {
    let mut modules = Modules::new(None, Files::Refused);
    let load = move |objects: &Objects, forbidden: &BTreeSet<Reference>| {
        let mut outcomes = modules.load(objects, forbidden, &mut BTreeSet::new());
        // Whether a version before is run on, each gateway's pod knows for itself.
        outcomes.values_mut().filter_map(|outcome| outcome.as_mut().err()).for_each(|failure| failure.last = None);
        outcomes
    };
    Options {
        settings: Settings {
            image: args.gateway_image,
            image_pull_policy: args.gateway_image_pull_policy,
            image_pull_secrets: args.gateway_image_pull_secret,
            cluster_role: args.gateway_cluster_role,
        },
        identity: args.pod_namespace.zip(args.pod_name).map(|(namespace, name)| Identity { namespace, name }),
        modules: Box::new(load),
        metrics,
    }
}

/// Answers in the background. Who only waits to take over is ready too: it watches.
async fn tell_health(address: SocketAddr, health: watch::Receiver<Health>, metrics: Metrics) -> Result<()> {
    let listener = answers::listen(address).await;
    let listener = listener.with_context(|| format!("cannot listen on {address} (--read-only)"))?;
    tokio::spawn(answers::serve(listener, move |request| {
        let Health { complete, leading } = *health.borrow();
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if complete => text(StatusCode::OK, if leading { "leading\n" } else { "standing by\n" }),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "the cluster was not seen as a whole yet\n"),
            "/metrics" => typed(PROMETHEUS_CONTENT_TYPE, metrics.prometheus()),
            _ => text(StatusCode::NOT_FOUND, "there are /healthz /readyz /metrics\n"),
        }
    }));
    Ok(())
}
