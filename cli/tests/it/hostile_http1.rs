//! Bytes that break HTTP/1.1, or that two readers would read differently: one strict answer, and nothing smuggled.

use crate::support::{
    Backend, Dev,
    manifests::*,
    raw::{End, exchange, statuses},
};

/// A Gateway in front of a backend that keeps what it was sent.
async fn recording() -> (Dev, Backend) {
    let backend = Backend::start().await;
    let documents =
        [web(), service_at("one", backend.address, None), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
    (Dev::start(documents).await, backend)
}

/// Heads that no reading of RFC 9112 lets pass, by what is wrong with them.
const REFUSED: &[(&str, &str)] = &[
    ("two lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n"),
    ("a list of lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4, 5\r\n\r\n"),
    ("a signed length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +4\r\n\r\n"),
    ("a negative length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -4\r\n\r\n"),
    ("a length in hex", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x4\r\n\r\n"),
    ("an empty length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: \r\n\r\n"),
    ("a huge length", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999\r\n\r\n"),
    ("chunked that is not last", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, gzip\r\n\r\n"),
    ("an unknown coding", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n"),
    ("chunked in HTTP/1.0", "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"),
    ("a length beside chunks", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n"),
    ("chunks beside a length", "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n"),
    ("a bare LF after a field", "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\nx-b: 2\r\n\r\n"),
    ("a bare LF after the first line", "GET / HTTP/1.1\nhost: a\r\n\r\n"),
    ("a bare LF at the end", "GET / HTTP/1.1\r\nhost: a\r\n\n"),
    ("a fragment in the target", "GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a folded line", "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\r\n more\r\n\r\n"),
    ("a space before the first line", "GET / HTTP/1.1\r\n host: a\r\n\r\n"),
    ("a space before the colon", "GET / HTTP/1.1\r\nhost: a\r\nx-a : 1\r\n\r\n"),
    ("a name with a space", "GET / HTTP/1.1\r\nhost: a\r\nx a: 1\r\n\r\n"),
    ("no name", "GET / HTTP/1.1\r\nhost: a\r\n: 1\r\n\r\n"),
    ("no colon", "GET / HTTP/1.1\r\nhost: a\r\nx-a\r\n\r\n"),
    ("NUL in a value", "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\0\r\n\r\n"),
    ("NUL in a name", "GET / HTTP/1.1\r\nhost: a\r\nx\0a: 1\r\n\r\n"),
    ("NUL in the target", "GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("a bare CR in a value", "GET / HTTP/1.1\r\nhost: a\r\nx-a: 1\r2\r\n\r\n"),
    ("two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
    ("two equal hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"),
    ("no host", "GET / HTTP/1.1\r\nx-a: 1\r\n\r\n"),
    ("an empty host", "GET / HTTP/1.1\r\nhost: \r\n\r\n"),
    ("a host with a path", "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n"),
    ("a host with a user", "GET / HTTP/1.1\r\nhost: u@a\r\n\r\n"),
    ("two hosts in one", "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n"),
    ("no version", "GET /\r\nhost: a\r\n\r\n"),
    ("a version of later", "GET / HTTP/3.0\r\nhost: a\r\n\r\n"),
    ("a method with a bracket", "G(T / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("CONNECT", "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n"),
];

/// What would be a request of its own if the first one were read otherwise.
const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn requests_that_break_the_protocol_get_4xx_and_a_close() {
    let (mut dev, backend) = recording().await;
    let address = dev.address(8080).await;
    let mut wrong = Vec::new();
    for (what, head) in REFUSED {
        let (text, end) = exchange(address, format!("{head}{SMUGGLED}").as_bytes()).await;
        let refused = matches!(statuses(&text)[..], [] | [400..=499] | [501] | [505]);
        if !refused || end == End::Silent {
            wrong.push(format!("{what}: {:?}, {end:?}", statuses(&text)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
    dev.limit_above("malformed_http", 0).await;
    dev.assert_alive();
}

/// Chunked bodies that are none.
const BAD_CHUNKS: &[(&str, &str)] = &[
    ("a size in C's hex", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("a signed size", "+5\r\nhello\r\n0\r\n\r\n"),
    ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
    ("no size", "\r\nhello\r\n0\r\n\r\n"),
    ("a huge size", "FFFFFFFFFFFFFFFF1\r\nhello\r\n0\r\n\r\n"),
    ("data longer than its size", "3\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF after the size", "5\nhello\r\n0\r\n\r\n"),
    ("a bare LF after the data", "5\r\nhello\n0\r\n\r\n"),
    ("a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
];

#[tokio::test]
async fn chunked_bodies_that_break_the_protocol_are_not_passed_as_whole() {
    let (mut dev, backend) = recording().await;
    let address = dev.address(8080).await;
    let mut wrong = Vec::new();
    for (what, body) in BAD_CHUNKS {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let (text, end) =
            exchange(address, format!("{head}{body}GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
        let refused = matches!(statuses(&text)[..], [] | [400..=499]);
        if !refused || end == End::Silent {
            wrong.push(format!("{what}: {:?}, {end:?}", statuses(&text)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(backend.seen().iter().all(|seen| seen.target != "/smuggled"), "{:?}", backend.seen());
    dev.assert_alive();
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_cost_the_answer_nor_what_follows() {
    use tokio::io::AsyncWriteExt;
    let dev = Dev::start([
        web(),
        echo("one"),
        one_rule("r", "filters: [{type: RequestRedirect, requestRedirect: {hostname: b.test}}]"),
    ])
    .await;
    let address = dev.address(8080).await;
    // A small rest is read over, and the connection serves on.
    let small = format!("POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 9000\r\n\r\n{}", "x".repeat(4500));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(small.as_bytes()).await.unwrap();
    crate::support::raw::until(&mut stream, "HTTP/1.1 302").await;
    stream.write_all("x".repeat(4500).as_bytes()).await.unwrap();
    stream.write_all(b"GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let (text, end) = crate::support::raw::rest(&mut stream).await;
    assert_eq!((statuses(&text), end), (vec![302], End::Closed), "{text}");
    // A large one ends the connection, but not before the client has the answer.
    let large = format!("POST /1 HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n{}", "x".repeat(300_000));
    let (text, end) = exchange(address, large.as_bytes()).await;
    assert_eq!((statuses(&text), end), (vec![302], End::Closed), "{text}");
}

#[tokio::test]
async fn the_target_decides_the_host_and_the_backend_sees_that_one() {
    let (dev, backend) = recording().await;
    let address = dev.address(8080).await;
    let head = "GET http://inner.test/p?q HTTP/1.1\r\nhost: outer.test\r\nconnection: close\r\n\r\n";
    let (text, _) = exchange(address, head.as_bytes()).await;
    assert_eq!(statuses(&text), [200], "{text}");
    let seen = backend.seen();
    assert_eq!((seen[0].headers["host"].to_str().unwrap(), seen[0].target.as_str()), ("inner.test", "/p?q"));
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let (dev, backend) = recording().await;
    let one = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n");
    let all = one("/1", "") + &one("/2", "") + &one("/3", "connection: close\r\n");
    let (text, end) = exchange(dev.address(8080).await, all.as_bytes()).await;
    assert_eq!((statuses(&text), end), (vec![200; 3], End::Closed));
    assert_eq!(backend.seen().iter().map(|seen| seen.target.clone()).collect::<Vec<_>>(), ["/1", "/2", "/3"]);
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_and_then_the_answer() {
    use tokio::io::AsyncWriteExt;
    let (dev, backend) = recording().await;
    let mut stream = tokio::net::TcpStream::connect(dev.address(8080).await).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    crate::support::raw::until(&mut stream, "HTTP/1.1 100").await;
    stream.write_all(b"hello").await.unwrap();
    let (text, _) = crate::support::raw::rest(&mut stream).await;
    assert!(text.contains("HTTP/1.1 200"), "{text}");
    assert_eq!(backend.seen()[0].body, "hello");
}

#[tokio::test]
async fn bytes_that_are_no_http_are_refused() {
    let (mut dev, backend) = recording().await;
    let address = dev.address(8080).await;
    let hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    let noise: Vec<u8> = (0..4096u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    for bytes in [&hello[..], &noise, b"\r\n\r\n\r\n\r\nnothing\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"] {
        let (text, end) = exchange(address, bytes).await;
        assert!(matches!(statuses(&text)[..], [] | [400..=499] | [505]) && end != End::Silent, "{text} {end:?}");
    }
    assert!(backend.seen().is_empty());
    dev.assert_alive();
}

#[tokio::test]
async fn authority_form_is_for_connect_alone() {
    let (dev, backend) = recording().await;
    for target in ["x", "b.test:80"] {
        let (text, _) = exchange(
            dev.address(8080).await,
            format!("GET {target} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert_eq!(statuses(&text), [400], "{target}: {:?}", backend.seen());
    }
}
