//! The user's own command as a pod: `sh -c` in a process group of its own that ends with us, restarted with backoff,
//! routed to once it listens. Decides nothing about whether commands may run.
//!
//! # Environment
//! `PORT` is the real port of the pod's first port; `PORT_8080` (or `PORT_53_UDP`) that of each port by its number in
//! the manifest; `POD_NAME`, `POD_NAMESPACE`, `POD_IP`. A command that listens on `POD_IP`, on all addresses, or on
//! localhost (IPv4 or IPv6) is found.

mod output;
mod ports;
mod process;

#[cfg(test)]
pub(crate) mod tests;

use crate::{PortKey, QualifiedName};
use output::Lines;
pub use output::Output;
use ports::Ports;
use process::Process;
use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, pin::pin, process::ExitStatus, time::Duration};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A pod played by a command.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    /// The pod.
    pub pod: QualifiedName,
    /// For `sh -c`.
    pub command: String,
    /// The pod's address.
    pub address: IpAddr,
    /// The ports of the pod, the one for `PORT` first.
    pub ports: Vec<PortKey>,
    /// Variables besides those that are always set, which win.
    pub env: Vec<(String, String)>,
    /// Where it runs; ours if absent.
    pub directory: Option<PathBuf>,
    /// Where its output goes, line by line after the pod's name.
    pub output: Output,
    /// Time from SIGTERM to SIGKILL.
    pub grace: Duration,
    /// Pauses between a command's end and its next start.
    pub backoff: Backoff,
}

/// Pauses that double from `first` to `max`, and begin again once the command has run for longer than `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first exit.
    pub first: Duration,
    /// The longest.
    pub max: Duration,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandState {
    /// It runs, and does not listen yet.
    Starting,
    /// It accepts connections.
    Ready {
        /// Where: the pod's address, or a localhost that the command preferred.
        address: IpAddr,
        /// Real port by the manifest's port.
        ports: BTreeMap<PortKey, u16>,
    },
    /// It has ended, or could not be started.
    Exited {
        /// How.
        exit: Exit,
        /// When it starts again.
        next_start: Instant,
    },
    /// It was stopped, and does not start again.
    Stopped,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started.
    NotStarted(String),
}

/// A command that runs until [`CommandPod::stop`]; dropping it stops it in the background.
#[derive(Debug)]
pub struct CommandPod {
    states: watch::Receiver<CommandState>,
    stop: DropGuard,
    task: JoinHandle<()>,
}

enum Ended {
    Exited(Exit),
    Stopped,
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

impl Backoff {
    fn after(self, pause: Option<Duration>, ran: Duration) -> Duration {
        match pause {
            Some(pause) if ran <= self.max => (pause * 2).min(self.max),
            _ => self.first,
        }
    }
}

// === impl CommandPod ===

impl CommandPod {
    /// Starts the command. Must be called within a tokio runtime.
    pub fn start(spec: CommandSpec) -> Self {
        let (sender, states) = watch::channel(CommandState::Starting);
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(spec, sender, stop.clone()));
        Self { states, stop: stop.drop_guard(), task }
    }

    /// The command's state, and its changes.
    pub fn states(&self) -> watch::Receiver<CommandState> {
        self.states.clone()
    }

    /// SIGTERM to all its processes, SIGKILL to what is left after the grace time; returns when none is left.
    pub async fn stop(self) {
        drop(self.stop);
        // The task only ends early if its runtime does, which kills the processes too.
        let _ = self.task.await;
    }
}

async fn run(spec: CommandSpec, states: watch::Sender<CommandState>, stop: CancellationToken) {
    let mut pause = None;
    loop {
        let started = Instant::now();
        states.send_replace(CommandState::Starting);
        let exit = match run_once(&spec, &states, &stop).await {
            Ended::Exited(exit) => exit,
            Ended::Stopped => break,
        };
        let next = spec.backoff.after(pause, started.elapsed());
        pause = Some(next);
        spec.output.say(&spec.pod, &format!("the command {exit}; it starts again in {next:?}")).await;
        states.send_replace(CommandState::Exited { exit, next_start: Instant::now() + next });
        if stop.run_until_cancelled(tokio::time::sleep(next)).await.is_none() {
            break;
        }
    }
    states.send_replace(CommandState::Stopped);
}

async fn run_once(spec: &CommandSpec, states: &watch::Sender<CommandState>, stop: &CancellationToken) -> Ended {
    let not_started = |error: std::io::Error| Ended::Exited(Exit::NotStarted(error.to_string()));
    let ports = match Ports::choose(spec.address, &spec.ports) {
        Ok(ports) => ports,
        Err(error) => return not_started(error),
    };
    let mut process = match Process::start(spec, &ports) {
        Ok(process) => process,
        Err(error) => return not_started(error),
    };
    let lines = Lines::follow(&spec.output, &spec.pod, &mut process);
    let ended = {
        let run = async {
            let ready = async {
                let address = ports.accepting(spec.address).await;
                states.send_replace(CommandState::Ready { address, ports: ports.real.clone() });
            };
            // A command may end before it listens, and listens until it ends.
            let mut exit = pin!(process.wait());
            tokio::select! {
                exit = &mut exit => exit,
                () = ready => exit.await,
            }
        };
        stop.run_until_cancelled(run).await.map_or(Ended::Stopped, Ended::Exited)
    };
    match ended {
        // What the command left behind in its group would keep the port.
        Ended::Exited(_) => process.kill().await,
        Ended::Stopped => process.terminate(spec.grace).await,
    }
    lines.finish().await;
    ended
}

// === impl Exit ===

impl Exit {
    fn of(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        match status.code() {
            Some(code) => Self::Code(code),
            None => Self::Signal(status.signal().unwrap_or(0)),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::NotStarted(reason) => write!(f, "could not be started ({reason})"),
        }
    }
}
