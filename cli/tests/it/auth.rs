//! External authorization: an echo pod decides, by what the client asks of it.

use crate::support::{Dev, manifests::*};

async fn guarded(backend: &str) -> Dev {
    let rule = format!(
        "filters:
- type: ExternalAuth
  externalAuth:
    protocol: HTTP
    backendRef: {{name: {backend}, port: 8080}}
    http: {{path: /check, allowedHeaders: [echo-status, echo-header], allowedResponseHeaders: [x-user]}}
backendRefs: [{{name: one, port: 8080}}]"
    );
    Dev::start([web(), echo("one"), echo("auth"), one_rule("r", &rule)]).await
}

#[tokio::test]
async fn a_request_that_is_allowed_goes_on_with_what_the_service_adds() {
    let dev = guarded("auth").await;
    let reply =
        dev.ask("http://a.test:8080/p").header("echo-header", "x-user:ann").header("x-user", "forged").send().await;
    assert_eq!((reply.pod().as_str(), reply.echo().path.as_str()), ("one-0", "/p"));
    assert_eq!(reply.received("x-user"), ["ann"]);
}

#[tokio::test]
async fn a_request_that_is_denied_gets_the_services_answer() {
    let dev = guarded("auth").await;
    for status in [401, 403] {
        let reply = dev.ask("http://a.test:8080/p").header("echo-status", &status.to_string()).send().await;
        assert_eq!((reply.status(), reply.pod().as_str()), (status, "auth-0"));
        assert!(reply.echo().path.starts_with("/check"), "{reply:?}");
    }
}

#[tokio::test]
async fn without_an_answer_the_request_does_not_go_on() {
    let dev = guarded("auth").await;
    assert!(dev.ask("http://a.test:8080/").header("echo-status", "500").status().await >= 500);
    let dev = guarded("absent").await;
    assert!(dev.ask("http://a.test:8080/").status().await >= 500);
}
