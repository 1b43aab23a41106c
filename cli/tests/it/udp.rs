//! UDPRoutes: datagrams to a backend and back, by session; datagrams that nobody wants.

use crate::support::{Dev, manifests::*};
use tokio::net::UdpSocket;

fn documents(backends: &str) -> [String; 3] {
    let spec = format!("parentRefs: [{{name: web}}]\nrules: [{{backendRefs: {backends}}}]");
    [
        gateway("web", "- {name: udp, port: 5300, protocol: UDP}"),
        echo_with("one", 2, "- {port: 5353, protocol: UDP}"),
        route("UDPRoute", "datagrams", &spec),
    ]
}

#[tokio::test]
async fn datagrams_reach_a_backend_and_its_answers_come_back() {
    let dev = Dev::start(documents("[{name: one, port: 5353}]")).await;
    let reply = dev.ask("udp://a.test:5300").body("WHO").send().await;
    assert!(reply.pod().starts_with("one-"), "{reply:?}");
    let reply = dev.ask("udp://a.test:5300").body("hello").body("again").send().await;
    assert_eq!(reply.text(), "helloagain");
}

#[tokio::test]
async fn a_client_keeps_its_backend_as_long_as_it_talks() {
    let dev = Dev::start(documents("[{name: one, port: 5353}]")).await;
    let mut pods = std::collections::BTreeSet::new();
    for _ in 0..16 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(dev.address(5300).await).await.unwrap();
        let mut own = std::collections::BTreeSet::new();
        for _ in 0..4 {
            socket.send(b"WHO").await.unwrap();
            let mut answer = [0; 2048];
            let length = socket.recv(&mut answer).await.unwrap();
            own.insert(String::from_utf8_lossy(&answer[..length]).into_owned());
        }
        assert_eq!(own.len(), 1, "{own:?}");
        pods.extend(own);
    }
    assert_eq!(pods.len(), 2, "clients are spread");
}

#[tokio::test]
async fn datagrams_without_a_backend_are_dropped_and_harm_nobody() {
    let mut dev = Dev::start(documents("[{name: absent, port: 5353}]")).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = dev.address(5300).await;
    for _ in 0..1000 {
        socket.send_to(b"nobody", address).await.unwrap();
    }
    dev.limit_above("udp_no_endpoint", 0).await;
    dev.assert_alive();
}

#[tokio::test]
async fn sessions_beyond_the_limit_are_refused_and_counted() {
    let [gateway, echo, route] = documents("[{name: one, port: 5353}]");
    let builder = crate::support::DevBuilder::default().manifests([gateway, echo, route]);
    let mut dev = builder.args(&["--limit", "udp_sessions_max=8"]).start().await;
    let address = dev.address(5300).await;
    let mut sockets = Vec::new();
    for _ in 0..32 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(b"hello", address).await.unwrap();
        sockets.push(socket);
    }
    dev.limit_above("udp_sessions_max", 0).await;
    dev.assert_alive();
}
