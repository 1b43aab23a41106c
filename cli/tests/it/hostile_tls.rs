//! Bytes that are no TLS, or half of it: a close, a count, and nobody else harmed.

use crate::support::{
    Dev, DevBuilder,
    manifests::*,
    raw::{End, exchange, rest},
};
use std::sync::Arc;
use tokio::{io::AsyncWriteExt, net::TcpStream};

async fn serving() -> Dev {
    let listener = "- {name: x, port: 8443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: made}]}}";
    let documents = [gateway("web", listener), echo("one"), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
    DevBuilder::default().manifests(documents).args(&["--limit", "header_timeout=500ms"]).start().await
}

/// The first bytes of a client that asks for `name`.
fn client_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test]
async fn bytes_that_are_no_client_hello_end_the_connection() {
    let mut dev = serving().await;
    let address = dev.address(8443).await;
    let hello = client_hello("a.test");
    let mut no_version = hello.clone();
    no_version[1] = 9;
    let mut wrong_length = hello.clone();
    wrong_length[6..9].copy_from_slice(&[0xff, 0xff, 0xff]);
    let mut no_hello = hello.clone();
    no_hello[5] = 2;
    for bytes in
        [b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n".to_vec(), vec![0xff; 4096], no_version, wrong_length, no_hello]
    {
        assert_ne!(exchange(address, &bytes).await.1, End::Silent, "{:?}", &bytes[..16]);
    }
    dev.limit_above("client_hello", 3).await;
    assert_eq!(dev.ask("https://a.test:8443/").status().await, 200);
    dev.assert_alive();
}

#[tokio::test]
async fn a_handshake_that_stops_ends_with_its_time() {
    let dev = serving().await;
    let hello = client_hello("a.test");
    for length in [0, 1, 5, hello.len() / 2, hello.len() - 1, hello.len()] {
        let mut stream = TcpStream::connect(dev.address(8443).await).await.unwrap();
        stream.write_all(&hello[..length]).await.unwrap();
        assert_ne!(rest(&mut stream).await.1, End::Silent, "{length} bytes");
    }
    dev.limit_above("header_timeout", 4).await;
}

#[tokio::test]
async fn a_client_hello_that_is_cut_off_is_no_more_than_a_close() {
    let mut dev = serving().await;
    let hello = client_hello("a.test");
    for length in (0..hello.len()).step_by(37) {
        let mut stream = TcpStream::connect(dev.address(8443).await).await.unwrap();
        stream.write_all(&hello[..length]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_ne!(rest(&mut stream).await.1, End::Silent, "{length} bytes");
    }
    dev.assert_alive();
}

#[tokio::test]
async fn a_client_hello_in_small_pieces_is_understood() {
    let dev = serving().await;
    let mut stream = TcpStream::connect(dev.address(8443).await).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in client_hello("a.test").chunks(16) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut first = [0];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first).await.unwrap();
    assert_eq!(first, [0x16], "a handshake record");
}

#[tokio::test]
async fn server_names_that_nobody_serves_are_closed_and_counted() {
    let mut dev = serving().await;
    for name in ["b.test", "x.a.test", "test", "127.0.0.1"] {
        assert_ne!(exchange(dev.address(8443).await, &client_hello(name)).await.1, End::Silent, "{name}");
    }
    dev.limit_above("unknown_server_name", 3).await;
    dev.assert_alive();
}
