//! The other commands against a running `dev`: `request`, `status`, and what `dev` says of itself.

use crate::support::{Dev, DevBuilder, manifests::*, portolan};

async fn shop() -> Dev {
    let rule = "backendRefs: [{name: one, port: 8080, weight: 3}, {name: two, port: 8080, weight: 1}]";
    let documents = [
        gateway(
            "web",
            "- {name: http, port: 8080, protocol: HTTP, hostname: shop.test}\n- {name: tls, port: 8443, protocol: HTTPS, hostname: shop.test, tls: {certificateRefs: [{name: made}]}}",
        ),
        echo("one"),
        echo("two"),
        one_rule("shop", rule),
    ];
    Dev::start(documents).await
}

#[tokio::test]
async fn request_knows_names_addresses_and_the_local_ca() {
    let dev = shop().await;
    let one = dev.portolan(&["request", "http://shop.test:8080/cart"]);
    assert!(one.code == 0 && one.text.contains("\"/cart\""), "{}", one.text);
    let tls = dev.portolan(&["request", "--http2", "-i", "https://shop.test:8443/"]);
    assert!(tls.code == 0 && tls.text.contains("200"), "{}", tls.text);
    let service = dev.portolan(&["request", "http://two:8080/"]);
    assert!(service.text.contains("two-0"), "{}", service.text);
    let call = dev.portolan(&["request", "--grpc", "-d", "hello", "http://one.default:8080"]);
    assert!(call.code == 0 && call.text.contains("hello"), "{}", call.text);
    let failed = dev.portolan(&["request", "--fail", "http://shop.test:8080/?echo-status=404"]);
    assert_eq!(failed.code, 22, "{}", failed.text);
}

#[tokio::test]
async fn request_tallies_answers_by_backend() {
    let dev = shop().await;
    let tally = dev.portolan(&["request", "-n", "40", "http://shop.test:8080/"]);
    assert!(tally.code == 0, "{}", tally.text);
    let line = |pod: &str| tally.stdout.lines().find(|line| line.contains(pod)).unwrap_or_default().to_owned();
    assert!(line("one-0").contains("30") && line("two-0").contains("10"), "{}", tally.text);
}

#[tokio::test]
async fn status_shows_listeners_routes_and_backends() {
    let dev = shop().await;
    dev.ask("http://shop.test:8080/").many(20, 1).await;
    let told = dev.portolan(&["status"]);
    assert_eq!(told.code, 0, "{}", told.text);
    for words in ["Gateway default/web", "HTTPRoute/default/shop", "default/one:8080"] {
        assert!(told.text.contains(words), "{words:?} is missing:\n{}", told.text);
    }
}

#[tokio::test]
async fn explain_names_the_routes_that_are_not_accepted_where_no_rule_takes_a_request() {
    let spec = "parentRefs: [{name: web}]\nhostnames: [other.test]\nrules: [{backendRefs: [{name: one, port: 8080}]}]";
    let listeners = "- {name: http, port: 8080, protocol: HTTP, hostname: '*.shop.test'}";
    let served = one_rule("served", "matches: [{path: {value: /cart}}]\nbackendRefs: [{name: one, port: 8080}]");
    let dev = Dev::start([gateway("web", listeners), echo("one"), served, route("HTTPRoute", "meant", spec)]).await;
    let told = dev.portolan(&["explain", "http://other.test:8080/"]);
    assert_eq!(told.code, 1, "{}", told.text);
    for words in ["rejected", "HTTPRoute default/meant", "other.test", "*.shop.test"] {
        assert!(told.text.contains(words), "{words:?} is missing:\n{}", told.text);
    }
    let taken = dev.portolan(&["explain", "http://a.shop.test:8080/cart"]);
    assert!(taken.code == 0 && !taken.text.contains("rejected"), "{}", taken.text);
}

