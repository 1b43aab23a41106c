//! What lasts longer than a reload: tunnels, streams and bodies go on over it, and to their end when the process ends.

use crate::support::{Dev, manifests::*, raw};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ROUTE: &str = "backendRefs: [{name: one, port: 8080}]";

/// Says something through a tunnel and hears it again.
async fn said(stream: &mut TcpStream, words: &str) {
    stream.write_all(words.as_bytes()).await.unwrap();
    let mut heard = vec![0; words.len()];
    tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, words.as_bytes());
}

/// Configurations with TCP and HTTP listeners that differ in a route's header.
fn documents(gateway: &str, version: u32) -> Vec<String> {
    let tcp = "parentRefs: [{name: web, sectionName: tcp}]\nrules: [{backendRefs: [{name: bytes, port: 8080}]}]";
    let set = format!("{{set: [{{name: x-v, value: v{version}}}]}}");
    let rule = format!("filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {set}}}]\n{ROUTE}");
    vec![
        gateway.to_owned(),
        echo("one"),
        echo_with("bytes", 1, "- {port: 8080, appProtocol: tcp}"),
        route("TCPRoute", "tcp", tcp),
        one_rule("http", &rule),
    ]
}

fn both() -> String {
    gateway("web", &format!("{HTTP}\n- {{name: tcp, port: 9000, protocol: TCP}}"))
}

#[tokio::test]
async fn tunnels_outlive_reloads() {
    let gateway = both();
    let dev = Dev::start(documents(&gateway, 0)).await;
    let mut tcp = TcpStream::connect(dev.address(9000).await).await.unwrap();
    said(&mut tcp, "before").await;
    let mut upgraded = TcpStream::connect(dev.address(8080).await).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: a.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    upgraded.write_all(head.as_bytes()).await.unwrap();
    raw::until(&mut upgraded, "]}").await;
    for version in 1..4 {
        dev.save(documents(&gateway, version)).await;
        said(&mut tcp, "between").await;
    }
    // A ping with an empty payload and mask; the pong has neither.
    upgraded.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
    let mut pong = [0; 2];
    tokio::time::timeout(Duration::from_secs(20), upgraded.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(pong, [0x8a, 0]);
}

#[tokio::test]
async fn a_kept_connection_sees_the_new_configuration() {
    let gateway = both();
    let dev = Dev::start(documents(&gateway, 0)).await;
    let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
    for version in 0..3 {
        if version > 0 {
            dev.save(documents(&gateway, version)).await;
        }
        stream.write_all(b"GET /?echo-body-size=3 HTTP/1.1\r\nhost: a.test\r\n\r\n").await.unwrap();
        let text = raw::until(&mut stream, "xxx").await;
        assert!(text.contains(&format!("x-v: v{version}")), "{text}");
    }
}

#[tokio::test]
async fn a_body_under_way_outlives_a_reload_and_the_removal_of_its_route() {
    let gateway = both();
    let dev = Dev::start(documents(&gateway, 0)).await;
    let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
    let head = "GET /?echo-body-size=30000000 HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    raw::until(&mut stream, "\r\n\r\n").await;
    dev.save([gateway, web().replace("web", "other")]).await;
    let mut rest = 0;
    let mut piece = vec![0; 1 << 16];
    loop {
        match tokio::time::timeout(Duration::from_secs(20), stream.read(&mut piece)).await.unwrap().unwrap() {
            0 => break,
            length => rest += length,
        }
    }
    assert!(rest > 29_000_000, "{rest} bytes");
}

#[tokio::test]
async fn a_grpc_stream_is_finished_before_the_process_ends() {
    let calls = route("GRPCRoute", "calls", &format!("parentRefs: [{{name: web}}]\nrules: [{{{ROUTE}}}]"));
    let mut dev = Dev::start([web(), echo("one"), calls]).await;
    let ask = dev.ask("http://a.test:8080/").grpc("portolan.echo.v1.Echo/ServerStream");
    let (client, load) = ask.body("{\"message\": \"tick\", \"count\": 10, \"interval_ms\": 200}").load(1, 1).await;
    let running = tokio::spawn(async move { client.send(&load.request).await });
    tokio::time::sleep(Duration::from_millis(600)).await;
    dev.terminate();
    let answer = running.await.unwrap().unwrap();
    assert_eq!(answer.messages.len(), 10, "{answer:?}");
    assert!(dev.ended().await.success());
}
