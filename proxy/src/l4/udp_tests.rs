//! Sessions over loopback. Nothing here depends on how long something takes.

use super::*;
use std::{cell::RefCell, future::Future};
use tokio::task::{JoinHandle, LocalSet};

/// Endpoints by turns.
#[derive(Clone, Default)]
struct Turns(Rc<RefCell<Vec<SocketAddr>>>, Rc<Cell<usize>>);

impl PickEndpoint for Turns {
    fn pick(&self, _client: SocketAddr) -> Option<SocketAddr> {
        let endpoints = self.0.borrow();
        let turn = self.1.replace(self.1.get() + 1);
        (!endpoints.is_empty()).then(|| endpoints[turn % endpoints.len()])
    }

    fn may_stay(&self, endpoint: SocketAddr) -> bool {
        self.0.borrow().contains(&endpoint)
    }
}

/// A port under test.
struct Port {
    address: SocketAddr,
    turns: Turns,
    counters: Arc<UdpCounters>,
    control: UdpControl,
    running: JoinHandle<()>,
}

const SETTINGS: UdpSettings =
    UdpSettings { idle: Duration::from_secs(60), sessions_max: 3, drain: Duration::from_secs(30) };

fn port(endpoints: &[SocketAddr], settings: UdpSettings) -> Port {
    let socket = net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, turns) = (socket.local_addr().unwrap(), Turns::default());
    turns.0.borrow_mut().extend(endpoints);
    let counters = Arc::new(UdpCounters::default());
    let port = UdpPort::new(socket, turns.clone(), settings, counters.clone()).unwrap();
    let control = port.control();
    Port { address, turns, counters, control, running: tokio::task::spawn_local(port.run()) }
}

/// An endpoint that answers each datagram with its name and the datagram.
async fn endpoint(name: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let answer = [name.as_bytes(), &buffer[..length]].concat();
            socket.send_to(&answer, peer).await.unwrap();
        }
    });
    address
}

async fn client(port: &Port) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(port.address).await.unwrap();
    socket
}

async fn ask(client: &UdpSocket, datagram: &str) -> String {
    client.send(datagram.as_bytes()).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    let length = client.recv(&mut buffer).await.unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn locally<T>(work: impl Future<Output = T>) -> T {
    LocalSet::new().run_until(work).await
}

#[tokio::test]
async fn each_client_stays_with_its_endpoint_and_gets_its_own_answers() {
    locally(async {
        let port = port(&[endpoint("a").await, endpoint("b").await], SETTINGS);
        let (first, second) = (client(&port).await, client(&port).await);
        for _ in 0..3 {
            assert_eq!(ask(&first, "1").await, "a1");
            assert_eq!(ask(&second, "").await, "b", "an empty datagram is one too");
        }
        let large = "x".repeat(60_000);
        assert_eq!(ask(&first, &large).await.len(), 60_001);
        let counters = &port.counters;
        assert_eq!((counters.sessions.get(), counters.sessions_opened.get()), (2, 2));
        assert_eq!((counters.datagrams_to_upstream.get(), counters.datagrams_to_client.get()), (7, 7));
        assert_eq!((counters.bytes_to_upstream.get(), counters.bytes_to_client.get()), (60_003, 60_010));
    })
    .await;
}

#[tokio::test]
async fn datagrams_to_nowhere_and_beyond_the_limit_are_counted() {
    locally(async {
        let port = port(&[], SETTINGS);
        client(&port).await.send(b"x").await.unwrap();
        until(|| port.counters.dropped_no_endpoint.get() == 1).await;
        let late = endpoint("a").await;
        port.turns.0.borrow_mut().push(late);
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(client(&port).await);
            assert_eq!(ask(clients.last().unwrap(), "x").await, "ax");
        }
        client(&port).await.send(b"x").await.unwrap();
        until(|| port.counters.dropped_sessions_max.get() == 1).await;
        assert_eq!(ask(&clients[0], "y").await, "ay", "those that are there go on");
    })
    .await;
}

#[tokio::test]
async fn sessions_of_a_removed_endpoint_move_and_the_others_stay() {
    locally(async {
        let port = port(&[endpoint("a").await, endpoint("b").await], SETTINGS);
        let (first, second) = (client(&port).await, client(&port).await);
        assert_eq!((ask(&first, "").await, ask(&second, "").await), ("a".to_owned(), "b".to_owned()));
        port.turns.0.borrow_mut().remove(0);
        port.control.endpoints_changed();
        until(|| port.counters.sessions.get() == 1).await;
        assert_eq!((ask(&first, "").await, ask(&second, "").await), ("b".to_owned(), "b".to_owned()));
        assert_eq!(port.counters.sessions_opened.get(), 3);
    })
    .await;
}

#[tokio::test]
async fn idle_sessions_end() {
    locally(async {
        let port = port(&[endpoint("a").await], UdpSettings { idle: Duration::from_millis(20), ..SETTINGS });
        let client = client(&port).await;
        assert_eq!(ask(&client, "").await, "a");
        until(|| port.counters.sessions.get() == 0).await;
        assert_eq!(ask(&client, "").await, "a");
        assert_eq!(port.counters.sessions_opened.get(), 2);
    })
    .await;
}

/// Loopback tells at once that nobody listens; that it does is particular to Linux.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_endpoint_that_refuses_loses_the_session_to_the_next() {
    locally(async {
        let nobody = net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = port(&[nobody, endpoint("b").await], SETTINGS);
        let client = client(&port).await;
        client.send(b"lost").await.unwrap();
        until(|| port.counters.refused.get() == 1).await;
        assert_eq!(ask(&client, "x").await, "bx");
    })
    .await;
}

#[tokio::test]
async fn a_stop_lets_answers_under_way_through_and_reads_nothing_new() {
    locally(async {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = port(&[upstream.local_addr().unwrap()], SETTINGS);
        let client = client(&port).await;
        client.send(b"question").await.unwrap();
        let (_, session) = upstream.recv_from(&mut [0; 64]).await.unwrap();
        port.control.stop();
        tokio::task::yield_now().await;
        upstream.send_to(b"answer", session).await.unwrap();
        let mut answer = [0; 6];
        client.recv(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        client.send(b"late").await.unwrap();
        port.running.await.unwrap();
        assert_eq!(port.counters.datagrams_to_upstream.get(), 1);
    })
    .await;
}
