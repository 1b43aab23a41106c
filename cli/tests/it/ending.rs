//! The end of the process: what was begun is answered, nothing is reset, nothing is left behind.

use crate::support::{Dev, manifests::*, raw};
use portolan_client::{Failure, FailureKind, HttpVersion, run_load};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpStream};

async fn serving() -> Dev {
    Dev::start([web(), echo("one"), one_rule("route", "backendRefs: [{name: one, port: 8080}]")]).await
}

/// Ends a process under load, and fails if a request that was begun is lost.
async fn ended_under_load(url: &str, version: HttpVersion) {
    let listeners = format!(
        "{HTTP}\n- {{name: tls, port: 8443, protocol: HTTPS, hostname: a.test, tls: {{certificateRefs: [{{name: made}}]}}}}"
    );
    let documents =
        [gateway("web", &listeners), echo("one"), one_rule("route", "backendRefs: [{name: one, port: 8080}]")];
    let mut dev = Dev::start(documents).await;
    let ask = dev.ask(url).version(version).timeout(Duration::from_secs(5));
    let (client, load) = ask.load(1_000_000, 16).await;
    let progress = load.progress.clone();
    let running = tokio::spawn(async move { run_load(&client, &load).await });
    progress.reached(1_000).await;
    dev.terminate();
    let status = dev.ended().await;
    progress.stop();
    let tally = running.await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(tally.status(200), tally.answers, "{url} {version:?}: {tally:?}");
    // Once it has ended nothing listens, which QUIC cannot tell from silence; until then nothing may be lost.
    let refused = |failure: &Failure| match failure.kind() {
        FailureKind::Refused => true,
        FailureKind::Timeout => version == HttpVersion::Http3,
        _ => failure.to_string().contains("refused to accept a new connection"),
    };
    let lost: Vec<_> = tally.examples.values().filter(|failure| !refused(failure)).collect();
    assert!(lost.is_empty(), "{url} {version:?}: {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_under_load_answers_every_request_that_was_begun() {
    ended_under_load("http://a.test:8080/?echo-body-size=10", HttpVersion::Http1).await;
    ended_under_load("http://a.test:8080/?echo-body-size=10", HttpVersion::Http2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_under_load_over_tls_answers_every_request_that_was_begun() {
    ended_under_load("https://a.test:8443/?echo-body-size=10", HttpVersion::Http1).await;
    ended_under_load("https://a.test:8443/?echo-body-size=10", HttpVersion::Http2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_under_load_over_quic_answers_every_request_that_was_begun() {
    ended_under_load("https://a.test:8443/?echo-body-size=10", HttpVersion::Http3).await;
}

#[tokio::test]
async fn a_slow_request_is_answered_before_the_end() {
    let mut dev = serving().await;
    let address = dev.address(8080).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /?echo-delay=2s HTTP/1.1\r\nhost: a.test\r\n\r\n").await.unwrap();
    let begun = || async { (dev.admin_text("/metrics").await.contains("active_requests")).then_some(()) };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), crate::support::eventually("begun", begun)).await;
    dev.terminate();
    let (text, end) = raw::rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.to_ascii_lowercase().contains("connection: close"), "{text}");
    assert_eq!(end, raw::End::Closed);
    assert!(dev.ended().await.success());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut dev = serving().await;
    let address = dev.address(8080).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /?echo-body-size=1 HTTP/1.1\r\nhost: a.test\r\n\r\n").await.unwrap();
    raw::until(&mut stream, "\r\n\r\nx").await;
    let begun = std::time::Instant::now();
    dev.terminate();
    assert!(dev.ended().await.success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(raw::rest(&mut stream).await.1, raw::End::Closed);
}

#[tokio::test]
async fn after_a_kill_the_next_process_starts_as_if_nothing_was() {
    let gateway = web();
    let documents = [gateway, echo("one"), one_rule("route", "backendRefs: [{name: one, port: 8080}]")];
    let first = Dev::start(&documents).await;
    let running = std::fs::read_to_string(first.state().join("running.json")).unwrap();
    assert!(running.contains(&first.pid().to_string()));
    let first = first.killed_and_started_again().await;
    assert_eq!(first.ask("http://a.test:8080/").send().await.pod(), "one-0");
}
