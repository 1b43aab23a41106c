//! HTTP/2 frames as no honest client sends them: floods end the connection, harm nobody else, and grow nothing.

use crate::support::{
    Dev,
    manifests::*,
    raw::{End, rest},
};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame: <https://www.rfc-editor.org/rfc/rfc9113#section-4.1>.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn data(stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, 0, stream, payload)
}

fn headers(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(1, flags, stream, block)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8u32.to_be_bytes())
}

fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[])
}

fn continuation(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(9, flags, stream, block)
}

/// `GET / http a.test` in HPACK, from the static table but for the authority.
fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x84, 0x41, 6];
    block.extend(b"a.test");
    block
}

/// A header field without indexing.
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend(name.as_bytes());
    field.push(u8::try_from(value.len()).unwrap());
    field.extend(value.as_bytes());
    field
}

async fn serving() -> Dev {
    Dev::start([web(), echo("one"), one_rule("r", "backendRefs: [{name: one, port: 8080}]")]).await
}

/// Sends frames until the peer closes or all are sent, and says how it ended: closed, if only for want of more.
async fn flood(dev: &Dev, frames: impl IntoIterator<Item = Vec<u8>>) -> End {
    let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
    stream.write_all(&[PREFACE, &settings()].concat()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut sink = tokio::io::sink();
    let read = tokio::io::copy(&mut reader, &mut sink);
    let write = async {
        let mut pending = Vec::new();
        for frame in frames {
            pending.extend(frame);
            if pending.len() > 16_000 {
                writer.write_all(&std::mem::take(&mut pending)).await?;
            }
        }
        writer.write_all(&pending).await?;
        writer.shutdown().await
    };
    let both = async { tokio::join!(read, write) };
    match timeout(Duration::from_secs(15), both).await {
        Ok((Ok(_), _)) => End::Closed,
        Ok((Err(_), _)) => End::Reset,
        Err(_) => End::Silent,
    }
}

/// A flood is over: it has taken no memory, measured in KiB `before` it, and others are served.
async fn assert_unharmed(dev: &mut Dev, before: u64) {
    let now = dev.resident_kib();
    assert!(now < before + 64 * 1024, "{before} {now}");
    assert_eq!(dev.ask("http://a.test:8080/").http2().status().await, 200);
    dev.assert_alive();
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let mut dev = serving().await;
    let before = dev.resident_kib();
    let frames = (0..50_000u32).map(|at| {
        let stream = at * 2 + 1;
        [headers(stream, END_STREAM | END_HEADERS, &get()), reset(stream)].concat()
    });
    assert_ne!(flood(&dev, frames).await, End::Silent, "the connection goes on");
    dev.limit_above("h2_flood", 0).await;
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 200);
    assert_unharmed(&mut dev, before).await;
}

#[tokio::test]
async fn a_head_of_endless_continuations_ends_the_connection() {
    let mut dev = serving().await;
    let before = dev.resident_kib();
    let more = field("x-flood", &"x".repeat(100)).repeat(100);
    let first = headers(1, END_STREAM, &get());
    let frames = std::iter::once(first).chain((0..2_000).map(|_| continuation(1, 0, &more)));
    assert_ne!(flood(&dev, frames).await, End::Silent);
    dev.limit_above("h2_flood", 0).await;
    let empty = std::iter::once(headers(1, END_STREAM, &get())).chain((0..100_000).map(|_| continuation(1, 0, &[])));
    assert_ne!(flood(&dev, empty).await, End::Silent, "also if they hold nothing");
    dev.limit_above("h2_flood", 1).await;
    assert_unharmed(&mut dev, before).await;
}

#[tokio::test]
async fn a_body_of_endless_crumbs_ends_the_connection() {
    let mut dev = serving().await;
    let before = dev.resident_kib();
    let crumbs = (0..500_000).map(|_| data(1, b""));
    assert_ne!(flood(&dev, std::iter::once(headers(1, END_HEADERS, &get())).chain(crumbs)).await, End::Silent);
    dev.limit_above("h2_flood", 0).await;
    assert_unharmed(&mut dev, before).await;
}

