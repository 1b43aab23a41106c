//! Manifests that are wrong: named by `check` with file, line and field or condition, while `dev` serves all the rest.

use crate::support::{Dev, Finished, certificates::Authority, certificates::secret_of, manifests::*, portolan};

/// What `check` says of these files.
fn check(files: &[(&str, &str)]) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    portolan(["check".as_ref(), directory.path().as_os_str()])
}

/// A good configuration, and a file beside it that is not.
async fn serving_beside(bad: &str) -> Dev {
    let dev = Dev::start(good()).await;
    dev.save_file("bad.yaml", bad).await;
    assert!(dev.output().contains("problem: "), "{}", dev.output());
    assert_eq!(dev.ask("http://a.test:8080/").send().await.pod(), "one-0", "{bad}");
    dev
}

fn good() -> [String; 3] {
    [web(), echo("one"), one_rule("good", "backendRefs: [{name: one, port: 8080}]")]
}

/// Each way to be wrong: what is written, and what `check` must say of it, the place among it.
fn wrong() -> Vec<(String, Vec<&'static str>)> {
    let route = |rule: &str| one_rule("wrong", rule);
    let ca = Authority::new();
    let mixed = secret_of("cert", &ca.server(&["a.test"]).certificate_pem, &ca.server(&["b.test"]).key_pem);
    let https = gateway("tls", "- {name: x, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}");
    vec![
        ("kind: Service\n  name: [".to_owned(), vec!["bad.yaml:2"]),
        (object("gateway.networking.k8s.io/v1", "HTTPRoot", "x", "spec: {}"), vec!["bad.yaml:", "HTTPRoot"]),
        (route("backendRef: []"), vec!["bad.yaml:", "HTTPRoute default/wrong", "backendRef"]),
        (route("timeouts: {request: soon}"), vec!["bad.yaml:", "spec.rules[0].timeouts.request"]),
        (route("backendRefs: [{name: one, port: eighty}]"), vec!["bad.yaml:", "spec.rules[0].backendRefs[0].port"]),
        (
            route("backendRefs: [{name: absent, port: 8080}]"),
            vec!["bad.yaml:", "ResolvedRefs=False BackendNotFound", "absent"],
        ),
        (
            route(
                "matches: [{path: {type: RegularExpression, value: '/(unclosed'}}]\nbackendRefs: [{name: one, port: 8080}]",
            ),
            vec!["bad.yaml:", "HTTPRoute default/wrong", "matches[0].path"],
        ),
        (
            gateway("two", "- {name: a, port: 8081, protocol: HTTP}\n- {name: b, port: 8081, protocol: HTTP}"),
            vec!["bad.yaml:", "Gateway default/two", "listener"],
        ),
        (
            format!("{https}\n---\n{mixed}"),
            vec!["bad.yaml:", "Gateway default/tls, listener x", "InvalidCertificateRef", "tls.key"],
        ),
    ]
}

#[test]
fn check_names_file_line_and_what_is_wrong_and_exits_with_1() {
    let good = good().join("\n---\n");
    let fine = check(&[("good.yaml", &good)]);
    assert_eq!(fine.code, 0, "{}", fine.text);
    for (bad, expected) in wrong() {
        let told = check(&[("good.yaml", &good), ("bad.yaml", &bad)]);
        assert_eq!(told.code, 1, "{bad}\n{}", told.text);
        for words in expected {
            assert!(told.text.contains(words), "{words:?} is missing:\n{}\n{bad}", told.text);
        }
        assert!(!told.text.contains("good.yaml"), "what is right is not blamed:\n{}", told.text);
    }
}

#[tokio::test]
async fn a_bad_file_beside_good_ones_leaves_them_served() {
    for (bad, _) in wrong() {
        serving_beside(&bad).await;
    }
}

#[tokio::test]
async fn a_file_that_becomes_unreadable_keeps_what_it_served() {
    let good = good();
    let dev = Dev::start(&good).await;
    dev.save_file("all.yaml", &format!("{}\n---\nkind: [", good.join("\n---\n"))).await;
    assert!(dev.output().contains("all.yaml:"), "{}", dev.output());
    assert_eq!(dev.ask("http://a.test:8080/").send().await.pod(), "one-0");
    dev.save(&good).await;
    assert_eq!(dev.ask("http://a.test:8080/").send().await.pod(), "one-0");
}

#[tokio::test]
async fn a_bad_save_of_a_route_keeps_the_route_that_was() {
    let gateway = web();
    let documents = |rule: &str| [gateway.clone(), echo("one"), one_rule("r", rule)];
    let dev = Dev::start(documents("backendRefs: [{name: one, port: 8080}]")).await;
    dev.save(documents("backendRefs: [{name: one, port: eighty}]")).await;
    assert!(dev.output().contains("spec.rules[0].backendRefs[0].port"), "{}", dev.output());
    assert_eq!(dev.ask("http://a.test:8080/").send().await.pod(), "one-0");
}

#[test]
fn a_module_that_is_no_wasm_is_named_with_its_filter() {
    let filter = object("portolan.dev/v1alpha1", "WasmFilter", "f", "spec: {module: {file: broken.wasm}}");
    let rule = "filters: [{type: ExtensionRef, extensionRef: {group: portolan.dev, kind: WasmFilter, name: f}}]\n\
                backendRefs: [{name: one, port: 8080}]";
    let text = [web(), echo("one"), one_rule("r", rule), filter].join("\n---\n");
    let told = check(&[("all.yaml", &text), ("broken.wasm", "this is no module")]);
    assert_eq!(told.code, 1, "{}", told.text);
    for words in ["all.yaml:", "WasmFilter default/f"] {
        assert!(told.text.contains(words), "{words:?} is missing:\n{}", told.text);
    }
    let absent = check(&[("all.yaml", &text)]);
    assert_eq!(absent.code, 1, "{}", absent.text);
    assert!(absent.text.contains("broken.wasm"), "{}", absent.text);
}

#[test]
fn check_prints_the_statuses_as_json_and_yaml() {
    let directory = tempfile::tempdir().unwrap();
    let bad = one_rule("bad", "backendRefs: [{name: absent, port: 8080}]");
    std::fs::write(directory.path().join("all.yaml"), [web(), bad].join("\n---\n")).unwrap();
    let told = portolan(["check".as_ref(), directory.path().as_os_str(), "-o".as_ref(), "json".as_ref()]);
    let json: serde_json::Value =
        serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {}", told.text));
    assert!(json["objects"].to_string().contains("BackendNotFound"), "{json}");
    let told = portolan(["check".as_ref(), directory.path().as_os_str(), "-o".as_ref(), "yaml".as_ref()]);
    assert!(told.stdout.contains("reason: BackendNotFound"), "{}", told.text);
}

#[test]
fn a_directory_that_does_not_exist_is_wrong_use() {
    let told = portolan(["check", "/nonexistent/manifests"]);
    assert_eq!(told.code, 2, "{}", told.text);
    assert!(told.text.contains("/nonexistent/manifests"), "{}", told.text);
}

#[tokio::test]
async fn notes_are_told_where_nothing_is_listened_on_yet() {
    let foreign = "apiVersion: example.com/v1\nkind: Foreign\nmetadata: {name: f}\n".to_owned();
    let dev = Dev::start([foreign]).await;
    assert!(dev.output().contains("note: ") && dev.output().contains("PARENT"), "{}", dev.output());
}
