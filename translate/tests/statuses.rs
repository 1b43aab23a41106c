//! Statuses as a program reads them: every condition with its place, those that tell of something wrong, and JSON.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use portolan_translate::{ObjectName, Objects, statuses::ObjectStatus, translate};
use serde_json::Value;
use std::{fs, path::Path};
use support::input;

const ROUTE_WITHOUT_SERVICE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw}
spec: {gatewayClassName: portolan, listeners: [{name: http, port: 80, protocol: HTTP}, {name: odd, port: 81, protocol: example.com/odd}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec: {parentRefs: [{name: gw, sectionName: http}], rules: [{backendRefs: [{name: absent, port: 80}]}]}
";

#[test]
fn problems_name_object_part_condition_reason_and_message() {
    let input = input::read(ROUTE_WITHOUT_SERVICE);
    let statuses = translate(&input.objects, &input.edges, None).statuses;
    let problems: Vec<String> = statuses.problems().map(|problem| problem.to_string()).collect();
    assert_eq!(
        problems,
        [
            "Gateway default/gw, listener odd: Accepted=False UnsupportedProtocol: protocol: example.com/odd is not supported; \
             HTTP, HTTPS, TLS, TCP and UDP are",
            "Gateway default/gw, listener odd: Programmed=False Invalid: protocol: example.com/odd is not supported; HTTP, \
             HTTPS, TLS, TCP and UDP are",
            "HTTPRoute default/r, parent Gateway gw section http: ResolvedRefs=False BackendNotFound: \
             spec.rules[0].backendRefs[0]: Service default/absent does not exist",
        ]
    );
    assert!(statuses.conditions().count() > problems.len());
}

#[test]
fn a_condition_that_only_warns_is_no_problem() {
    let input = input::read(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: gw}, spec: {gatewayClassName: portolan, \
         listeners: [{name: http, port: 80, protocol: HTTP}]}}",
    );
    let statuses = translate(&input.objects, &input.edges, None).statuses;
    assert!(statuses.conditions().any(|reported| reported.condition.type_ == "Conflicted"));
    assert_eq!(statuses.problems().count(), 0);
}

#[test]
fn json_is_what_the_api_server_takes_as_a_status() {
    let input = input::read(ROUTE_WITHOUT_SERVICE);
    let statuses = translate(&input.objects, &input.edges, None).statuses;
    let objects: Vec<_> = statuses.objects().map(|object| serde_json::to_value(object).unwrap()).collect();
    assert_eq!(objects.len(), 2);
    let route = objects.iter().find(|object| object["kind"] == "HTTPRoute").unwrap();
    assert_eq!(route["apiVersion"], "gateway.networking.k8s.io/v1");
    assert_eq!(route["metadata"], serde_json::json!({"name": "r", "namespace": "default"}));
    let parent = &route["status"]["parents"][0];
    assert_eq!(parent["controllerName"], input::CONTROLLER);
    assert_eq!(parent["conditions"][0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
}

#[test]
fn every_status_of_the_golden_tests_is_valid_by_its_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut checked = 0;
    for folder in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let text = fs::read_to_string(folder.join("input.yaml")).unwrap();
        if text.contains("# admission: off") {
            continue;
        }
        let input = input::read(&text);
        for status in translate(&input.objects, &input.edges, None).statuses.objects() {
            let mut object = object(&input.objects, &status);
            object["status"] = status.status;
            let schema = portolan_crds::schema::lookup(status.api_version, status.kind).unwrap();
            let errors = schema.admit_status(&mut object);
            assert!(errors.is_empty(), "{} {}: {errors:?}", folder.display(), status.metadata);
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} statuses were checked");
}

/// The object that a status belongs to, as JSON.
fn object(objects: &Objects, status: &ObjectStatus) -> Value {
    let part = |field: &str| status.metadata[field].as_str().unwrap_or_default().to_owned();
    let name = ObjectName::new(part("namespace"), part("name"));
    let json = |found: Result<Value, serde_json::Error>| found.unwrap();
    match status.kind {
        "GatewayClass" => json(serde_json::to_value(&*objects.gateway_classes[&name])),
        "Gateway" => json(serde_json::to_value(&*objects.gateways[&name])),
        "ListenerSet" => json(serde_json::to_value(&*objects.listener_sets[&name])),
        "HTTPRoute" => json(serde_json::to_value(&*objects.http_routes[&name])),
        "GRPCRoute" => json(serde_json::to_value(&*objects.grpc_routes[&name])),
        "TLSRoute" => json(serde_json::to_value(&*objects.tls_routes[&name])),
        "TCPRoute" => json(serde_json::to_value(&*objects.tcp_routes[&name])),
        "UDPRoute" => json(serde_json::to_value(&*objects.udp_routes[&name])),
        "BackendTLSPolicy" => json(serde_json::to_value(&*objects.backend_tls_policies[&name])),
        "WasmFilter" => json(serde_json::to_value(&*objects.wasm_filters[&name])),
        other => panic!("{other} has no status"),
    }
}
