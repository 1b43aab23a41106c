//! Every protocol that a listener or a backend may speak, but UDP and HTTP/3.

use crate::support::{Dev, Reply, manifests::*};
use portolan_client::Code;
use serde_json::Value;

const ROUTE: &str = "backendRefs: [{name: one, port: 8080}]";

#[tokio::test]
async fn http2_and_http1_clients_share_a_plain_port() {
    let dev = Dev::start([web(), echo("one"), one_rule("r", ROUTE)]).await;
    let one = dev.ask("http://a.test:8080/").send().await;
    let two = dev.ask("http://a.test:8080/").http2().send().await;
    assert_eq!((one.0.spoken.to_string(), two.0.spoken.to_string()), ("HTTP/1.1".to_owned(), "HTTP/2".to_owned()));
    assert_eq!(two.echo().host, "a.test:8080");
    assert_eq!(two.echo().protocol, "HTTP/1.1", "the backend speaks what its Service says");
}

#[tokio::test]
async fn a_backend_of_app_protocol_h2c_is_asked_over_http2() {
    let ports = "- {port: 8080, appProtocol: kubernetes.io/h2c}";
    let dev = Dev::start([web(), echo_with("one", 1, ports), one_rule("r", ROUTE)]).await;
    let reply = dev.ask("POST http://a.test:8080/p?q").body("text").send().await;
    assert_eq!((reply.echo().protocol.as_str(), reply.echo().body.as_str()), ("HTTP/2.0", "text"));
    let tally = dev.ask("http://a.test:8080/").http2().many(200, 8).await;
    assert_eq!((tally.status(200), tally.failed()), (200, 0), "{tally:?}");
}

fn grpc_route(rule: &str) -> String {
    route("GRPCRoute", "calls", &format!("parentRefs: [{{name: web}}]\nrules:\n-\n{}", indented(rule, 2)))
}

const ECHO: &str = "portolan.echo.v1.Echo/Echo";

/// The messages of an answer, which the client shows as JSON.
fn messages(reply: &Reply) -> Vec<Value> {
    reply.0.messages.iter().map(|message| serde_json::from_slice(message).unwrap()).collect()
}

#[tokio::test]
async fn grpc_calls_pass_with_their_metadata_and_status() {
    let rule = "matches: [{method: {service: portolan.echo.v1.Echo}, headers: [{name: x-tenant, value: a}]}]\n\
                filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: here}]}}]\n\
                backendRefs: [{name: one, port: 8080}]";
    let dev = Dev::start([web(), echo("one"), grpc_route(rule)]).await;
    let call = || dev.ask("http://a.test:8080/").grpc(ECHO).header("x-tenant", "a").body("hello");
    let reply = call().send().await;
    assert_eq!(reply.0.code, Code::Grpc { code: 0, message: String::new() });
    let answers = messages(&reply);
    assert_eq!((&answers[0]["message"], &answers[0]["pod"]), (&"hello".into(), &"one-0".into()));
    let metadata = answers[0]["metadata"].to_string();
    assert!(metadata.contains("x-set") && metadata.contains("here"), "{metadata}");
    let failed = call().header("echo-grpc-status", "5").header("echo-grpc-message", "lost").send().await;
    assert_eq!(failed.0.code, Code::Grpc { code: 5, message: "lost".to_owned() });
    let trailing = call().header("echo-trailer", "x-sum:42").send().await;
    assert_eq!(trailing.trailer("x-sum"), Some("42"));
}

#[tokio::test]
async fn grpc_streams_pass_message_by_message() {
    let dev = Dev::start([web(), echo("one"), grpc_route(ROUTE)]).await;
    let ask = dev.ask("http://a.test:8080/").grpc("portolan.echo.v1.Echo/ServerStream");
    let reply = ask.body("{\"message\": \"tick\", \"count\": 5}").send().await;
    let sequence: Vec<_> = messages(&reply).iter().map(|answer| answer["sequence"].clone()).collect();
    assert_eq!(sequence, [1, 2, 3, 4, 5]);
    let ask = dev.ask("http://a.test:8080/").grpc("portolan.echo.v1.Echo/BidiStream").body("a").body("b");
    let answers: Vec<_> = messages(&ask.body("c").send().await).iter().map(|one| one["message"].clone()).collect();
    assert_eq!(answers, ["a", "b", "c"]);
}

