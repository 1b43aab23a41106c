//! Upstream's own examples: the valid ones are taken and lose nothing, the invalid ones are refused at the right field.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use portolan_crds::ApiObject;
use serde_json::Value;

#[test]
fn every_valid_example_is_taken() {
    let (mut taken, mut foreign) = (0, 0);
    for (file, mut object) in common::documents("tests/upstream/valid") {
        let Some(schema) = common::schema_of(&object) else {
            let api_version = object["apiVersion"].as_str().unwrap();
            assert!(!api_version.contains("gateway.networking"), "{file}: {api_version} {}", object["kind"]);
            foreign += 1;
            continue;
        };
        let errors: Vec<String> = schema.admit(&mut object).iter().map(ToString::to_string).collect();
        assert!(errors.is_empty(), "{file}: {}: {errors:#?}", object["metadata"]["name"]);
        taken += 1;
    }
    assert!(taken > 100 && foreign > 5, "{taken} taken, {foreign} of other groups");
}

#[test]
fn every_valid_example_keeps_all_its_fields_in_the_types() {
    for (file, mut object) in
        common::documents("tests/upstream/valid").into_iter().chain(common::documents("tests/rich"))
    {
        let Some(schema) = common::schema_of(&object) else { continue };
        assert_eq!(schema.admit(&mut object), [], "{file}");
        let typed = ApiObject::from_value(object.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut again = serde_json::to_value(&typed).unwrap();
        for part in ["spec", "metadata"] {
            assert_eq!(again[part].take(), object[part].take(), "{file}: {part} of {}", typed.kind());
        }
    }
}

/// Each file, and where the error must be.
const INVALID: &[(&str, &str)] = &[
    (
        "experimental/httproute/invalid-filter-externalauth-bad-http-path.yaml",
        "spec.rules[0].filters[0].externalAuth.backendRef",
    ),
    ("experimental/httproute/invalid-filter-externalauth-empty.yaml", "spec.rules[0].filters[0]"),
    (
        "experimental/httproute/invalid-filter-externalauth-no-protocol.yaml",
        "spec.rules[0].filters[0].externalAuth.protocol",
    ),
    (
        "experimental/httproute/invalid-header-value.yaml",
        "spec.rules[0].filters[0].responseHeaderModifier.add[0].value",
    ),
    ("standard/gateway/duplicate-listeners.yaml", "spec.listeners[1]"),
    ("standard/gateway/hostname-tcp.yaml", "spec.listeners"),
    ("standard/gateway/hostname-udp.yaml", "spec.listeners"),
    ("standard/gateway/invalid-addresses.yaml", "spec.addresses[0]"),
    ("standard/gateway/invalid-listener-name.yaml", "spec.listeners[0].name"),
    ("standard/gateway/invalid-listener-port.yaml", "spec.listeners[0].port"),
    ("standard/gateway/invalid-tls-mode.yaml", "spec.listeners"),
    ("standard/gateway/tlsconfig-tcp.yaml", "spec.listeners"),
    ("standard/gatewayclass/invalid-controller.yaml", "spec.controllerName"),
    ("standard/httproute/duplicate-header-match.yaml", "spec.rules[0].matches[0].headers[1]"),
    ("standard/httproute/duplicate-query-match.yaml", "spec.rules[0].matches[0].queryParams[1]"),
    ("standard/httproute/httproute-portless-backend.yaml", "spec.rules[0].backendRefs[0]"),
    ("standard/httproute/httproute-portless-service.yaml", "spec.rules[0].backendRefs[0]"),
    ("standard/httproute/invalid-backend-group.yaml", "spec.rules[0].backendRefs[0].group"),
    ("standard/httproute/invalid-backend-kind.yaml", "spec.rules[0].backendRefs[0].kind"),
    ("standard/httproute/invalid-backend-port.yaml", "spec.rules[0].backendRefs[0].port"),
    (
        "standard/httproute/invalid-filter-duplicate-header.yaml",
        "spec.rules[0].filters[0].requestHeaderModifier.remove[1]",
    ),
    ("standard/httproute/invalid-filter-duplicate.yaml", "spec.rules[0].filters"),
    ("standard/httproute/invalid-filter-empty.yaml", "spec.rules[0].filters[0]"),
    ("standard/httproute/invalid-filter-wrong-field.yaml", "spec.rules[0].filters[0]"),
    ("standard/httproute/invalid-header-name.yaml", "spec.rules[0].matches[0].headers[0].name"),
    ("standard/httproute/invalid-hostname.yaml", "spec.hostnames[0]"),
    ("standard/httproute/invalid-httpredirect-hostname.yaml", "spec.rules[0].filters[0].requestRedirect.hostname"),
    ("standard/httproute/invalid-method.yaml", "spec.rules[0].matches[0].method"),
    ("standard/httproute/invalid-path-alphanum-specialchars-mix.yaml", "spec.rules[0].matches[0].path"),
    ("standard/httproute/invalid-path-specialchars.yaml", "spec.rules[0].matches[0].path"),
    ("standard/httproute/invalid-request-redirect-with-backendref.yaml", "spec.rules[0]"),
    ("standard/referencegrant/missing-from.yaml", "spec.from"),
    ("standard/referencegrant/missing-ns.yaml", "spec.from[0].namespace"),
    ("standard/referencegrant/missing-to.yaml", "spec.to"),
    ("standard/tlsroute/invalid-hostname.yaml", "spec.hostnames[0]"),
    ("standard/tlsroute/no-hostname.yaml", "spec.hostnames"),
];

#[test]
fn every_invalid_example_is_refused_at_the_right_field() {
    let documents = common::documents("tests/upstream/invalid");
    let known: Vec<&str> = INVALID.iter().map(|(file, _)| *file).collect();
    let files: Vec<&str> = documents.iter().map(|(file, _)| file.as_str()).collect();
    assert_eq!(files, known, "one document a file, each listed with its field");
    for ((file, mut object), (_, field)) in documents.into_iter().zip(INVALID) {
        let errors = common::schema_of(&object).unwrap().admit(&mut object);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            texts.iter().any(|text| text.starts_with(&format!("{field}: "))),
            "{file}: none at {field}: {texts:#?}"
        );
    }
}

#[test]
fn every_bad_address_of_the_example_is_named() {
    let (_, mut object) = common::documents("tests/upstream/invalid")
        .into_iter()
        .find(|(f, _)| f.ends_with("invalid-addresses.yaml"))
        .unwrap();
    let errors = common::schema_of(&object).unwrap().admit(&mut object);
    let at =
        |index: usize| errors.iter().filter(|e| e.to_string().starts_with(&format!("spec.addresses[{index}]"))).count();
    let bad: Vec<usize> =
        (0..object["spec"]["addresses"].as_array().map_or(0, Vec::len)).filter(|index| at(*index) > 0).collect();
    assert_eq!(bad, (0..=8).collect::<Vec<_>>(), "{errors:#?}");
    assert!(
        matches!(object["spec"]["addresses"][0]["type"], Value::String(ref kind) if kind == "IPAddress"),
        "defaulted"
    );
}
