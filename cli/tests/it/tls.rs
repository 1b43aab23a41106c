//! TLS of listeners: terminated for HTTP and for bytes, passed through, mixed on a port; certificates chosen by name
//! and replaced in place.

use crate::support::{
    Dev,
    certificates::{Authority, secret},
    manifests::*,
};
use portolan_client::{FailureKind, HttpVersion};

/// The names for which the server's certificate was issued.
fn served_certificate(reply: &crate::support::Reply) -> Vec<u8> {
    reply.0.link.tls.as_ref().unwrap().certificates[0].to_vec()
}

fn https(name: &str, hostname: &str, secrets: &str) -> String {
    format!(
        "- {{name: {name}, port: 8443, protocol: HTTPS, hostname: \"{hostname}\", tls: {{certificateRefs: [{secrets}]}}}}\n"
    )
}

const ROUTE: &str = "backendRefs: [{name: one, port: 8080}]";

#[tokio::test]
async fn https_listeners_are_chosen_by_server_name_and_each_shows_its_certificate() {
    let ca = Authority::new();
    let (exact, wild) = (ca.server(&["a.shop.test"]), ca.server(&["*.shop.test"]));
    let listeners = https("exact", "a.shop.test", "{name: exact}") + &https("wild", "*.shop.test", "{name: wild}");
    let documents =
        [gateway("web", &listeners), secret("exact", &exact), secret("wild", &wild), echo("one"), one_rule("r", ROUTE)];
    let dev = Dev::start(documents).await;
    let ask = |url: &str| dev.ask(url).trust(ca.pem());
    let first = ask("https://a.shop.test:8443/").send().await;
    let second = ask("https://b.shop.test:8443/").send().await;
    assert_eq!((first.pod(), second.pod()), ("one-0".to_owned(), "one-0".to_owned()));
    assert_ne!(served_certificate(&first), served_certificate(&second));
    assert_eq!(first.received("x-forwarded-proto"), ["https"]);
    let unknown = dev.ask("https://other.test:8443/").insecure().fail().await;
    assert!(matches!(unknown.kind(), FailureKind::Tls | FailureKind::Closed | FailureKind::Reset), "{unknown:?}");
}

#[tokio::test]
async fn http_versions_are_agreed_by_alpn() {
    let documents = [gateway("web", &https("x", "a.test", "{name: made}")), echo("one"), one_rule("r", ROUTE)];
    let dev = Dev::start(documents).await;
    // The Secret is written nowhere: `dev` makes it, and the client trusts `dev`'s CA.
    for (version, alpn) in
        [(HttpVersion::Http1, "http/1.1"), (HttpVersion::Http2, "h2"), (HttpVersion::Negotiated, "h2")]
    {
        let reply = dev.ask("https://a.test:8443/").version(version).send().await;
        assert_eq!(reply.pod(), "one-0");
        assert_eq!(reply.0.link.tls.as_ref().unwrap().alpn, alpn);
    }
}

