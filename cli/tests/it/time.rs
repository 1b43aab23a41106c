//! Timeouts and retries, as rules ask for them. No test depends on how fast the machine is: delays are far apart.

use crate::support::{Dev, manifests::*};
use portolan_client::FailureKind;

async fn serving(rule: &str) -> Dev {
    let rule = format!("{rule}\nbackendRefs: [{{name: one, port: 8080}}]");
    Dev::start([web(), echo("one"), one_rule("route", &rule)]).await
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_504() {
    let dev = serving("timeouts: {request: 300ms}").await;
    assert_eq!(dev.ask("http://a.test:8080/?echo-delay=60s").status().await, 504);
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 200);
    assert_eq!(dev.ask("http://a.test:8080/?echo-delay=60s").http2().status().await, 504);
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_answered_504() {
    let dev = serving("timeouts: {backendRequest: 300ms}").await;
    assert_eq!(dev.ask("http://a.test:8080/?echo-delay=60s").status().await, 504);
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 200);
}

#[tokio::test]
async fn a_timeout_of_zero_is_none() {
    let dev = serving("timeouts: {request: 0s}").await;
    assert_eq!(dev.ask("http://a.test:8080/?echo-delay=400ms").status().await, 200);
}

#[tokio::test]
async fn codes_that_the_rule_names_are_tried_again_as_often_as_it_says() {
    let dev = serving("retry: {codes: [500, 503], attempts: 2, backoff: 10ms}").await;
    let failing = |key: &str, times: u32, status: u32| {
        dev.ask(&format!("http://a.test:8080/?echo-fail=key={key},times={times},status={status}"))
    };
    assert_eq!(failing("a", 2, 503).status().await, 200);
    assert_eq!(failing("b", 3, 500).status().await, 500, "two retries and no more");
    assert_eq!(failing("b", 3, 500).status().await, 200, "the three failures are used up");
    assert_eq!(failing("c", 1, 502).status().await, 502, "a code that is not named");
    assert_eq!(failing("d", 1, 503).body("again").status().await, 200, "a small body is sent again");
}

#[tokio::test]
async fn without_a_retry_in_the_rule_codes_are_not_tried_again() {
    let dev = serving("").await;
    assert_eq!(dev.ask("http://a.test:8080/?echo-fail=key=a,times=1,status=503").status().await, 503);
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_where_the_rule_asks_for_retries() {
    let dev = serving("retry: {attempts: 3, backoff: 10ms}").await;
    assert_eq!(dev.ask("http://a.test:8080/?echo-fail=key=a,times=2,status=close").status().await, 200);
    let dev = serving("").await;
    let ask = dev.ask("POST http://a.test:8080/?echo-fail=key=a,times=1,status=close").body("once");
    assert_eq!(ask.status().await, 502, "a request that may have been acted on is not repeated unasked");
}

#[tokio::test]
async fn a_retry_gets_its_own_time() {
    let dev = serving("timeouts: {backendRequest: 1s}\nretry: {attempts: 1, backoff: 10ms}").await;
    // Both tries are late: the answer is the gateway's, after two of them.
    let late = dev.ask("http://a.test:8080/?echo-delay=60s").send().await;
    assert_eq!(late.status(), 504);
    assert!(late.0.latency >= std::time::Duration::from_secs(2), "{:?}", late.0.latency);
}

#[tokio::test]
async fn retries_end_with_their_budget_and_the_limit_is_counted() {
    let dev = serving("retry: {codes: [503], attempts: 5, backoff: 1ms}").await;
    let tally = dev.ask("http://a.test:8080/?echo-status=503").many(300, 4).await;
    assert_eq!((tally.status(503), tally.failed()), (300, 0), "{tally:?}");
    dev.limit_above("retry_budget", 0).await;
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_passed_over() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = format!("{}\n---\n{}", service("one", "one", "- {port: 8080}"), slice("one", "gone", nobody));
    let rule = "backendRefs: [{name: one, port: 8080}]";
    let dev = Dev::start([web(), deployment("one", 1), service, one_rule("route", rule)]).await;
    let tally = dev.ask("http://a.test:8080/").many(40, 1).await;
    assert_eq!((tally.status(200), tally.failed()), (40, 0), "{tally:?}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_answered_503() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rule = "backendRefs: [{name: gone, port: 8080}]";
    let dev = Dev::start([web(), service_at("gone", nobody, None), one_rule("route", rule)]).await;
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 503);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_passed_as_whole() {
    let dev = serving("").await;
    let failure = dev.ask("http://a.test:8080/?echo-close=body&echo-body-size=100000").fail().await;
    assert!(matches!(failure.kind(), FailureKind::Closed | FailureKind::Reset), "{failure:?}");
}
