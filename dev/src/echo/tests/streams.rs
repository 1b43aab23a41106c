//! WebSocket, TCP and UDP.

use super::*;
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UdpSocket,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

async fn read(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_websocket_names_the_pod_and_echoes_both_kinds() {
    let (_pod, address) = start(EchoProtocol::Auto);
    let request = ::http::Request::builder()
        .uri("ws://echo.test/chat")
        .header("host", "echo.test")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "chat, other");
    let (mut socket, response) = client_async(request.body(()).unwrap(), connect(address).await).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    assert_eq!(response.headers()["echo-pod"], "cart-0");
    let identity: Identity = serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(identity.pod, "cart-0");
    for message in [Message::text("hi"), Message::binary(vec![0, 159]), Message::text("x".repeat(1 << 20))] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    while let Some(message) = socket.next().await {
        assert!(message.unwrap().is_close());
    }
}

#[tokio::test]
async fn an_upgrade_that_is_no_handshake_is_refused() {
    let (_pod, address) = start(EchoProtocol::Http);
    let mut client = Client::h1(connect(address).await).await;
    let upgrade = || request("/").header("connection", "upgrade").header("upgrade", "websocket");
    let response = client.send(upgrade().body(body("")).unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["sec-websocket-version"].as_bytes()), (426, &b"13"[..]));
    bytes(response).await;
    let request = upgrade().header("sec-websocket-version", "13").body(body("")).unwrap();
    assert_eq!(client.send(request).await.unwrap().status(), 400);
}

#[tokio::test]
async fn tcp_comes_back_and_who_is_answered() {
    for protocol in [EchoProtocol::Tcp, EchoProtocol::Auto] {
        let (_pod, address) = start(protocol);
        let mut stream = connect(address).await;
        stream.write_all(b"hello\n").await.unwrap();
        assert_eq!(read(&mut stream, 6).await, "hello\n");
        stream.write_all(b"WHO\n").await.unwrap();
        assert_eq!(read(&mut stream, 4).await, "WHO\n", "only at the beginning");

        let mut stream = connect(address).await;
        stream.write_all(b"WHO\nrest").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        let (line, rest) = all.split_once('\n').unwrap();
        assert_eq!(serde_json::from_str::<Identity>(line).unwrap().namespace, "shop");
        assert_eq!(rest, "rest");

        // Half of the word is not held back for ever.
        let mut stream = connect(address).await;
        stream.write_all(b"WH").await.unwrap();
        assert_eq!(read(&mut stream, 2).await, "WH");
    }
}

#[tokio::test]
async fn much_tcp_comes_back_whole() {
    let (_pod, address) = start(EchoProtocol::Tcp);
    let (mut from, mut to) = connect(address).await.into_split();
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut back = Vec::new();
    from.read_to_end(&mut back).await.unwrap();
    writing.await.unwrap();
    assert!(back == expected);
}

#[tokio::test]
async fn datagrams_come_back_and_who_is_answered() {
    let (_pod, address) = start(EchoProtocol::Udp);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(address).await.unwrap();
    let mut buffer = vec![0; 65536];
    for datagram in [&b"hello"[..], b"", &[7; 20_000]] {
        socket.send(datagram).await.unwrap();
        let length = socket.recv(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], datagram);
    }
    socket.send(b"WHO\n").await.unwrap();
    let length = socket.recv(&mut buffer).await.unwrap();
    assert_eq!(serde_json::from_slice::<Identity>(&buffer[..length]).unwrap().pod, "cart-0");
}

#[tokio::test]
async fn a_port_that_is_taken_is_replaced_by_another() {
    let (first, address) = start(EchoProtocol::Tcp);
    let port = EchoPort::new(address.port(), EchoProtocol::Tcp);
    let second = EchoPod::start(EchoSpec { ports: vec![port], ..spec(EchoProtocol::Tcp) }).unwrap();
    let bound = second.bound()[&PortKey::tcp(address.port())];
    assert_ne!(bound.port(), address.port());
    let mut stream = connect(bound).await;
    stream.write_all(b"WHO\n").await.unwrap();
    assert_eq!(read(&mut stream, 1).await, "{");
    drop(first);
}

#[tokio::test]
async fn an_address_of_another_machine_names_pod_and_port() {
    let spec = EchoSpec { address: "192.0.2.1".parse().unwrap(), ..spec(EchoProtocol::Tcp) };
    let error = EchoPod::start(spec).unwrap_err().to_string();
    assert!(error.starts_with("pod cart-0: cannot listen on 192.0.2.1 for port 8080/TCP"), "{error}");
}