#[tokio::test]
async fn of_several_certificates_the_one_for_the_name_is_shown() {
    let ca = Authority::new();
    let (one, two) = (ca.server(&["a.test"]), ca.server(&["b.test"]));
    let listener = "- {name: x, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: one}, {name: two}]}}";
    let documents =
        [gateway("web", listener), secret("one", &one), secret("two", &two), echo("one"), one_rule("r", ROUTE)];
    let dev = Dev::start(documents).await;
    for url in ["https://a.test:8443/", "https://b.test:8443/"] {
        assert_eq!(dev.ask(url).trust(ca.pem()).status().await, 200, "{url}");
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_without_a_restart() {
    let ca = Authority::new();
    let (before, after) = (ca.server(&["a.test"]), ca.server(&["a.test", "again.test"]));
    let gateway = gateway("web", &https("x", "a.test", "{name: cert}"));
    let documents = |issued| [gateway.clone(), secret("cert", issued), echo("one"), one_rule("r", ROUTE)];
    let dev = Dev::start(documents(&before)).await;
    let first = dev.ask("https://a.test:8443/").trust(ca.pem()).send().await;
    dev.save(documents(&after)).await;
    let second = dev.ask("https://a.test:8443/").trust(ca.pem()).send().await;
    assert_ne!(served_certificate(&first), served_certificate(&second));
}

#[tokio::test]
async fn a_request_for_another_listeners_host_is_misdirected() {
    let ca = Authority::new();
    let cert = ca.server(&["a.test", "b.test"]);
    let listeners = https("a", "a.test", "{name: cert}") + &https("b", "b.test", "{name: cert}");
    let dev = Dev::start([gateway("web", &listeners), secret("cert", &cert), echo("one"), one_rule("r", ROUTE)]).await;
    let ask = dev.ask("https://a.test:8443/").trust(ca.pem()).header("host", "b.test");
    assert_eq!(ask.status().await, 421);
}

fn tls_listener(mode: &str, hostname: &str, secret: &str) -> String {
    let certificates =
        if secret.is_empty() { String::new() } else { format!(", certificateRefs: [{{name: {secret}}}]") };
    format!(
        "- {{name: {0}, port: 8443, protocol: TLS, hostname: {hostname}, tls: {{mode: {mode}{certificates}}}}}\n",
        mode.to_lowercase()
    )
}

fn tls_route(name: &str, hostname: &str, section: &str, backend: &str) -> String {
    let spec = format!(
        "parentRefs: [{{name: web, sectionName: {section}}}]\nhostnames: [{hostname}]\nrules: [{{backendRefs: [{{name: {backend}, port: 8080}}]}}]"
    );
    route("TLSRoute", name, &spec)
}

#[tokio::test]
async fn tls_passes_through_to_the_backend_that_owns_the_certificate() {
    let ca = Authority::new();
    let config = crate::support::certificates::backend_tls(&ca.server(&["a.test"]), None);
    let backend = crate::support::Backend::tls(config).await;
    let dev = Dev::start([
        gateway("web", &tls_listener("Passthrough", "a.test", "")),
        service_at("secure", backend.address, None),
        tls_route("through", "a.test", "passthrough", "secure"),
    ])
    .await;
    let reply = dev.ask("https://a.test:8443/p").trust(ca.pem()).send().await;
    assert_eq!(reply.text(), "ok");
    assert_eq!(backend.seen()[0].server_name.as_deref(), Some("a.test"));
    let other = dev.ask("https://b.test:8443/").insecure().fail().await;
    assert!(matches!(other.kind(), FailureKind::Tls | FailureKind::Closed | FailureKind::Reset), "{other:?}");
}

#[tokio::test]
async fn tls_is_ended_for_a_backend_that_takes_bytes() {
    let ca = Authority::new();
    let dev = Dev::start([
        gateway("web", &tls_listener("Terminate", "a.test", "cert")),
        secret("cert", &ca.server(&["a.test"])),
        echo_with("bytes", 1, "- {port: 8080, appProtocol: tcp}"),
        tls_route("ended", "a.test", "terminate", "bytes"),
    ])
    .await;
    let reply = dev.ask("tls://a.test:8443").trust(ca.pem()).body("WHO\nhello").send().await;
    assert!(reply.text().contains("\"bytes-0\"") && reply.text().ends_with("hello"), "{}", reply.text());
}

#[tokio::test]
async fn a_port_serves_https_and_passes_other_names_through() {
    let ca = Authority::new();
    let config = crate::support::certificates::backend_tls(&ca.server(&["b.test"]), None);
    let backend = crate::support::Backend::tls(config).await;
    let listeners = https("https", "a.test", "{name: cert}") + &tls_listener("Passthrough", "b.test", "");
    let dev = Dev::start([
        gateway("web", &listeners),
        secret("cert", &ca.server(&["a.test"])),
        service_at("secure", backend.address, None),
        tls_route("through", "b.test", "passthrough", "secure"),
        echo("one"),
        one_rule("r", ROUTE),
    ])
    .await;
    assert_eq!(dev.ask("https://a.test:8443/").trust(ca.pem()).send().await.pod(), "one-0");
    assert_eq!(dev.ask("https://b.test:8443/").trust(ca.pem()).send().await.text(), "ok");
}
