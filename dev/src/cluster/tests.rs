//! Tests of the cluster: pods come, stay, change and go, and their endpoints with them.

use super::*;
use crate::{
    PortKey,
    echo::EchoProtocol,
    workloads::{Membership, MembershipPort, PodCondition, PodPort},
};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const LONG: Duration = Duration::from_secs(30);

fn pod(name: &str, services: &[&str], port: u16, player: Player) -> PodPlan {
    let key = PortKey::tcp(port);
    let member = |service: &&str| Membership {
        service: (*service).to_owned(),
        publishes_not_ready: false,
        ports: vec![MembershipPort { name: Some("main".into()), app_protocol: None, target: key }],
    };
    PodPlan {
        name: QualifiedName::new("default", name),
        labels: BTreeMap::new(),
        ports: vec![PodPort { key, name: None, protocol: EchoProtocol::Auto }],
        player,
        memberships: services.iter().map(member).collect(),
    }
}

fn echo(name: &str, services: &[&str]) -> PodPlan {
    pod(name, services, 18080, Player::Echo)
}

fn plan(pods: impl Into<Vec<PodPlan>>) -> Plan {
    Plan { pods: pods.into(), notes: Vec::new() }
}

fn cluster(state: &tempfile::TempDir, layout: Layout, change: impl FnOnce(&mut ClusterOptions)) -> Cluster {
    let mut options = ClusterOptions::new(Arc::new(Allocator::open(state.path(), layout).unwrap()));
    options.leave = Duration::from_millis(1);
    change(&mut options);
    Cluster::new(options)
}

/// Address of the first endpoint of a slice.
fn endpoint(slices: &Slices, name: &str) -> Option<SocketAddr> {
    let slice = slices.get(&QualifiedName::new("default", name))?;
    let port = slice.ports.as_ref()?.first()?.port?;
    Some(SocketAddr::new(slice.endpoints[0].addresses[0].parse().unwrap(), u16::try_from(port).unwrap()))
}

async fn who(address: SocketAddr) -> io::Result<serde_json::Value> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"WHO\n").await?;
    stream.shutdown().await?;
    let mut line = String::new();
    stream.read_to_string(&mut line).await?;
    Ok(serde_json::from_str(&line)?)
}

#[tokio::test]
async fn pods_come_stay_and_go_with_their_endpoints() {
    let state = tempfile::tempdir().unwrap();
    let mut cluster = cluster(&state, Layout::detect(), |_| {});
    let slices = cluster.slices();
    assert!(cluster.apply(plan([echo("a-0", &["a"]), echo("b-0", &["b"])])).errors.is_empty());
    let first = slices.borrow().clone();
    let (a, b) = (endpoint(&first, "a.a-0").unwrap(), endpoint(&first, "b.b-0").unwrap());
    assert_ne!(a, b);
    assert_eq!(who(a).await.unwrap()["pod"], "a-0");

    cluster.apply(plan([echo("a-0", &["a"]), echo("c-0", &["a"])]));
    let second = slices.borrow().clone();
    assert_eq!(second.len(), 2);
    let name = QualifiedName::new("default", "a.a-0");
    assert!(Arc::ptr_eq(&first[&name], &second[&name]), "an unchanged slice is the same");
    assert_eq!(who(endpoint(&second, "a.c-0").unwrap()).await.unwrap()["pod"], "c-0");

    cluster.shutdown().await;
    assert!(slices.borrow().is_empty());
    assert!(who(a).await.is_err() && who(b).await.is_err());
}