#[tokio::test]
async fn grpc_calls_without_a_route_or_backend_get_a_grpc_status() {
    let rule = "matches: [{method: {service: other.Service}}]\nbackendRefs: [{name: absent, port: 8080}]";
    let dev = Dev::start([web(), echo("one"), grpc_route(rule)]).await;
    let code = |reply: Reply| match reply.0.code {
        Code::Grpc { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let unrouted = dev.ask("http://a.test:8080/").grpc(ECHO).body("x").send().await;
    assert_eq!(code(unrouted), 12, "UNIMPLEMENTED");
    let invalid = dev.ask("http://a.test:8080/").grpc("other.Service/Any").body("x").send().await;
    assert_eq!(code(invalid), 14, "UNAVAILABLE");
}

#[tokio::test]
async fn a_websocket_passes_in_both_directions() {
    for app_protocol in ["", ", appProtocol: kubernetes.io/ws"] {
        let ports = format!("- {{port: 8080{app_protocol}}}");
        let dev = Dev::start([web(), echo_with("one", 1, &ports), one_rule("r", ROUTE)]).await;
        let reply = dev.ask("ws://a.test:8080/chat").body("hello").body("again").send().await;
        assert_eq!(reply.pod(), "one-0");
        let said: Vec<_> = reply.0.messages[1..].iter().map(|one| String::from_utf8_lossy(one).into_owned()).collect();
        assert_eq!(said, ["hello", "again"]);
    }
}

#[tokio::test]
async fn an_upgrade_that_the_backend_refuses_stays_http() {
    let dev = Dev::start([web(), echo("one"), one_rule("r", ROUTE)]).await;
    let ask = dev.ask("http://a.test:8080/").header("connection", "upgrade").header("upgrade", "unheard-of/1");
    assert_eq!(ask.send().await.pod(), "one-0");
}

fn tcp(backends: &str) -> [String; 2] {
    let listener = gateway("web", "- {name: tcp, port: 9000, protocol: TCP}");
    [
        listener,
        route("TCPRoute", "bytes", &format!("parentRefs: [{{name: web}}]\nrules: [{{backendRefs: {backends}}}]")),
    ]
}

#[tokio::test]
async fn tcp_passes_bytes_and_half_closed_connections() {
    let [gateway, route] = tcp("[{name: one, port: 8080}]");
    let dev = Dev::start([gateway, route, echo_with("one", 1, "- {port: 8080, appProtocol: tcp}")]).await;
    let reply = dev.ask("tcp://a.test:9000").body("WHO\nhello").send().await;
    assert!(reply.text().contains("\"one-0\"") && reply.text().ends_with("hello"), "{}", reply.text());
    let large = dev.ask("tcp://a.test:9000").body(vec![b'z'; 1_000_000]).send().await;
    assert_eq!(large.0.bytes, 1_000_000);
}

#[tokio::test]
async fn tcp_connections_are_spread_by_weight_and_closed_without_a_backend() {
    let [gateway, route] = tcp("[{name: one, port: 8080, weight: 3}, {name: two, port: 8080, weight: 1}]");
    let ports = "- {port: 8080, appProtocol: tcp}";
    let dev = Dev::start([gateway, route, echo_with("one", 1, ports), echo_with("two", 1, ports)]).await;
    let tally = dev.ask("tcp://a.test:9000").body("WHO\n").many(200, 1).await;
    let (one, two) = (tally.pod("one-0"), tally.pod("two-0"));
    // Each worker counts a round of its own, and the kernel chooses the worker: off by a round at most for each.
    assert!(one + two == 200 && (40..=60).contains(&two), "{one} {two}");
    let [gateway, route] = tcp("[{name: absent, port: 8080}]");
    let dev = Dev::start([gateway, route]).await;
    let (text, end) = crate::support::raw::exchange(dev.address(9000).await, b"WHO\n").await;
    assert_eq!(text, "");
    assert_ne!(end, crate::support::raw::End::Silent);
}
