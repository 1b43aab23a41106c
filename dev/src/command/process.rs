//! One run of a command: its process group, and a guard that ends the group when we end, however we end.
//!
//! The guard is a shell that waits on a pipe which only this process holds open: when the kernel closes it, for
//! SIGKILL too, the guard kills the group. Unlike a parent-death signal this reaches grandchildren, works on macOS,
//! and does not depend on the thread that started the command. The command itself waits for a line on its standard
//! input until the guard runs, so there is no moment in which it runs unguarded. Only a process that leaves the group
//! (`setsid`) escapes.

use super::{CommandSpec, Exit, ports::Ports};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::{io, process::Stdio, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::{sleep, timeout},
};

/// `$1` is the command; it gets no standard input, as a pod gets none.
const GATED: &str = r#"read -r _ || exit 125; exec sh -c "$1" </dev/null"#;
/// `$1` is the process group; a line says that it has ended.
const GUARD: &str = r#"read -r _ || kill -s KILL -- "-$1""#;
/// How often a group that was told to end is looked at.
const GROUP_POLL: Duration = Duration::from_millis(20);
/// SIGKILL cannot be refused, but a process in the kernel may take its time.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// A command that runs.
pub(super) struct Process {
    child: Child,
    group: Group,
}

/// The process group; killed when dropped.
struct Group {
    id: Pid,
    guard: Child,
    /// Open as long as the group may live.
    lifeline: Option<ChildStdin>,
}

// === impl Process ===

impl Process {
    pub(super) fn start(spec: &CommandSpec, ports: &Ports) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", GATED, "sh", &spec.command])
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .envs(ports.variables())
            .env("POD_NAME", &spec.pod.name)
            .env("POD_NAMESPACE", &spec.pod.namespace)
            .env("POD_IP", spec.address.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &spec.directory {
            command.current_dir(directory);
        }
        let mut child = command.spawn()?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let id = id.expect("a child that was not waited for has a positive id");
        let group = Group::guard(id)?;
        let gate = child.stdin.take();
        let process = Self { child, group };
        open(gate);
        Ok(process)
    }

    pub(super) fn take_output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// Waits for the command, not for what it has left in its group.
    pub(super) async fn wait(&mut self) -> Exit {
        match self.child.wait().await {
            Ok(status) => Exit::of(status),
            Err(error) => Exit::NotStarted(error.to_string()),
        }
    }

    /// Asks the group to end, and ends what is left after `grace`.
    pub(super) async fn terminate(&mut self, grace: Duration) {
        // An error means that it has ended already.
        let _ = kill_process_group(self.group.id, Signal::TERM);
        let _ = timeout(grace, self.ended()).await;
        self.kill().await;
    }

    /// Ends what is left of the group.
    pub(super) async fn kill(&mut self) {
        let _ = kill_process_group(self.group.id, Signal::KILL);
        if timeout(KILL_WAIT, self.ended()).await.is_ok() {
            self.group.release().await;
        }
    }

    async fn ended(&mut self) {
        // First, as a process that nobody waited for stays in its group.
        let _ = self.child.wait().await;
        while test_kill_process_group(self.group.id).is_ok() {
            sleep(GROUP_POLL).await;
        }
    }
}

/// Lets the command begin.
fn open(gate: Option<ChildStdin>) {
    if let Some(mut gate) = gate {
        tokio::spawn(async move {
            // An error means that the command was killed before it began.
            let _ = gate.write_all(b"\n").await;
        });
    }
}

// === impl Group ===

impl Group {
    fn guard(id: Pid) -> io::Result<Self> {
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &id.as_raw_nonzero().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Out of reach of a terminal's interrupt, which is for us to handle.
            .process_group(0)
            .spawn();
        let mut guard = match guard {
            Ok(guard) => guard,
            Err(error) => {
                let _ = kill_process_group(id, Signal::KILL);
                return Err(error);
            }
        };
        let lifeline = guard.stdin.take();
        Ok(Self { id, guard, lifeline })
    }

    /// The group has ended: its id may soon be another's, and must not be killed again.
    async fn release(&mut self) {
        if let Some(mut lifeline) = self.lifeline.take() {
            let _ = lifeline.write_all(b"\n").await;
        }
        let _ = self.guard.wait().await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.lifeline.is_some() {
            // Not released, so the group has not been seen to end. The guard does the same once the pipe closes.
            let _ = kill_process_group(self.id, Signal::KILL);
        }
    }
}
