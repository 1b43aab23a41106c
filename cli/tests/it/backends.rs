//! Where a request goes once its rule is known: weights, backends that are invalid or empty, sessions.

use crate::support::{Dev, manifests::*};
use std::collections::BTreeSet;

#[tokio::test]
async fn weights_are_exact_over_a_round() {
    let rule = "backendRefs:
- {name: one, port: 8080, weight: 7}
- {name: two, port: 8080, weight: 3}
- {name: three, port: 8080, weight: 0}";
    let documents = [web(), echo("one"), echo("two"), echo("three"), one_rule("route", rule)];
    // A worker counts its own rounds, and one connection stays with its worker.
    let dev = Dev::start(documents).await;
    let tally = dev.ask("http://a.test:8080/").many(50, 1).await;
    assert_eq!((tally.pod("one-0"), tally.pod("two-0"), tally.pod("three-0")), (35, 15, 0), "{tally:?}");
}

#[tokio::test]
async fn an_invalid_backend_answers_500_for_its_share_and_one_without_endpoints_503() {
    let empty = object("v1", "Service", "empty", "spec: {ports: [{port: 8080}]}");
    let rule = "backendRefs:
- {name: one, port: 8080, weight: 2}
- {name: absent, port: 8080, weight: 1}
- {name: empty, port: 8080, weight: 1}";
    let dev = Dev::start([web(), echo("one"), empty, one_rule("route", rule)]).await;
    let tally = dev.ask("http://a.test:8080/").many(40, 1).await;
    assert_eq!((tally.status(200), tally.status(500), tally.status(503)), (20, 10, 10), "{tally:?}");
}

#[tokio::test]
async fn an_invalid_backend_of_weight_zero_breaks_nothing() {
    let rule = "backendRefs: [{name: one, port: 8080}, {name: absent, port: 8080, weight: 0}]";
    let dev = Dev::start([web(), echo("one"), one_rule("route", rule)]).await;
    assert_eq!(dev.ask("http://a.test:8080/").many(20, 1).await.status(200), 20);
}

#[tokio::test]
async fn a_rule_without_backends_answers_500_and_a_request_without_a_route_404() {
    let all = "- matches: [{path: {type: Exact, value: /nothing}}]";
    let dev = Dev::start([web(), rules("route", all)]).await;
    assert_eq!(dev.ask("http://a.test:8080/nothing").status().await, 500);
    assert_eq!(dev.ask("http://a.test:8080/elsewhere").status().await, 404);
}

fn session(kind: &str) -> String {
    format!("sessionPersistence: {{sessionName: visit, type: {kind}}}\nbackendRefs: [{{name: one, port: 8080}}]")
}

#[tokio::test]
async fn a_session_cookie_brings_a_client_back_to_its_pod() {
    let documents = [web(), echo_with("one", 4, "- {port: 8080}"), one_rule("route", &session("Cookie"))];
    let dev = Dev::start(documents).await;
    let mut pods = BTreeSet::new();
    for _ in 0..12 {
        let first = dev.ask("http://a.test:8080/").send().await;
        let cookie = first.header("set-cookie").expect("a new session has a cookie");
        assert!(cookie.starts_with("visit="), "{cookie}");
        let cookie = cookie.split(';').next().unwrap().to_owned();
        for _ in 0..4 {
            let again = dev.ask("http://a.test:8080/").header("cookie", &cookie).send().await;
            assert_eq!((again.pod(), again.header("set-cookie")), (first.pod(), None));
        }
        pods.insert(first.pod());
    }
    assert!(pods.len() > 1, "clients without a session are spread: {pods:?}");
    let nonsense = dev.ask("http://a.test:8080/").header("cookie", "visit=nonsense").send().await;
    assert!(nonsense.header("set-cookie").is_some(), "a session that is none begins another");
}

#[tokio::test]
async fn a_session_header_brings_a_client_back_to_its_pod() {
    let documents = [web(), echo_with("one", 4, "- {port: 8080}"), one_rule("route", &session("Header"))];
    let dev = Dev::start(documents).await;
    for _ in 0..4 {
        let first = dev.ask("http://a.test:8080/").send().await;
        let session = first.header("visit").expect("a new session has a header").to_owned();
        for _ in 0..4 {
            assert_eq!(dev.ask("http://a.test:8080/").header("visit", &session).send().await.pod(), first.pod());
        }
    }
}

#[tokio::test]
async fn the_backend_is_told_who_asked_and_by_which_way() {
    let dev = Dev::start([web(), echo("one"), one_rule("route", "backendRefs: [{name: one, port: 8080}]")]).await;
    let ask = dev.ask("http://a.test:8080/").header("x-forwarded-for", "10.1.1.1").header("x-forwarded-proto", "https");
    let reply = ask.header("connection", "x-hop").header("x-hop", "1").send().await;
    let client = reply.0.link.local.ip().to_string();
    assert_eq!(reply.received("x-forwarded-for"), [client], "a client that is not trusted is not believed");
    assert_eq!(reply.received("x-forwarded-proto"), ["http"]);
    assert_eq!(reply.received("x-forwarded-host"), ["a.test:8080"]);
    assert_eq!(reply.received("x-hop"), [""; 0], "what Connection names concerns one hop");
    assert!(!reply.received("traceparent").is_empty());
}

#[tokio::test]
async fn head_has_no_body() {
    let dev = Dev::start([web(), echo("one"), one_rule("route", "backendRefs: [{name: one, port: 8080}]")]).await;
    let head = dev.ask("HEAD http://a.test:8080/").send().await;
    assert_eq!((head.status(), head.text().as_str()), (200, ""));
    assert!(head.header("content-length").is_some_and(|length| length != "0"), "{head:?}");
}

#[tokio::test]
async fn trailers_pass_to_clients_that_take_them() {
    let ports = "- {port: 8080, appProtocol: kubernetes.io/h2c}";
    let dev =
        Dev::start([web(), echo_with("one", 1, ports), one_rule("route", "backendRefs: [{name: one, port: 8080}]")])
            .await;
    for http2 in [false, true] {
        let ask = dev.ask("http://a.test:8080/").header("te", "trailers").header("echo-trailer", "x-sum:42");
        let ask = if http2 { ask.http2() } else { ask.header("connection", "te") };
        let reply = ask.send().await;
        assert_eq!(reply.trailer("x-sum"), Some("42"), "http2: {http2}");
    }
}

#[tokio::test]
async fn large_bodies_pass_whole_in_both_directions() {
    let dev = Dev::start([web(), echo("one"), one_rule("route", "backendRefs: [{name: one, port: 8080}]")]).await;
    let down = dev.ask("http://a.test:8080/?echo-body-size=5000000").send().await;
    assert_eq!(down.0.bytes, 5_000_000);
    let up = dev.ask("POST http://a.test:8080/").body(vec![b'y'; 3_000_000]).send().await;
    assert_eq!(up.echo().body_length, 3_000_000);
    let both = dev.ask("POST http://a.test:8080/?echo-body=stream").body(vec![b'y'; 3_000_000]).http2().send().await;
    assert_eq!(both.0.bytes, 3_000_000);
}
