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
async fn there_are_no_more_retries_than_the_rule_says_even_after_a_connection_that_was_kept() {
    let dev = serving("retry: {attempts: 2, backoff: 10ms}").await;
    for key in ["a", "b", "c", "d"] {
        assert_eq!(dev.ask("http://a.test:8080/").status().await, 200, "a connection is kept");
        let failing = dev.ask(&format!("http://a.test:8080/?echo-fail=key={key},times=3,status=close"));
        assert_eq!(failing.status().await, 502, "three tries, all of which failed");
    }
}

#[tokio::test]
async fn a_retry_waits_for_the_backoff_at_least() {
    let dev = serving("retry: {codes: [503], attempts: 1, backoff: 400ms}").await;
    for key in ["a", "b", "c", "d"] {
        let answer = dev.ask(&format!("http://a.test:8080/?echo-fail=key={key},times=1,status=503")).send().await;
        assert_eq!(answer.status(), 200);
        assert!(answer.0.latency >= std::time::Duration::from_millis(400), "{:?}", answer.0.latency);
    }
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
    assert!(dev.metric("portolan_upstream_retries_refused_total", "default/one:8080").await > 0);
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
async fn the_one_endpoint_of_three_that_answers_is_found() {
    let [one, two] = [0, 1].map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, two] = [one, two].map(|bound| bound.local_addr().unwrap());
    let slices = [slice("one", "gone-one", one), slice("one", "gone-two", two)].join("\n---\n");
    let service = format!("{}\n---\n{slices}", service("one", "one", "- {port: 8080}"));
    let rule = "backendRefs: [{name: one, port: 8080}]";
    let dev = Dev::start([web(), deployment("one", 1), service, one_rule("route", rule)]).await;
    // Until both are known to be dead, the one retry that nobody asks for may find the other one.
    let first = dev.ask("http://a.test:8080/").many(100, 1).await;
    let then = dev.ask("http://a.test:8080/").many(200, 1).await;
    assert_eq!((then.status(200), then.failed()), (200, 0), "{first:?}, then {then:?}");
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