#[tokio::test]
async fn a_pod_selected_anew_keeps_its_connections() {
    let state = tempfile::tempdir().unwrap();
    let mut cluster = cluster(&state, Layout::detect(), |_| {});
    cluster.apply(plan([echo("a-0", &["a"])]));
    let address = endpoint(&cluster.slices().borrow(), "a.a-0").unwrap();
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"one").await.unwrap();
    let mut bytes = [0; 3];
    open.read_exact(&mut bytes).await.unwrap();
    cluster.apply(plan([echo("a-0", &["a", "b"])]));
    assert_eq!(endpoint(&cluster.slices().borrow(), "b.a-0"), Some(address));
    assert_eq!(who(address).await.unwrap()["services"], serde_json::json!(["a", "b"]));
    open.write_all(b"two").await.unwrap();
    open.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"two");
    drop(open);
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_pod_whose_port_changes_listens_on_the_new_one_only() {
    let state = tempfile::tempdir().unwrap();
    let mut cluster = cluster(&state, Layout::detect(), |_| {});
    cluster.apply(plan([echo("a-0", &["a"])]));
    let before = endpoint(&cluster.slices().borrow(), "a.a-0").unwrap();
    cluster.apply(plan([pod("a-0", &["a"], 18081, Player::Echo)]));
    let after = endpoint(&cluster.slices().borrow(), "a.a-0").unwrap();
    assert_ne!(before, after);
    who(after).await.unwrap();
    let closed = async {
        while who(before).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, closed).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn on_a_single_address_pods_of_the_same_port_have_ports_of_their_own() {
    let state = tempfile::tempdir().unwrap();
    let mut cluster = cluster(&state, Layout::SingleAddress, |_| {});
    cluster.apply(plan([echo("a-0", &["a"]), echo("a-1", &["a"])]));
    let slices = cluster.slices().borrow().clone();
    let (one, two) = (endpoint(&slices, "a.a-0").unwrap(), endpoint(&slices, "a.a-1").unwrap());
    assert_eq!(one.ip(), two.ip());
    assert_eq!(who(one).await.unwrap()["pod"], "a-0");
    assert_eq!(who(two).await.unwrap()["pod"], "a-1");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_command_does_not_run_unless_commands_are_allowed() {
    let state = tempfile::tempdir().unwrap();
    let mut cluster = cluster(&state, Layout::detect(), |_| {});
    let player = Player::Command { command: "exit 1".into(), env: Vec::new() };
    let applied = cluster.apply(plan([pod("a-0", &["a"], 18080, player)]));
    assert!(applied.notes[0].to_string().contains("--allow-commands"), "{applied:?}");
    assert_eq!(who(endpoint(&cluster.slices().borrow(), "a.a-0").unwrap()).await.unwrap()["pod"], "a-0");
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_command_is_ready_in_the_endpoints_once_it_listens_and_is_replaced_when_it_changes() {
    let state = tempfile::tempdir().unwrap();
    let mut cluster = cluster(&state, Layout::detect(), |options| {
        options.commands = Commands::Allowed { directory: None, output: Output::new(io::sink()) };
    });
    let command = |word: &str| {
        let env = vec![("WORD".to_owned(), word.to_owned())];
        plan([pod("a-0", &["a"], 18080, Player::Command { command: crate::command::tests::listening(), env })])
    };
    let mut slices = cluster.slices();
    for word in ["first", "second"] {
        cluster.apply(command(word));
        if let Some(status) = cluster.pods().first() {
            assert_ne!(status.condition(), Some(PodCondition::Ready));
        }
        let ready = slices.wait_for(|slices| endpoint(slices, "a.a-0").is_some());
        let address = endpoint(&timeout(LONG, ready).await.unwrap().unwrap().clone(), "a.a-0").unwrap();
        let mut answer = String::new();
        TcpStream::connect(address).await.unwrap().read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, word);
    }
    timeout(LONG, cluster.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_pod_that_goes_finishes_the_request_under_way() {
    let state = tempfile::tempdir().unwrap();
    let mut cluster = cluster(&state, Layout::detect(), |_| {});
    cluster.apply(plan([echo("a-0", &["a"])]));
    let address = endpoint(&cluster.slices().borrow(), "a.a-0").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n").await.unwrap();
    // The pod asks for the body, so the request is under way.
    let mut line = [0; 25];
    stream.read_exact(&mut line).await.unwrap();
    assert!(line.starts_with(b"HTTP/1.1 100"));
    let stopping = tokio::spawn(cluster.shutdown());
    stream.write_all(b"body").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"body\": \"body\""), "{answer}");
    stopping.await.unwrap();
}
