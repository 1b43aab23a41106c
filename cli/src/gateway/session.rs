//! The life of a gateway's pod: views of the cluster come in, snapshots go to the engine.

use super::{
    GatewayArgs,
    edges::{EdgesOf, generations, selections},
};
use crate::{
    admin::Known,
    heap,
    modules::{Files, Modules},
    serving::Serving,
};
use anyhow::{Context, Result};
use portolan_proxy::listen::Listeners;
use portolan_source::{
    ObjectName,
    kubernetes::{Complaints, Follower, View, follow},
};
use std::{convert::Infallible, process::ExitCode, sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// How long nothing has changed when memory is given back.
const RESTS_AFTER: Duration = Duration::from_millis(1500);

struct Session {
    gateway: ObjectName,
    serving: Serving,
    edges: EdgesOf,
    modules: Modules,
    follower: Follower,
    complaints: Complaints,
    broken_filters: Complaints,
}

/// Runs until a signal.
pub async fn run(args: GatewayArgs) -> Result<ExitCode> {
    let gateway = ObjectName::new(&*args.namespace, &*args.name);
    let serving = Serving::start(&args.engine, Arc::new(Listeners::new()))?;
    serving.admin().clone().listen(args.engine.admin).await?;
    serving.admin().clone().listen_read_only(args.read_only).await?;
    let config =
        kube::Config::infer().await.context("no cluster: neither a ServiceAccount nor a kubeconfig is here")?;
    let client = kube::Client::try_from(config)?;
    let follower = follow(client, selections(&gateway, None), false);
    tracing::info!(%gateway, read_only = %args.read_only, "following the cluster");
    let edges = EdgesOf::new(gateway.clone());
    let modules = Modules::new(args.module_cache, Files::Refused);
    let (complaints, broken_filters) = (Complaints::default(), Complaints::default());
    let mut session = Session { gateway, serving, edges, modules, follower, complaints, broken_filters };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        never = session.follow() => match never? {},
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // It takes a moment until no node sends connections here any more; those that come meanwhile are served.
    tracing::info!(seconds = args.leaving, "ending: waiting until the Service has forgotten this pod");
    session.serving.admin().leaving(true);
    session.serving.retire();
    tokio::select! {
        never = session.follow() => match never? {},
        () = tokio::time::sleep(Duration::from_secs(args.leaving)) => {}
    }
    session.serving.admin().leaving(false);
    tracing::info!("ending: answering what is under way");
    let clean = session.serving.end(std::future::pending()).await;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

impl Session {
    async fn follow(&mut self) -> Result<Infallible> {
        loop {
            let view = self.follower.views.borrow_and_update().clone();
            self.complaints.tell(&view);
            // What was served before is served until all that it needs has been seen.
            if view.complete || self.serving.translation().is_some() {
                tokio::task::block_in_place(|| self.serve(&view));
            }
            tokio::select! {
                changed = self.follower.views.changed() => changed.context("the cluster is followed no longer")?,
                never = rest() => match never {},
            }
        }
    }

    /// Puts what is there now in force, once all that it refers to was seen or is known not to be had: a moment after it is
    /// referred to, the right to read it is often still under way, and what was served before needs none of it.
    fn serve(&mut self, view: &View) {
        let edges = self.edges.of(view, &mut self.modules);
        let translation = self.serving.translate(&view.objects, &edges);
        let wanted = selections(&self.gateway, Some(&translation));
        let settled = wanted.is_subset(&view.settled);
        self.follower.select(wanted);
        if !settled {
            return;
        }
        let filters = translation.snapshot.wasm_filters.iter();
        let failed = filters.filter_map(|one| Some((&one.name, edges.modules.get(&one.name)?.as_ref().err()?)));
        let broken = failed.map(|(name, failure)| format!("WasmFilter {name}: {failure}"));
        self.broken_filters.tell_all(broken.collect());
        let (_, failures) =
            self.serving.publish(translation, edges, &self.modules, |edges| Known { edges, ..Known::default() });
        self.serving.admin().loaded(generations(&view.objects));
        failures.iter().for_each(|error| tracing::error!(%error, "a listener is not served"));
    }
}

/// Gives memory back once nothing has changed for a while.
async fn rest() -> Infallible {
    tokio::time::sleep(RESTS_AFTER).await;
    heap::release();
    std::future::pending().await
}
