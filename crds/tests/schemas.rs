//! What is served, that every schema and rule is usable, and how admission treats defaults, status and typing errors.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use portolan_crds::schema::{self, FieldErrorKind, Scope};
use serde_json::{Value, json};

#[test]
fn every_served_version_is_found() {
    let served: Vec<String> = schema::all().iter().map(|s| format!("{} {}", s.api_version(), s.kind())).collect();
    let gateway = |version: &str, kind: &str| format!("gateway.networking.k8s.io/{version} {kind}");
    let expected = [
        gateway("v1", "BackendTLSPolicy"),
        gateway("v1alpha3", "BackendTLSPolicy"),
        gateway("v1", "GatewayClass"),
        gateway("v1beta1", "GatewayClass"),
        gateway("v1", "Gateway"),
        gateway("v1beta1", "Gateway"),
        gateway("v1", "GRPCRoute"),
        gateway("v1", "HTTPRoute"),
        gateway("v1beta1", "HTTPRoute"),
        gateway("v1", "ListenerSet"),
        gateway("v1", "ReferenceGrant"),
        gateway("v1beta1", "ReferenceGrant"),
        gateway("v1", "TCPRoute"),
        gateway("v1alpha2", "TCPRoute"),
        gateway("v1", "TLSRoute"),
        gateway("v1alpha2", "TLSRoute"),
        gateway("v1alpha3", "TLSRoute"),
        gateway("v1", "UDPRoute"),
        gateway("v1alpha2", "UDPRoute"),
        "portolan.dev/v1alpha1 GatewayConfig".to_owned(),
        "portolan.dev/v1alpha1 WasmFilter".to_owned(),
    ];
    assert_eq!(served, expected);
    assert!(schema::lookup("gateway.networking.k8s.io/v1alpha2", "HTTPRoute").is_none());
    assert_eq!(schema::known_groups(), ["gateway.networking.k8s.io", "portolan.dev"]);
    for schema in schema::all() {
        let cluster = if schema.kind() == "GatewayClass" { Scope::Cluster } else { Scope::Namespaced };
        assert_eq!(schema.scope(), cluster, "{}", schema.kind());
        assert_eq!(
            schema.deprecation().is_some(),
            schema.api_version().contains("alpha") && !schema.api_version().starts_with("portolan.dev")
        );
    }
}

#[test]
fn every_rule_of_every_schema_can_be_evaluated() {
    let unsupported: Vec<_> = schema::all().iter().flat_map(|schema| schema.unsupported_rules()).collect();
    assert_eq!(unsupported, [], "name these in the documentation");
}

fn admit(mut object: Value) -> (Value, Vec<String>) {
    let schema = common::schema_of(&object).expect("a served kind");
    let errors = schema.admit(&mut object).iter().map(ToString::to_string).collect();
    (object, errors)
}

fn route(spec: Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "r"}, "spec": spec})
}

#[test]
fn defaults_are_filled_in_before_rules_see_the_object() {
    let (object, errors) =
        admit(route(json!({"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [{"name": "s", "port": 80}]}]})));
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(
        object["spec"]["parentRefs"][0],
        json!({"name": "g", "group": "gateway.networking.k8s.io", "kind": "Gateway"})
    );
    assert_eq!(object["spec"]["rules"][0]["matches"], json!([{"path": {"type": "PathPrefix", "value": "/"}}]));
    assert_eq!(
        object["spec"]["rules"][0]["backendRefs"][0],
        json!({"name": "s", "port": 80, "group": "", "kind": "Service", "weight": 1})
    );
}

#[test]
fn a_mistyped_field_is_named_with_the_one_that_was_meant_and_all_that_are_allowed() {
    let (_, errors) = admit(route(json!({"rules": [{"backendRef": []}]})));
    let allowed = "backendRefs, filters, matches, name, retry, sessionPersistence, timeouts";
    assert_eq!(
        errors,
        [format!("spec.rules[0].backendRef: Unknown field: did you mean \"backendRefs\"? allowed are {allowed}")]
    );
    let mut object = route(json!({}));
    object["metadata"]["lables"] = json!({});
    object["sepc"] = json!({});
    let (_, errors) = admit(object);
    assert_eq!(
        errors[1],
        "sepc: Unknown field: did you mean \"spec\"? allowed are apiVersion, kind, metadata, spec, status"
    );
    assert!(
        errors[0].starts_with("metadata.lables: Unknown field: did you mean \"labels\"? allowed are "),
        "{errors:?}"
    );
}

#[test]
fn a_wrong_enumerated_value_lists_those_that_are_supported() {
    let (_, errors) = admit(route(json!({"rules": [{"filters": [{"type": "Foo"}]}]})));
    let expected =
        "spec.rules[0].filters[0].type: Unsupported value: \"Foo\": supported values: \"RequestHeaderModifier\", ";
    assert!(errors[0].starts_with(expected), "{errors:#?}");
    assert!(errors[1].starts_with("Not fully checked: "), "rules did not run, and this says so: {errors:#?}");
}

#[test]
fn rules_give_their_message_at_the_place_where_they_stand() {
    let (_, errors) = admit(route(json!({"rules": [{"matches": [{"path": {"type": "Exact", "value": "x"}}]}]})));
    let expected = "spec.rules[0].matches[0].path: Invalid value: \"object\": value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']";
    assert_eq!(errors, [expected]);
}

#[test]
fn a_status_that_a_user_gives_is_dropped_for_its_default() {
    let mut object =
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "c"}});
    object["spec"] = json!({"controllerName": "a.b/c"});
    object["status"] = json!({"conditions": [{"type": "not checked"}], "unknown": 1});
    let (object, errors) = admit(object);
    assert_eq!(errors.len(), 1, "unknown fields are errors in a status too: {errors:?}");
    assert_eq!(object["status"]["conditions"][0]["message"], "Waiting for controller");

    let (object, errors) = admit(route(json!({})));
    assert_eq!((errors, object.get("status")), (vec![], None), "HTTPRoute's status has no default");
}

#[test]
fn a_status_write_is_validated() {
    let mut object = route(json!({}));
    let parent = json!({"parentRef": {"name": "g"}, "controllerName": "not a path", "conditions": []});
    object["status"] = json!({"parents": [parent]});
    let errors = common::schema_of(&object).unwrap().admit_status(&mut object);
    assert!(errors.iter().any(|e| e.to_string().starts_with("status.parents[0].controllerName: ")), "{errors:#?}");
}

#[test]
fn something_that_is_no_object_is_an_error_and_no_panic() {
    let schema = schema::lookup("gateway.networking.k8s.io/v1", "HTTPRoute").unwrap();
    for mut value in [json!(null), json!([]), json!("x"), json!(1), json!({"metadata": [], "spec": 1, "status": "x"})] {
        let errors = schema.admit(&mut value);
        assert!(errors.iter().any(|error| matches!(error.kind, FieldErrorKind::Type { .. })), "{value}: {errors:?}");
    }
}
