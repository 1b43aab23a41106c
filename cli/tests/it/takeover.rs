//! A second process takes over the sockets of the first: no connection is refused, no request is lost.

use crate::support::{Dev, manifests::*};
use portolan_client::{HttpVersion, run_load};

/// Takes over under load, and fails if a request is lost.
async fn taken_over_under_load(url: &str, version: HttpVersion) {
    let listeners = format!(
        "{HTTP}\n- {{name: tls, port: 8443, protocol: HTTPS, hostname: a.test, tls: {{certificateRefs: [{{name: made}}]}}}}"
    );
    let documents = [gateway("web", &listeners), echo("one"), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
    let mut first = Dev::start(documents).await;
    let (client, load) = first.ask(url).version(version).load(1_000_000, 8).await;
    let progress = load.progress.clone();
    let running = tokio::spawn(async move { run_load(&client, &load).await });
    progress.reached(1_000).await;
    let second = first.taken_over().await;
    assert!(first.ended().await.success(), "the first ends by itself");
    let finished = progress.finished();
    progress.reached(finished + 1_000).await;
    progress.stop();
    let tally = running.await.unwrap();
    assert_eq!((tally.failed(), tally.status(200)), (0, tally.requests), "{url} {version:?}: {tally:?}");
    assert_eq!(second.ask("http://a.test:8080/").send().await.pod(), "one-0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_takes_over_loses_no_request() {
    taken_over_under_load("http://a.test:8080/?echo-body-size=10", HttpVersion::Http1).await;
    taken_over_under_load("http://a.test:8080/?echo-body-size=10", HttpVersion::Http2).await;
    taken_over_under_load("https://a.test:8443/?echo-body-size=10", HttpVersion::Negotiated).await;
}

#[tokio::test]
async fn a_second_process_on_the_same_state_is_refused_with_a_reason() {
    let first = Dev::start([web()]).await;
    let output = first.another(first.state()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("another portolan uses the state directory"), "{said}");
}

#[tokio::test]
async fn a_second_process_does_not_share_an_address_by_accident() {
    let documents = [web(), echo("one"), one_rule("r", "backendRefs: [{name: one, port: 8080}]")];
    let first = Dev::start(&documents).await;
    let second = Dev::start(&documents).await;
    assert_eq!(first.address(8080).await.port(), 8080);
    assert_ne!(second.address(8080).await, first.address(8080).await, "it moves, and says so");
    assert!(second.output().contains("another process or listener has it"), "{}", second.output());
    for dev in [&first, &second] {
        assert_eq!(dev.ask("http://a.test:8080/").send().await.pod(), "one-0");
    }
}