#[tokio::test]
async fn explain_says_why_nothing_listens_and_which_ports_there_are() {
    let far = "tls: {certificateRefs: [{name: far, namespace: elsewhere}]}";
    let listeners =
        format!("- {{name: http, port: 8080, protocol: HTTP}}\n- {{name: https, port: 8443, protocol: HTTPS, {far}}}");
    let served = one_rule("served", "backendRefs: [{name: one, port: 8080}]");
    let dev = Dev::start([gateway("web", &listeners), echo("one"), served]).await;
    let told = dev.portolan(&["explain", "https://a.test:8443/"]);
    assert_eq!(told.code, 1, "{}", told.text);
    for words in [
        "nothing listens for https on port 8443",
        "Gateways have 8080 (HTTP)",
        "rejected",
        "listener https",
        "refer to Secret far",
    ] {
        assert!(told.text.contains(words), "{words:?} is missing:\n{}", told.text);
    }
    assert_eq!(told.text.matches("refer to Secret far").count(), 1, "one fault is told once: {}", told.text);
    let told = dev.portolan(&["explain", "https://a.test:8080/"]);
    assert!(told.text.contains("nothing listens for https on port 8080"), "{}", told.text);
}

#[tokio::test]
async fn the_access_log_tells_route_backend_and_who_ended_it() {
    let documents = [web(), echo("one"), one_rule("shop", "backendRefs: [{name: one, port: 8080}]")];
    let dev = DevBuilder::default().manifests(documents).args(&["--access-log", "stdout"]).start().await;
    dev.ask("http://a.test:8080/logged?echo-status=404").send().await;
    let logged = || async { dev.output().lines().find(|line| line.contains("/logged")).map(str::to_owned) };
    let line = crate::support::eventually("logged", logged).await;
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = entry.to_string();
    for words in ["404", "default/shop", "default/one:8080"] {
        assert!(text.contains(words), "{words:?} is missing: {line}");
    }
}

#[tokio::test]
async fn the_admin_port_tells_health_metrics_and_the_snapshot() {
    let dev = shop().await;
    dev.ask("http://shop.test:8080/").send().await;
    assert_eq!(dev.admin_text("/healthz").await, "ok\n");
    assert_eq!(dev.admin_text("/readyz").await, "ready\n");
    let requests =
        || async { (dev.metric("http_server_request_duration_seconds_count", "shop").await > 0).then_some(()) };
    crate::support::eventually("a request is counted", requests).await;
    let snapshot = dev.admin_json("/snapshot").await;
    assert!(snapshot["ports"].to_string().contains("HTTPRoute default/shop rule 0"), "{snapshot}");
    assert!(!snapshot.to_string().contains("PRIVATE KEY"));
}

#[test]
fn every_command_has_help_and_shells_get_completions() {
    for command in ["dev", "check", "explain", "request", "status", "completions"] {
        let help = portolan([command, "--help"]);
        assert!(help.code == 0 && help.text.contains("Usage:"), "{}", help.text);
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(portolan(["completions", shell]).stdout.contains("portolan"));
    }
    assert_eq!(portolan(["no-such-command"]).code, 2);
}

#[tokio::test]
async fn commands_of_annotations_run_only_where_that_is_allowed() {
    let pod = object(
        "v1",
        "Pod",
        "own",
        "spec: {containers: [{name: c, image: example.com/own, ports: [{containerPort: 8080}]}]}",
    );
    let command = "python3 -m http.server $PORT --bind $POD_IP";
    let pod = pod.replace(
        "namespace: default}",
        &format!(
            "namespace: default, labels: {{app: own}}, annotations: {{portolan.dev/dev-command: \"{command}\"}}}}"
        ),
    );
    let documents =
        [web(), pod, service("own", "own", "- {port: 8080}"), one_rule("r", "backendRefs: [{name: own, port: 8080}]")];
    let played = Dev::start(&documents).await;
    assert_eq!(played.ask("http://a.test:8080/").send().await.pod(), "own", "an echo server plays it");
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        return eprintln!("SKIPPED: there is no python3 to run as a command");
    }
    let allowed = DevBuilder::default().manifests(&documents).args(&["--allow-commands"]).start().await;
    let served = || async {
        let reply = allowed.ask("http://a.test:8080/").send().await;
        (reply.status() == 200).then_some(reply)
    };
    let reply = crate::support::eventually("the command serves", served).await;
    assert!(reply.header("server").unwrap_or_default().contains("SimpleHTTP"), "{reply:?}");
}