#[tokio::test]
async fn settings_and_pings_without_end_grow_nothing() {
    let mut dev = serving().await;
    let before = dev.resident_kib();
    flood(&dev, (0..100_000).map(|_| settings())).await;
    flood(&dev, (0..100_000).map(|_| frame(6, 0, 0, &[0; 8]))).await;
    assert_unharmed(&mut dev, before).await;
}

/// Header blocks that make no request.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let with = |more: Vec<u8>| [get(), more].concat();
    let mut path_twice = get();
    path_twice.push(0x84);
    vec![
        ("an upper-case name", with(field("X-Upper", "1"))),
        ("Connection", with(field("connection", "close"))),
        ("Transfer-Encoding", with(field("transfer-encoding", "chunked"))),
        ("a second path", path_twice),
        ("a pseudo-header after a header", [get(), field("x-a", "1"), vec![0x84]].concat()),
        ("an unknown pseudo-header", with(field(":other", "1"))),
        ("no path", vec![0x82, 0x86]),
        ("NUL in a value", with(field("x-a", "1\0"))),
        ("a line in a value", with(field("x-a", "1\r\nx-b: 2"))),
        ("an index that is none", with(vec![0xff, 0xff, 0xff, 0x7f])),
    ]
}

#[tokio::test]
async fn header_blocks_that_make_no_request_reach_no_backend() {
    let backend = crate::support::Backend::start().await;
    let documents =
        [web(), service_at("one", backend.address, None), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
    let mut dev = Dev::start(documents).await;
    for (what, block) in malformed() {
        let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
        let head = headers(1, END_STREAM | END_HEADERS, &block);
        stream.write_all(&[PREFACE, &settings(), &head].concat()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(stream);
        let seen = backend.seen();
        assert!(seen.is_empty(), "{what}: {seen:?}");
    }
    dev.assert_alive();
}

#[tokio::test]
async fn a_body_that_differs_from_its_length_is_not_passed_as_whole() {
    let backend = crate::support::Backend::start().await;
    let documents =
        [web(), service_at("one", backend.address, None), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
    let dev = Dev::start(documents).await;
    let post = |length: &str| {
        let mut block = vec![0x83, 0x86, 0x84, 0x41, 6];
        block.extend(b"a.test");
        block.extend(field("content-length", length));
        block
    };
    for length in ["3", "50"] {
        let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
        let body = frame(0, END_STREAM, 1, b"hello");
        let all = [PREFACE, &settings(), &headers(1, END_HEADERS, &post(length)), &body].concat();
        stream.write_all(&all).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(stream);
    }
    assert!(backend.seen().iter().all(|seen| seen.body != "hello"), "{:?}", backend.seen());
}

#[tokio::test]
async fn frames_out_of_order_end_the_connection() {
    let mut dev = serving().await;
    for wrong in [
        data(1, b"no stream"),
        continuation(1, END_HEADERS, &get()),
        headers(2, END_STREAM | END_HEADERS, &get()),
        frame(8, 0, 0, &[0; 4]),
        frame(4, 0, 0, &[0; 5]),
        vec![0xff; 9],
    ] {
        let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
        stream.write_all(&[PREFACE, &settings(), &wrong].concat()).await.unwrap();
        assert_ne!(rest(&mut stream).await.1, End::Silent, "{wrong:?}");
    }
    dev.assert_alive();
}

#[tokio::test]
async fn a_stream_that_the_client_cancels_ends_at_the_backend() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = service_at("one", listener.local_addr().unwrap(), None);
    let dev = Dev::start([web(), backend, one_rule("r", "backendRefs: [{name: one, port: 8080}]")]).await;
    let mut stream = TcpStream::connect(dev.address(8080).await).await.unwrap();
    let head = headers(1, END_STREAM | END_HEADERS, &get());
    stream.write_all(&[PREFACE, &settings(), &head].concat()).await.unwrap();
    let (mut asked, _) = listener.accept().await.unwrap();
    crate::support::raw::until(&mut asked, "\r\n\r\n").await;
    stream.write_all(&reset(1)).await.unwrap();
    assert_ne!(rest(&mut asked).await.1, End::Silent, "the backend works for nobody");
}
