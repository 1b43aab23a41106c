//! Plays the pods of a plan, and tells their endpoints. Starts what is new, leaves what is unchanged alone, and stops
//! what is gone after its endpoints are. Reads no manifest and routes nothing.

mod board;
mod playing;

#[cfg(test)]
mod tests;

use board::Board;
pub use board::{PodStatus, Slices};
use playing::{Leaving, Playing};

use crate::{
    QualifiedName,
    addresses::{AddressError, Allocator, Layout},
    command::Output,
    echo::{EchoError, FailCounters},
    workloads::{DEV_COMMAND, Note, Plan, Player, PodPlan},
};
use rustls::ServerConfig;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The certificate that an echo pod serves with, if it is to speak TLS.
pub type TlsFor = Arc<dyn Fn(&PodPlan) -> Option<Arc<ServerConfig>> + Send + Sync>;

/// How pods are played.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Gives pods their addresses.
    pub addresses: Arc<Allocator>,
    /// Whether the users' commands run.
    pub commands: Commands,
    /// Certificates of echo pods.
    pub tls: Option<TlsFor>,
    /// Time from when a pod's endpoints are gone to when it stops: others must have heard of it.
    pub leave: Duration,
    /// Time that a pod gets to finish what is under way.
    pub grace: Duration,
}

/// Whether the commands of `portolan.dev/dev-command` run.
#[derive(Clone, Debug)]
pub enum Commands {
    /// Echo servers play all pods.
    Refused,
    /// They run.
    Allowed {
        /// Where they run; in our own directory if absent.
        directory: Option<PathBuf>,
        /// Where their output goes.
        output: Output,
    },
}

/// A pod that could not be started; the next plan tries again.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// It has no address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// It cannot listen.
    #[error(transparent)]
    Echo(#[from] EchoError),
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// What is not played as it is written, the plan's own notes among them.
    pub notes: Vec<Note>,
    /// Pods that are not played at all.
    pub errors: Vec<(QualifiedName, PodError)>,
}

/// The pods that are played. Dropping it ends them at once.
pub struct Cluster {
    options: ClusterOptions,
    board: Arc<Board>,
    playing: BTreeMap<QualifiedName, Playing>,
    /// Pods that stop; a command starts again only once its predecessor is gone.
    leaving: HashMap<QualifiedName, JoinHandle<()>>,
    fails: FailCounters,
}

// === impl ClusterOptions ===

impl ClusterOptions {
    /// Echo servers without TLS, with the usual times.
    pub fn new(addresses: Arc<Allocator>) -> Self {
        Self {
            addresses,
            commands: Commands::Refused,
            tls: None,
            leave: Duration::from_millis(200),
            grace: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions").field("commands", &self.commands).finish_non_exhaustive()
    }
}

// === impl Cluster ===

impl Cluster {
    /// A cluster without pods.
    pub fn new(options: ClusterOptions) -> Self {
        Self {
            options,
            board: Arc::default(),
            playing: BTreeMap::new(),
            leaving: HashMap::new(),
            fails: FailCounters::default(),
        }
    }

    /// The EndpointSlices of the pods that are played, and their changes. A slice that did not change stays the same
    /// `Arc`.
    pub fn slices(&self) -> watch::Receiver<Slices> {
        self.board.subscribe()
    }

    /// Every pod that is played, in the order of their names.
    pub fn pods(&self) -> Vec<PodStatus> {
        self.board.pods()
    }

    /// Makes the pods those of the plan. Returns when their endpoints are published; commands that have not begun to
    /// listen follow later, and pods that are gone stop in the background. Must be called within a tokio runtime.
    pub fn apply(&mut self, plan: Plan) -> Applied {
        let mut applied = Applied { notes: plan.notes, errors: Vec::new() };
        let published = CancellationToken::new();
        let wanted: BTreeMap<QualifiedName, PodPlan> =
            plan.pods.into_iter().map(|pod| (pod.name.clone(), self.permitted(pod, &mut applied.notes))).collect();
        let gone: Vec<_> = self.playing.extract_if(.., |name, playing| !playing.can_become(wanted.get(name))).collect();
        for (name, playing) in gone {
            self.board.remove(&name);
            self.leave(name, playing, &published);
        }
        for (name, pod) in wanted {
            if let Err(error) = self.play(pod) {
                applied.errors.push((name, error));
            }
        }
        self.board.publish();
        published.cancel();
        if let Err(error) = self.options.addresses.save() {
            tracing::warn!(%error, "the pods' addresses may change");
        }
        applied
    }

    /// Stops all pods gracefully.
    pub async fn shutdown(mut self) {
        self.apply(Plan::default());
        for (_, stopped) in self.leaving.drain() {
            // An error means that its runtime is gone, and the pod with it.
            let _ = stopped.await;
        }
    }

    /// The pod as it may be played: a command that may not run is an echo server.
    fn permitted(&self, mut pod: PodPlan, notes: &mut Vec<Note>) -> PodPlan {
        if matches!((&self.options.commands, &pod.player), (Commands::Refused, Player::Command { .. })) {
            pod.player = Player::Echo;
            notes.push(Note {
                kind: "Pod",
                name: pod.name.clone(),
                field: format!("metadata.annotations[{DEV_COMMAND}]"),
                message: "an echo server plays the pod: commands run with --allow-commands only".to_owned(),
            });
        }
        pod
    }

    fn play(&mut self, pod: PodPlan) -> Result<(), PodError> {
        if let Some(playing) = self.playing.get_mut(&pod.name) {
            return playing.update(pod, &self.options, &self.board);
        }
        let address = self.options.addresses.pod(&pod.name)?.into();
        let name = pod.name.clone();
        let playing = match (&pod.player, &self.options.commands) {
            (Player::Command { .. }, Commands::Allowed { directory, output }) => {
                let previous = self.leaving.remove(&name);
                let place = playing::Place { address, directory: directory.clone(), output: output.clone() };
                Playing::command(pod, place, previous, &self.options, &self.board)
            }
            _ => Playing::echo(pod, address, &self.options, &self.fails, &self.board)?,
        };
        self.playing.insert(name, playing);
        Ok(())
    }

    /// Stops the pod in the background, after its endpoints are gone.
    fn leave(&mut self, name: QualifiedName, playing: Playing, published: &CancellationToken) {
        self.leaving.retain(|_, stopped| !stopped.is_finished());
        let leaving = Leaving {
            published: published.clone(),
            leave: self.options.leave,
            grace: self.options.grace,
            previous: self.leaving.remove(&name),
        };
        self.leaving.insert(name, tokio::spawn(leaving.stop(playing)));
    }

    fn is_single_address(options: &ClusterOptions) -> bool {
        options.addresses.layout() == Layout::SingleAddress
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("playing", &self.playing.keys()).finish_non_exhaustive()
    }
}
