//! Certificates on both sides: of clients at listeners, and of backends and the Gateway between them.

use crate::support::{
    Backend, Dev,
    certificates::{Authority, backend_tls, secret},
    manifests::*,
};

const LISTENER: &str =
    "- {name: x, port: 8443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: cert}]}}";
const ROUTE: &str = "backendRefs: [{name: one, port: 8080}]";

async fn validating(ca: &Authority, clients: &Authority, mode: &str) -> Dev {
    let validation = format!(
        "tls: {{frontend: {{default: {{validation: {{mode: {mode}, caCertificateRefs: [{{group: \"\", kind: ConfigMap, name: clients}}]}}}}}}}}"
    );
    Dev::start([
        gateway_with("web", LISTENER, &validation),
        secret("cert", &ca.server(&["a.test"])),
        clients.config_map("clients"),
        echo("one"),
        one_rule("r", ROUTE),
    ])
    .await
}

#[tokio::test]
async fn only_clients_with_a_valid_certificate_are_served() {
    let (ca, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let dev = validating(&ca, &clients, "AllowValidOnly").await;
    let ask = || dev.ask("https://a.test:8443/").trust(ca.pem());
    let (certificate, key) = clients.client_files("known");
    assert_eq!(ask().identity(certificate, key).send().await.pod(), "one-0");
    // In TLS 1.3 the refusal may come at any time after the client's side of the handshake.
    ask().fail().await;
    let (certificate, key) = strangers.client_files("unknown");
    ask().identity(certificate, key).fail().await;
    dev.limit_above("tls_handshake_failed", 1).await;
}

#[tokio::test]
async fn with_insecure_fallback_every_client_is_served() {
    let (ca, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let dev = validating(&ca, &clients, "AllowInsecureFallback").await;
    let ask = || dev.ask("https://a.test:8443/").trust(ca.pem());
    for (certificate, key) in [clients.client_files("known"), strangers.client_files("unknown")] {
        assert_eq!(ask().identity(certificate, key).status().await, 200);
    }
    assert_eq!(ask().status().await, 200);
}

/// A BackendTLSPolicy for the Service `secure`.
fn policy(validation: &str) -> String {
    let spec =
        format!("targetRefs: [{{group: \"\", kind: Service, name: secure}}]\nvalidation:\n{}", indented(validation, 2));
    route("BackendTLSPolicy", "policy", &spec)
}

const TO_SECURE: &str = "backendRefs: [{name: secure, port: 8080}]";
const BY_CA: &str = "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}]";

async fn with_policy(backend: &Backend, ca: &Authority, validation: &str) -> Dev {
    Dev::start([
        web(),
        service_at("secure", backend.address, None),
        ca.config_map("ca"),
        policy(validation),
        one_rule("r", TO_SECURE),
    ])
    .await
}

#[tokio::test]
async fn a_backend_is_asked_over_tls_by_the_name_of_its_policy() {
    let ca = Authority::new();
    let backend = Backend::tls(backend_tls(&ca.server(&["inner.test"]), None)).await;
    let dev = with_policy(&backend, &ca, &format!("hostname: inner.test\n{BY_CA}")).await;
    assert_eq!(dev.ask("http://a.test:8080/").send().await.text(), "ok");
    assert_eq!(backend.seen()[0].server_name.as_deref(), Some("inner.test"));
    assert_eq!(backend.seen()[0].headers["host"], "a.test:8080");
}

#[tokio::test]
async fn a_backend_whose_certificate_is_for_another_name_or_of_another_authority_is_not_asked() {
    let (ca, other) = (Authority::new(), Authority::new());
    let backend = Backend::tls(backend_tls(&ca.server(&["inner.test"]), None)).await;
    for (authority, name) in [(&ca, "outer.test"), (&other, "inner.test")] {
        let dev = with_policy(&backend, authority, &format!("hostname: {name}\n{BY_CA}")).await;
        let status = dev.ask("http://a.test:8080/").status().await;
        assert!((502..=503).contains(&status), "{status}");
    }
    assert!(backend.seen().is_empty());
}

#[tokio::test]
async fn subject_alternative_names_of_the_policy_stand_in_place_of_its_hostname() {
    let ca = Authority::new();
    let backend = Backend::tls(backend_tls(&ca.server(&["alt.test", "spiffe://here/ns/a"]), None)).await;
    for (names, works) in [
        ("[{type: Hostname, hostname: alt.test}]", true),
        ("[{type: URI, uri: 'spiffe://here/ns/a'}]", true),
        ("[{type: Hostname, hostname: inner.test}]", false),
        ("[{type: URI, uri: 'spiffe://here/ns/b'}, {type: Hostname, hostname: alt.test}]", true),
    ] {
        let validation = format!("hostname: inner.test\n{BY_CA}\nsubjectAltNames: {names}");
        let dev = with_policy(&backend, &ca, &validation).await;
        assert_eq!(dev.ask("http://a.test:8080/").status().await == 200, works, "{names}");
    }
    assert!(backend.seen().iter().all(|seen| seen.server_name.as_deref() == Some("inner.test")));
}

#[tokio::test]
async fn a_policy_whose_ca_does_not_exist_sends_nothing_to_the_backend() {
    let ca = Authority::new();
    let backend = Backend::tls(backend_tls(&ca.server(&["inner.test"]), None)).await;
    let absent = "caCertificateRefs: [{group: \"\", kind: ConfigMap, name: absent}]";
    let dev = with_policy(&backend, &ca, &format!("hostname: inner.test\n{absent}")).await;
    let status = dev.ask("http://a.test:8080/").status().await;
    assert!((500..=503).contains(&status), "{status}");
    assert!(backend.seen().is_empty());
    assert!(dev.output().contains("BackendTLSPolicy default/policy"), "{}", dev.output());
}

#[tokio::test]
async fn the_gateway_shows_its_own_certificate_to_backends_that_ask() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let backend = Backend::tls(backend_tls(&ca.server(&["inner.test"]), Some(&clients))).await;
    let documents = |more: &str| {
        [
            gateway_with("web", HTTP, more),
            secret("own", &clients.client(&["gateway.test"])),
            service_at("secure", backend.address, None),
            ca.config_map("ca"),
            policy(&format!("hostname: inner.test\n{BY_CA}")),
            one_rule("r", TO_SECURE),
        ]
    };
    let dev = Dev::start(documents("tls: {backend: {clientCertificateRef: {name: own}}}")).await;
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 200);
    assert!(backend.seen()[0].client_certificate);
    let dev = Dev::start(documents("")).await;
    let status = dev.ask("http://a.test:8080/").status().await;
    assert!((502..=503).contains(&status), "{status}");
}
