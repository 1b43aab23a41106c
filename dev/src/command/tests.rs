//! Tests of commands with real processes. None depends on how long something takes, but all give up at some time.

use super::*;
use crate::PortKey;
use std::{
    io::{self, Write},
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

const LONG: Duration = Duration::from_secs(30);

/// A command that listens: this test program, which runs only the test below.
pub(crate) fn listening() -> String {
    let program = std::env::current_exe().unwrap();
    format!("exec '{}' --exact command::tests::serves_as_a_command --ignored --nocapture", program.display())
}

#[test]
#[ignore = "runs until it is killed"]
fn serves_as_a_command() {
    let variable = |name| std::env::var(name);
    // Without these nobody runs it as a command, but all ignored tests.
    let Ok(address) = variable("BIND").or_else(|_| variable("POD_IP")) else { return };
    let address: IpAddr = address.parse().unwrap();
    let port: u16 = variable("PORT").unwrap().parse().unwrap();
    let word = variable("WORD").or_else(|_| variable("POD_NAME")).unwrap();
    let listener = std::net::TcpListener::bind((address, port)).unwrap();
    // A new line, as the test harness has begun one.
    println!("\nlistening");
    loop {
        // Whoever only looks whether it listens may be gone by now.
        if let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.write_all(word.as_bytes());
        }
    }
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    async fn contains(&self, text: &str) -> String {
        for _ in 0..3000 {
            let all = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
            if all.contains(text) {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {text:?} in {:?}", String::from_utf8_lossy(&self.0.lock().unwrap()));
    }
}

fn spec(command: &str, memory: &Memory) -> CommandSpec {
    CommandSpec {
        pod: QualifiedName::new("shop", "cart-0"),
        command: command.to_owned(),
        address: Ipv4Addr::LOCALHOST.into(),
        ports: vec![PortKey::tcp(8080), PortKey::udp(53)],
        env: Vec::new(),
        directory: None,
        output: Output::new(memory.clone()),
        grace: LONG,
        backoff: Backoff { first: Duration::from_millis(1), max: Duration::from_millis(4) },
    }
}

async fn ready(pod: &CommandPod) -> (IpAddr, u16) {
    let mut states = pod.states();
    let ready = states.wait_for(|state| matches!(state, CommandState::Ready { .. }));
    match &*timeout(LONG, ready).await.unwrap().unwrap() {
        CommandState::Ready { address, ports } => (*address, ports[&PortKey::tcp(8080)]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_is_ready_once_it_listens_and_gone_once_stopped() {
    let memory = Memory::default();
    let pod = CommandPod::start(spec(&listening(), &memory));
    let address = ready(&pod).await;
    let mut answer = String::new();
    TcpStream::connect(address).await.unwrap().read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "cart-0");
    memory.contains("cart-0 | listening\n").await;
    let states = pod.states();
    timeout(LONG, pod.stop()).await.unwrap();
    assert_eq!(*states.borrow(), CommandState::Stopped);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_command_that_only_knows_localhost_is_found_there() {
    if crate::addresses::Layout::detect() == crate::addresses::Layout::SingleAddress {
        return;
    }
    let mut spec = spec(&listening(), &Memory::default());
    spec.address = Ipv4Addr::new(127, 77, 3, 9).into();
    spec.env = vec![("BIND".into(), "127.0.0.1".into())];
    let pod = CommandPod::start(spec);
    assert_eq!(ready(&pod).await.0, IpAddr::V4(Ipv4Addr::LOCALHOST));
    pod.stop().await;
}

#[tokio::test]
async fn the_environment_names_the_pod_and_its_ports() {
    let memory = Memory::default();
    let mut spec = spec("env; exec sleep 100", &memory);
    spec.env = vec![("COLOR".into(), "blue".into()), ("POD_NAME".into(), "lie".into())];
    let pod = CommandPod::start(spec);
    memory.contains("COLOR=blue").await;
    memory.contains("POD_NAME=cart-0").await;
    memory.contains("POD_NAMESPACE=shop").await;
    memory.contains("POD_IP=127.0.0.1").await;
    memory.contains("PORT_53_UDP=").await;
    let all = memory.contains("PORT_8080=").await;
    let value = |name: &str| all.split(name).nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned);
    assert_eq!(value("| PORT="), value("PORT_8080="));
    pod.stop().await;
}

#[tokio::test]
async fn a_command_that_exits_is_started_again_after_a_growing_pause() {
    let memory = Memory::default();
    let mut spec = spec("echo run; exit 7", &memory);
    // On a busy machine a run takes longer than the usual longest pause, and would begin the pauses anew.
    spec.backoff.max = LONG;
    let pod = CommandPod::start(spec);
    let mut states = pod.states();
    let exited = states.wait_for(|state| matches!(state, CommandState::Exited { exit: Exit::Code(7), .. }));
    timeout(LONG, exited).await.unwrap().unwrap();
    let all = memory.contains("starts again in 4ms").await;
    assert!(all.contains("ended with code 7; it starts again in 1ms") && all.matches("| run\n").count() >= 3, "{all}");
    pod.stop().await;
}

#[tokio::test]
async fn what_ignores_sigterm_is_killed_with_its_children() {
    let memory = Memory::default();
    let mut spec = spec("trap '' TERM; sleep 1000 & echo child $!; while :; do sleep 1; done", &memory);
    spec.grace = Duration::from_millis(50);
    let pod = CommandPod::start(spec);
    let all = memory.contains("child ").await;
    let child: i32 = all.split("child ").nth(1).unwrap().trim().parse().unwrap();
    timeout(LONG, pod.stop()).await.unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    assert!(rustix::process::test_kill_process(child).is_err());
}

#[tokio::test]
async fn a_command_that_cannot_start_says_why() {
    let memory = Memory::default();
    let mut spec = spec("true", &memory);
    spec.directory = Some("/nonexistent".into());
    let pod = CommandPod::start(spec);
    memory.contains("could not be started").await;
    pod.stop().await;
}

#[tokio::test]
async fn long_and_unfinished_lines_come_in_pieces() {
    let memory = Memory::default();
    let pod = CommandPod::start(spec("head -c 20000 /dev/zero | tr '\\0' x; exec sleep 100", &memory));
    let all = memory.contains("x\n").await;
    assert_eq!(all.trim_end().trim_start_matches("cart-0 | ").len(), 16 * 1024);
    pod.stop().await;
    let all = memory.contains("x\ncart-0 | x").await;
    assert_eq!(all.bytes().filter(|byte| *byte == b'x').count(), 20_000);
}

#[test]
fn pauses_double_up_to_the_longest_and_begin_again_after_a_long_run() {
    let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(5) };
    let mut pause = None;
    let mut next = |ran| {
        pause = Some(backoff.after(pause, Duration::from_secs(ran)));
        pause.unwrap().as_secs()
    };
    assert_eq!([next(0), next(0), next(0), next(0), next(6)], [1, 2, 4, 5, 1]);
}
