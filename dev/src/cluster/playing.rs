//! One pod that is played: an echo server, or a command and the task that follows its states.

use super::{Board, Cluster, ClusterOptions, PodError};
use crate::{
    PortKey,
    command::{Backoff, CommandPod, CommandSpec, CommandState, Output},
    echo::{Binding, EchoPod, EchoPort, EchoSpec, FailCounters, Identity},
    workloads::{PlayedPod, Player, PodCondition, PodPlan},
};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A pod that is played.
pub(super) enum Playing {
    Echo { address: IpAddr, pod: EchoPod, plan: PodPlan },
    Command { plan: PodPlan, stop: DropGuard, task: JoinHandle<()> },
}

/// Where and how a command runs.
pub(super) struct Place {
    pub address: IpAddr,
    pub directory: Option<PathBuf>,
    pub output: Output,
}

/// How a pod ends.
pub(super) struct Leaving {
    /// Cancelled once its endpoints are gone.
    pub published: CancellationToken,
    pub leave: Duration,
    pub grace: Duration,
    /// An earlier pod of the same name that still ends.
    pub previous: Option<JoinHandle<()>>,
}

// === impl Playing ===

impl Playing {
    pub(super) fn echo(
        plan: PodPlan,
        address: IpAddr,
        options: &ClusterOptions,
        fails: &FailCounters,
        board: &Board,
    ) -> Result<Self, PodError> {
        let pod = EchoPod::start(EchoSpec {
            identity: identity(&plan),
            address,
            ports: echo_ports(&plan, options),
            tls: options.tls.as_ref().and_then(|tls| tls(&plan)),
            fails: fails.clone(),
        })?;
        board.set(plan.clone(), Some(PlayedPod::ready(address, &pod.bound())));
        Ok(Self::Echo { address, pod, plan })
    }

    pub(super) fn command(
        plan: PodPlan,
        place: Place,
        previous: Option<JoinHandle<()>>,
        options: &ClusterOptions,
        board: &Arc<Board>,
    ) -> Self {
        let stop = CancellationToken::new();
        let spec = command_spec(&plan, place, options.grace);
        let life = board.set(plan.clone(), None);
        let (board, stopped) = (Arc::clone(board), stop.clone());
        let task = tokio::spawn(async move {
            if let Some(previous) = previous {
                // An error means that it has ended, in whatever way.
                let _ = previous.await;
            }
            let (name, address) = (spec.pod.clone(), spec.address);
            let pod = CommandPod::start(spec);
            let mut states = pod.states();
            let follow = async {
                loop {
                    let played = played(address, &states.borrow_and_update());
                    board.set_played(&name, life, played);
                    if states.changed().await.is_err() {
                        return;
                    }
                }
            };
            let _ = stopped.run_until_cancelled(follow).await;
            pod.stop().await;
        });
        Self::Command { plan, stop: stop.drop_guard(), task }
    }

    /// Whether the pod can go on as `wanted`.
    pub(super) fn can_become(&self, wanted: Option<&PodPlan>) -> bool {
        let Some(wanted) = wanted else { return false };
        match self {
            Self::Echo { .. } => wanted.player == Player::Echo,
            Self::Command { plan, .. } => plan.player == wanted.player && keys(plan) == keys(wanted),
        }
    }

    /// Goes on as `wanted`, which [`Playing::can_become`] allowed.
    pub(super) fn update(&mut self, wanted: PodPlan, options: &ClusterOptions, board: &Board) -> Result<(), PodError> {
        match self {
            Self::Echo { address, pod, plan } => {
                pod.set_identity(identity(&wanted));
                pod.set_tls(options.tls.as_ref().and_then(|tls| tls(&wanted)));
                let opened = pod.set_ports(&echo_ports(&wanted, options), options.leave);
                board.set(wanted.clone(), Some(PlayedPod::ready(*address, &pod.bound())));
                *plan = wanted;
                Ok(opened?)
            }
            Self::Command { plan, .. } => {
                board.set_plan(wanted.clone());
                *plan = wanted;
                Ok(())
            }
        }
    }

    async fn stop(self, grace: Duration) {
        match self {
            Self::Echo { pod, .. } => pod.stop(grace).await,
            Self::Command { stop, task, .. } => {
                drop(stop);
                // An error means that the task is gone, and the command with it.
                let _ = task.await;
            }
        }
    }
}

// === impl Leaving ===

impl Leaving {
    pub(super) async fn stop(self, playing: Playing) {
        self.published.cancelled().await;
        tokio::time::sleep(self.leave).await;
        playing.stop(self.grace).await;
        if let Some(previous) = self.previous {
            let _ = previous.await;
        }
    }
}

fn identity(plan: &PodPlan) -> Identity {
    Identity::new(plan.name.name.clone(), plan.name.namespace.clone(), plan.services())
}

fn keys(plan: &PodPlan) -> Vec<PortKey> {
    plan.ports.iter().map(|port| port.key).collect()
}

fn echo_ports(plan: &PodPlan, options: &ClusterOptions) -> Vec<EchoPort> {
    // On one address the numbers in the manifests belong to the first Gateway.
    let binding = if Cluster::is_single_address(options) { Binding::Any } else { Binding::Wanted };
    let port =
        |port: &crate::workloads::PodPort| EchoPort { number: port.key.number, protocol: port.protocol, binding };
    plan.ports.iter().map(port).collect()
}

fn command_spec(plan: &PodPlan, place: Place, grace: Duration) -> CommandSpec {
    let (command, env) = match &plan.player {
        Player::Command { command, env } => (command.clone(), env.clone()),
        // The caller looked; a shell without a command ends at once, which its state tells.
        Player::Echo => (String::new(), Vec::new()),
    };
    CommandSpec {
        pod: plan.name.clone(),
        command,
        address: place.address,
        ports: keys(plan),
        env,
        directory: place.directory,
        output: place.output,
        grace,
        backoff: Backoff::default(),
    }
}

/// Where endpoints find a command in this state.
fn played(pod: IpAddr, state: &CommandState) -> Option<PlayedPod> {
    match state {
        CommandState::Starting => {
            Some(PlayedPod { address: pod, ports: BTreeMap::new(), condition: PodCondition::Starting })
        }
        CommandState::Ready { address, ports } => {
            Some(PlayedPod { address: *address, ports: ports.clone(), condition: PodCondition::Ready })
        }
        CommandState::Exited { .. } | CommandState::Stopped => None,
    }
}
