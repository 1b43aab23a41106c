//! The life of one `dev`: objects and endpoints come in, snapshots go to the engine, the user is told.

use super::{DevArgs, banner, handover::Handover};
use crate::{
    admin::Known,
    heap,
    serving::Serving,
    stage::{Set, Stage},
    state::Running,
};
use anyhow::{Context, Result};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use portolan_dev::{
    QualifiedName,
    addresses::Allocator,
    cluster::{Cluster, ClusterOptions, Commands},
    workloads::{self, Workloads},
};
use portolan_proxy::listen::BindError;
use portolan_source::{
    Directory, Loaded, ObjectName,
    watch::{self, Watch},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// How long nothing has changed when memory is given back: until then workers may hold what was served before.
const RESTS_AFTER: Duration = Duration::from_millis(1500);

/// Where a session has its files.
pub struct Places {
    /// The manifests.
    pub directory: PathBuf,
    /// What is remembered.
    pub state_dir: PathBuf,
}

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By a signal.
    Asked,
    /// Another process serves on.
    TakenOver,
}

/// Everything that a session drives.
struct Session {
    stage: Stage,
    serving: Serving,
    cluster: Cluster,
    told: banner::Told,
}

/// Runs until a signal.
pub async fn run(
    args: DevArgs,
    places: Places,
    mut handover: Handover,
    allocator: Arc<Allocator>,
    stage: Stage,
) -> Result<ExitCode> {
    let Places { directory, state_dir } = places;
    let serving = Serving::start(&args.engine, handover.listeners.clone())?;
    let admin_address = serving.admin().clone().listen(args.engine.admin).await?;
    let running = Running { pid: std::process::id(), admin: admin_address, directory: directory.canonicalize()? };
    running.write(&state_dir)?;
    let cluster = Cluster::new(cluster_options(&args, allocator));
    let told = banner::Told::new(admin_address, directory.clone());
    let mut session = Session { stage, serving, cluster, told };
    let watched = tokio::task::spawn_blocking(move || Directory::new(directory));
    let watch = watch::start(watched.await?, watch::Options::default());
    let end = session.follow(watch, &mut handover).await?;
    if end == End::Asked {
        Running::remove(&state_dir);
    }
    let clean = session.end().await;
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn cluster_options(args: &DevArgs, allocator: Arc<Allocator>) -> ClusterOptions {
    let mut options = ClusterOptions::new(allocator);
    if args.allow_commands {
        options.commands =
            Commands::Allowed { directory: None, output: portolan_dev::command::Output::new(std::io::stdout()) };
    }
    options
}

impl Session {
    /// Follows the directory and the pods until a signal.
    async fn follow(&mut self, mut watch: Watch, handover: &mut Handover) -> Result<End> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut slices = self.cluster.slices();
        let mut pods = BTreeSet::new();
        let mut taken_over = None;
        loop {
            let loaded = watch.loaded.borrow_and_update().clone();
            if self.told.is_new(&loaded) {
                pods = self.play(&loaded);
            }
            let current = slices.borrow_and_update().clone();
            self.serve(&loaded, &current, &pods).await?;
            handover.serving().await;
            let mut taken_over = taken_over.get_or_insert_with(|| Box::pin(handover.taken_over_by_next()));
            tokio::select! {
                _ = terminate.recv() => return Ok(End::Asked),
                _ = interrupt.recv() => return Ok(End::Asked),
                () = &mut taken_over => return Ok(End::TakenOver),
                changed = watch.loaded.changed() => changed.context("the watch has ended")?,
                _ = slices.changed() => {}
                never = rest() => match never {},
            }
        }
    }

    /// Starts and stops pods; gives remarks about them.
    fn play(&mut self, loaded: &Loaded) -> BTreeSet<String> {
        let objects = &loaded.objects;
        let plan = workloads::plan(&Workloads {
            deployments: objects.deployments.values().map(|one| &**one).collect(),
            stateful_sets: objects.stateful_sets.values().map(|one| &**one).collect(),
            daemon_sets: objects.daemon_sets.values().map(|one| &**one).collect(),
            pods: objects.pods.values().map(|one| &**one).collect(),
            services: objects.services.values().map(|one| &**one).collect(),
        });
        let applied = self.cluster.apply(plan);
        let notes =
            applied.notes.iter().map(|note| format!("{} {}: {}: {}", note.kind, note.name, note.field, note.message));
        let errors = applied.errors.iter().map(|(pod, error)| format!("Pod {pod} is not played: {error}"));
        notes.chain(errors).collect()
    }

    /// Puts what is there now in force.
    async fn serve(
        &mut self,
        loaded: &Arc<Loaded>,
        slices: &BTreeMap<QualifiedName, Arc<EndpointSlice>>,
        pods: &BTreeSet<String>,
    ) -> Result<()> {
        let named = slices.iter().map(|(name, slice)| (ObjectName::new(&*name.namespace, &*name.name), slice));
        // Compiling a module takes a while; the other tasks of this runtime go on meanwhile.
        let Set { objects, edges, mut notes, names } =
            tokio::task::block_in_place(|| self.stage.set(&loaded.objects, named));
        notes.extend(pods.iter().cloned());
        let modules = self.stage.modules();
        let ca = self.stage.ca().certificate_path();
        let known = |edges| Known { services: names, edges, ca: Some(ca) };
        let (translation, failures) = tokio::task::block_in_place(|| {
            let translation = self.serving.translate(&objects, &edges);
            self.serving.publish(translation, edges, modules, known)
        });
        notes.extend(failures.iter().map(BindError::to_string));
        self.told.tell(loaded, translation, &notes);
        Ok(())
    }

    /// Answers what is under way, then ends.
    async fn end(self) -> bool {
        let Self { serving, cluster, .. } = self;
        eprintln!("ending: answering what is under way (again to end at once)");
        let again = async {
            match signal(SignalKind::interrupt()) {
                Ok(mut interrupt) => drop(interrupt.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        let clean = serving.end(again).await;
        cluster.shutdown().await;
        clean
    }
}

/// Gives memory back once nothing has changed for a while.
async fn rest() -> Infallible {
    tokio::time::sleep(RESTS_AFTER).await;
    heap::release();
    std::future::pending().await
}

/// The directory as the user wrote it.
pub fn shown(directory: &Path) -> String {
    directory.display().to_string()
}
