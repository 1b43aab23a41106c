//! A command ends with the process that started it, even when that one is killed without a chance to clean up.

use portolan_dev::{
    QualifiedName,
    command::{Backoff, CommandPod, CommandSpec, Output},
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::{
    io::{BufRead, BufReader},
    net::Ipv4Addr,
    process::{Command, Stdio},
    time::Duration,
};

/// Without it nobody started the test below to be killed.
const STARTED_BY_TEST: &str = "PORTOLAN_LIFELINE_TEST";

/// Runs a command for ever; started by the test below in a process of its own.
#[test]
#[ignore = "runs until it is killed"]
fn starts_a_command_and_waits() {
    if std::env::var_os(STARTED_BY_TEST).is_none() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let _pod = CommandPod::start(CommandSpec {
            pod: QualifiedName::new("default", "pod-0"),
            // The second process is in the background, and a shell is between it and us.
            command: "sleep 1000 & echo child $!; sleep 1001".to_owned(),
            address: Ipv4Addr::LOCALHOST.into(),
            ports: Vec::new(),
            env: Vec::new(),
            directory: None,
            output: Output::new(std::io::stderr()),
            grace: Duration::from_secs(1),
            backoff: Backoff::default(),
        });
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_command_and_its_children_end_when_we_are_killed() {
    let mut ours = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "starts_a_command_and_waits", "--ignored", "--nocapture", "--test-threads=1"])
        .env(STARTED_BY_TEST, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(ours.stderr.take().unwrap()).lines();
    let child = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("pod-0 | child ")?.parse().ok());
    let child = Pid::from_raw(child.expect("the command tells its child")).unwrap();
    assert!(test_kill_process(child).is_ok());
    let pid = Pid::from_raw(i32::try_from(ours.id()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    ours.wait().unwrap();
    let is_gone = (0..3000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        has_ended(child)
    });
    assert!(is_gone, "process {child:?} lives on");
}

/// Nobody may be there to wait for an orphan in a container, so one that waits to be reaped has ended too.
fn has_ended(pid: Pid) -> bool {
    if test_kill_process(pid).is_err() {
        return true;
    }
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}
