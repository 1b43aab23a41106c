//! Each limit against clients that want too much or give too little: the answer, and the metric that counts it.

use crate::support::{
    Dev, DevBuilder,
    manifests::*,
    raw::{End, exchange, rest, statuses, until},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

async fn limited(limits: &[&str]) -> Dev {
    let args: Vec<&str> = limits.iter().flat_map(|limit| ["--limit", limit]).collect();
    let documents = [web(), echo("one"), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
    DevBuilder::default().manifests(documents).args(&args).start().await
}

async fn connect(dev: &Dev) -> TcpStream {
    TcpStream::connect(dev.address(8080).await).await.unwrap()
}

#[tokio::test]
async fn heads_that_are_too_large_are_answered_431_and_targets_414() {
    let mut dev = limited(&[]).await;
    let address = dev.address(8080).await;
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
    let large = get("/", &format!("x-large: {}\r\n", "x".repeat(100_000)));
    let many = get("/", &(0..200).map(|at| format!("x-{at}: 1\r\n")).collect::<String>());
    let long = get(&format!("/{}", "x".repeat(20_000)), "");
    let names = get("/", &format!("{}: 1\r\n", "n".repeat(70_000)));
    for (what, text, status) in
        [("bytes", large, 431), ("fields", many, 431), ("target", long, 414), ("name", names, 431)]
    {
        let (answer, end) = exchange(address, text.as_bytes()).await;
        assert!(statuses(&answer) == [status] && end != End::Silent, "{what}: {answer} {end:?}");
    }
    for limit in ["header_bytes_max", "headers_max", "uri_bytes_max"] {
        dev.limit_above(limit, 0).await;
    }
    dev.assert_alive();
}

#[tokio::test]
async fn fields_beyond_their_number_are_answered_431_over_http2_too() {
    let dev = limited(&["headers_max=20"]).await;
    let mut ask = dev.ask("http://a.test:8080/").http2();
    for at in 0..30 {
        ask = ask.header(&format!("x-{at}"), "1");
    }
    assert_eq!(ask.status().await, 431);
    dev.limit_above("headers_max", 0).await;
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_the_connection() {
    let dev = limited(&["header_timeout=500ms"]).await;
    for begun in ["", "G", "GET / HTTP/1.1\r\nhost: a.te"] {
        let mut stream = connect(&dev).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let (text, end) = rest(&mut stream).await;
        assert!(matches!(statuses(&text)[..], [] | [408]) && end != End::Silent, "{begun}: {text} {end:?}");
    }
    dev.limit_above("header_timeout", 0).await;
    // One byte now and then is no progress either.
    let mut stream = connect(&dev).await;
    let mut sent = 0;
    while stream.write_all(b"x").await.is_ok() {
        sent += 1;
        assert!(sent < 100, "a head may take for ever");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408() {
    let dev = limited(&["body_idle_timeout=500ms"]).await;
    let mut stream = connect(&dev).await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nbegun").await.unwrap();
    let (text, end) = rest(&mut stream).await;
    assert!(statuses(&text) == [408] && end != End::Silent, "{text} {end:?}");
    dev.limit_above("body_idle_timeout", 0).await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_413() {
    let dev = limited(&["body_bytes_max=10Ki"]).await;
    assert_eq!(dev.ask("POST http://a.test:8080/").body(vec![b'x'; 10_000]).status().await, 200);
    let announced = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 20000\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4000\r\n";
    for head in [announced, chunked] {
        let (text, end) = exchange(dev.address(8080).await, format!("{head}{}", "x".repeat(20_000)).as_bytes()).await;
        assert!(statuses(&text) == [413] && end != End::Silent, "{text} {end:?}");
    }
    dev.limit_above("body_bytes_max", 1).await;
}

#[tokio::test]
async fn a_request_that_makes_no_progress_is_cut_off() {
    let dev = limited(&["stream_idle_timeout=500ms"]).await;
    dev.ask("http://a.test:8080/?echo-delay=60s").fail().await;
    dev.limit_above("stream_idle_timeout", 0).await;
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_in_good_order() {
    let dev = limited(&["keepalive_timeout=500ms"]).await;
    let mut stream = connect(&dev).await;
    stream.write_all(b"GET /?echo-body-size=1 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    until(&mut stream, "\r\n\r\nx").await;
    assert_eq!(rest(&mut stream).await.1, End::Closed);
}

#[tokio::test]
async fn an_http2_connection_that_is_too_old_is_ended_and_loses_no_request() {
    let dev = limited(&["connection_age_max=500ms"]).await;
    let tally = dev.ask("http://a.test:8080/?echo-body-size=1&echo-delay=5ms").http2().many(600, 2).await;
    assert_eq!((tally.status(200), tally.failed()), (600, 0), "{tally:?}");
    assert!(tally.connections > 2, "{tally:?}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed() {
    let dev = limited(&["connections_max=4"]).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(connect(&dev).await);
    }
    dev.limit_above("connections_max", 0).await;
    drop(held);
    crate::support::eventually("served again", async || dev.ask("http://a.test:8080/").try_send().await.ok()).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_grows_no_memory() {
    let mut dev = limited(&[]).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = connect(&dev).await;
        let get = "GET /?echo-body-size=1000000000 HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(get.as_bytes()).await.unwrap();
        until(&mut stream, "\r\n\r\n").await;
        held.push(stream);
    }
    let before = dev.resident_kib();
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let after = dev.resident_kib();
    assert!(after < before + 64 * 1024, "{before} KiB became {after} KiB");
    drop(held);
    dev.assert_alive();
}

#[tokio::test]
async fn a_tunnel_without_a_byte_is_closed() {
    let listener = gateway("web", "- {name: tcp, port: 9000, protocol: TCP}");
    let route = route("TCPRoute", "t", "parentRefs: [{name: web}]\nrules: [{backendRefs: [{name: one, port: 8080}]}]");
    let documents = [listener, route, echo_with("one", 1, "- {port: 8080, appProtocol: tcp}")];
    let dev = DevBuilder::default().manifests(documents).args(&["--limit", "tunnel_idle_timeout=500ms"]).start().await;
    let mut stream = TcpStream::connect(dev.address(9000).await).await.unwrap();
    stream.write_all(b"WHO\n").await.unwrap();
    until(&mut stream, "one-0").await;
    assert_ne!(rest(&mut stream).await.1, End::Silent);
    dev.limit_above("tunnel_idle_timeout", 0).await;
}

#[tokio::test]
async fn an_end_that_takes_too_long_is_an_end_all_the_same() {
    let mut dev = limited(&["drain_timeout=500ms"]).await;
    let mut stream = connect(&dev).await;
    stream.write_all(b"GET /?echo-delay=60s HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    dev.terminate();
    assert_eq!(dev.ended().await.code(), Some(1), "requests were cut off");
}

#[test]
fn limits_that_do_not_exist_are_wrong_use() {
    for (limit, told) in
        [("no_such=1", "no_such"), ("header_timeout=soon", "soon"), ("header_timeout", "header_timeout")]
    {
        let directory = tempfile::tempdir().unwrap();
        let manifests = directory.path().to_str().unwrap();
        let finished = crate::support::portolan(["dev", manifests, "--state-dir", manifests, "--limit", limit]);
        assert!(finished.code == 2 && finished.text.contains(told), "{}", finished.text);
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_counted_as_a_slow_head() {
    let dev = limited(&["header_timeout=500ms"]).await;
    exchange(dev.address(8080).await, b"G").await;
    dev.limit_above("header_timeout", 0).await;
}
