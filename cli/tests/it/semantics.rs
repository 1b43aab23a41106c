//! What HTTP asks of whoever stands between: answers without bodies, early answers, bodies that nobody reads.

use crate::support::{
    Dev,
    manifests::*,
    raw::{self, End, exchange, statuses},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A backend that reads one head at a time and answers each with these bytes.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut read = Vec::new();
                while stream.read_buf(&mut read).await.is_ok_and(|length| length > 0) {
                    if read.windows(4).any(|end| end == b"\r\n\r\n") {
                        read.clear();
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                }
            });
        }
    });
    address
}

async fn in_front_of(address: SocketAddr) -> Dev {
    Dev::start([web(), service_at("one", address, None), one_rule("r", "backendRefs: [{name: one, port: 8080}]")]).await
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_in_step() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let dev = in_front_of(answering(answer).await).await;
        let one = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(3);
        let last = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let (text, end) = exchange(dev.address(8080).await, format!("{one}{last}").as_bytes()).await;
        assert_eq!((statuses(&text).len(), end), (4, End::Closed), "{answer:?}: {text}");
        let status: u16 = answer[9..12].parse().unwrap();
        assert!(statuses(&text).iter().all(|one| *one == status), "{answer:?}: {text}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_the_length_and_no_body() {
    let dev = in_front_of(answering("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await).await;
    for _ in 0..3 {
        let reply = dev.ask("HEAD http://a.test:8080/").send().await;
        assert_eq!((reply.header("content-length"), reply.0.bytes), (Some("1000"), 0));
    }
    let reply = dev.ask("HEAD http://a.test:8080/").http2().send().await;
    assert_eq!((reply.header("content-length"), reply.0.bytes), (Some("1000"), 0));
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let dev =
        in_front_of(answering("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await)
            .await;
    let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\nbegun").await.unwrap();
    let text = raw::until(&mut stream, "no").await;
    assert_eq!(statuses(&text), [413], "{text}");
}

#[tokio::test]
async fn an_upload_that_the_backend_does_not_read_grows_no_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut dev = in_front_of(listener.local_addr().unwrap()).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n").await.unwrap();
        held.push((listener.accept().await.unwrap(), stream));
    }
    let before = dev.resident_kib();
    let piece = vec![b'y'; 1 << 20];
    for (_, stream) in &mut held {
        let sent = async {
            for _ in 0..200 {
                stream.write_all(&piece).await.unwrap();
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(1), sent).await.is_err(), "somebody keeps 200 MB");
    }
    assert!(dev.resident_kib() < before + 64 * 1024, "{before} {}", dev.resident_kib());
    dev.assert_alive();
}

#[tokio::test]
async fn http10_clients_are_answered_and_closed() {
    let dev =
        in_front_of(answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await).await;
    let (text, end) = exchange(dev.address(8080).await, b"GET / HTTP/1.0\r\nhost: a.test\r\n\r\n").await;
    assert!(text.ends_with("ok") && !text.to_ascii_lowercase().contains("chunked"), "{text}");
    assert_eq!(end, End::Closed);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_at_the_backend() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dev = in_front_of(listener.local_addr().unwrap()).await;
    let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (mut backend, _) = listener.accept().await.unwrap();
    raw::until(&mut backend, "\r\n\r\n").await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    let (_, end) = raw::rest(&mut backend).await;
    assert_ne!(end, End::Silent, "the backend works for nobody");
}
