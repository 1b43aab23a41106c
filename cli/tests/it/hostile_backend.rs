//! Backends that break the protocol: 502 and a new connection, never half an answer passed as whole.

use crate::support::{Dev, DevBuilder, manifests::*};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A backend that answers every connection's first request with these bytes, then closes.
async fn scripted(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                // The peer's close is awaited, so that nothing is reset.
                let _ = stream.read(&mut [0; 4096]).await;
            });
        }
    });
    address
}

async fn in_front_of(answer: &str) -> Dev {
    let backend = scripted(answer.as_bytes().to_vec()).await;
    Dev::start([web(), service_at("one", backend, None), one_rule("r", "backendRefs: [{name: one, port: 8080}]")]).await
}

#[tokio::test]
async fn answers_that_break_the_protocol_become_502() {
    let large = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(1_000_000));
    for answer in [
        "",
        "HTTP/1.1 200",
        "nonsense\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nx a: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-a: 1\0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: any\r\n\r\n",
        &large,
    ] {
        let dev = in_front_of(answer).await;
        assert_eq!(dev.ask("http://a.test:8080/").status().await, 502, "{:?}", &answer[..answer.len().min(80)]);
    }
}

#[tokio::test]
async fn a_head_that_arrives_whole_is_held_to_its_limit_too() {
    let head = |bytes: usize| format!("HTTP/1.1 200 OK\r\nx-large: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(bytes));
    for (bytes, status) in [(1000, 200), (4000, 502)] {
        let backend = scripted(head(bytes).into_bytes()).await;
        let manifests =
            [web(), service_at("one", backend, None), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
        let args = ["--limit", "upstream_header_bytes_max=2048"];
        let dev = DevBuilder::default().manifests(manifests).args(&args).start().await;
        assert_eq!(dev.ask("http://a.test:8080/").status().await, status);
        if status == 502 {
            dev.limit_above("upstream_header_bytes_max", 0).await;
        }
    }
}

#[tokio::test]
async fn bodies_that_break_off_are_not_passed_as_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nhello",
    ] {
        let dev = in_front_of(answer).await;
        for http2 in [false, true] {
            let ask = dev.ask("http://a.test:8080/");
            let outcome = if http2 { ask.http2() } else { ask }.try_send().await;
            let whole = outcome.is_ok_and(|answer| crate::support::Reply(answer).status() == 200);
            assert!(!whole, "http2 {http2}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn answers_that_end_with_the_connection_are_whole() {
    let dev = in_front_of("HTTP/1.0 200 OK\r\n\r\nto the end").await;
    assert_eq!(dev.ask("http://a.test:8080/").send().await.text(), "to the end");
}

#[tokio::test]
async fn informational_answers_come_before_the_final_one() {
    let dev =
        in_front_of("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
    assert_eq!(dev.ask("http://a.test:8080/").send().await.text(), "ok");
}
