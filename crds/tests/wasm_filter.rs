//! WasmFilter's CRD, which is written by hand, agrees with its types: what the types can say the CRD takes, and the
//! defaults of both are the same. (`types.rs` proves the other direction.)
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use portolan_crds::{
    Condition, Duration, ObjectMeta, WasmFilter,
    schema::{Schema, lookup},
    wasm_filter::{
        ConfigSource, FailureMode, KeySelector, WasmFilterSpec, WasmFilterStatus, WasmLimits, WasmModule, WasmService,
        WasmServiceReference,
    },
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time};

fn schema() -> &'static Schema {
    lookup("portolan.dev/v1alpha1", "WasmFilter").unwrap()
}

fn filter(spec: Value) -> Value {
    json!({"apiVersion": "portolan.dev/v1alpha1", "kind": "WasmFilter", "metadata": {"name": "f"}, "spec": spec})
}

fn errors(spec: Value) -> Vec<String> {
    schema().admit(&mut filter(spec)).iter().map(ToString::to_string).collect()
}

/// Every field of every type, without `..`: a new field does not compile until it is here, and in the CRD.
fn full() -> WasmFilter {
    let key = || KeySelector { name: "name".into(), key: "key".into() };
    let service = WasmServiceReference { name: "auth".into(), namespace: Some("other".into()), port: 80 };
    WasmFilter {
        metadata: ObjectMeta { name: Some("f".into()), ..ObjectMeta::default() },
        spec: WasmFilterSpec {
            module: WasmModule {
                file: Some("a.wasm".into()),
                config_map: Some(key()),
                url: Some("https://example.com/a.wasm".into()),
                oci: Some(format!("example.com/a@sha256:{}", "0".repeat(64))),
                sha256: Some("0".repeat(64)),
            },
            config: Some(json!({"any": 1})),
            config_from: Some(ConfigSource { config_map: Some(key()), secret: Some(key()) }),
            failure_mode: FailureMode::Open,
            limits: WasmLimits {
                time_per_call: Duration(time::Duration::from_millis(1500)),
                memory: 1 << 20,
                instances: 2,
            },
            services: vec![WasmService { name: "auth".into(), service }],
        },
        status: Some(WasmFilterStatus { conditions: vec![condition()] }),
    }
}

fn condition() -> Condition {
    let condition = json!({
        "type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2024-01-01T00:00:00Z",
    });
    serde_json::from_value(condition).unwrap()
}

#[test]
fn the_crd_has_every_field_of_the_types() {
    let mut object = serde_json::to_value(full()).unwrap();
    let errors: Vec<String> = schema().admit_status(&mut object).iter().map(ToString::to_string).collect();
    // All sources at once are one too many, which is all that may be wrong.
    let expected = [
        "spec: Invalid value: \"object\": must not have config and configFrom together",
        "spec.module: Invalid value: \"object\": exactly one of file, configMap, url and oci must be given",
        "spec.configFrom: Invalid value: \"object\": exactly one of configMap and secret must be given",
    ];
    assert_eq!(errors, expected);
}

#[test]
fn the_crds_defaults_are_those_of_the_types() {
    let spec = json!({"module": {"file": "a.wasm"}});
    let mut object = filter(spec.clone());
    assert_eq!(schema().admit(&mut object), []);
    let defaulted: WasmFilter = serde_json::from_value(object).unwrap();
    assert_eq!(defaulted.spec, serde_json::from_value(spec).unwrap());
    assert_eq!(defaulted.status.unwrap().conditions[0].reason, "Pending");
}

/// A filter that needs no more than the module, but for one field.
fn with(field: &str, value: Value) -> Value {
    let mut spec = json!({"module": {"file": "a.wasm"}});
    spec[field] = value;
    spec
}

#[test]
fn each_field_refuses_what_it_does_not_take() {
    let service = |name: &str| json!({"name": name, "service": {"name": "a", "port": 80}});
    let oci = |digest: &str| json!({ "oci": format!("a.b/c@{digest}") });
    for (field, value, at) in [
        ("module", json!({"url": "http://a.b/c", "sha256": "0".repeat(64)}), "spec.module.url: "),
        ("module", json!({"oci": "a.b/c:latest"}), "spec.module.oci: "),
        ("module", oci(&format!("sha256:{}", "0".repeat(63))), "spec.module.oci: "),
        ("module", oci(&format!("sha512:{}", "0".repeat(64))), "spec.module.oci: "),
        ("module", json!({"file": "a", "sha256": "F".repeat(64)}), "spec.module.sha256: "),
        ("module", json!({"file": "a", "sha256": "f".repeat(63)}), "spec.module.sha256: "),
        ("module", json!({"file": "a", "sha256": format!("sha256:{}", "f".repeat(57))}), "spec.module.sha256: "),
        ("module", json!({"configMap": {"name": "a"}}), "spec.module.configMap.key: "),
        ("module", json!({"configMap": {"name": "A", "key": "k"}}), "spec.module.configMap.name: "),
        ("module", json!({"configMap": {"name": "a", "key": "k/k"}}), "spec.module.configMap.key: "),
        ("failureMode", json!("open"), "spec.failureMode: "),
        ("limits", json!({"timePerCall": "1.5s"}), "spec.limits.timePerCall: "),
        ("limits", json!({"memory": "64MB"}), "spec.limits.memory: "),
        ("limits", json!({"memory": true}), "spec.limits.memory: "),
        ("limits", json!({"instances": 0}), "spec.limits.instances: "),
        ("services", json!([service("a"), service("a")]), "spec.services[1]: "),
        ("services", json!([{"name": "a", "service": {"name": "a"}}]), "spec.services[0].service.port: "),
    ] {
        let errors = errors(with(field, value.clone()));
        assert!(errors.iter().any(|error| error.starts_with(at)), "{field} {value}: {errors:#?}");
    }
    for (field, value) in [
        ("module", oci(&format!("sha256:{}", "0f".repeat(32)))),
        ("module", json!({"configMap": {"name": "filters", "key": "a.wasm"}, "sha256": "0f".repeat(32)})),
        ("config", json!("text")),
        ("config", json!([1, {"a": null}])),
        ("limits", json!({"timePerCall": "10s", "memory": "4Gi", "instances": 256})),
        ("services", json!([service("a"), service("outbound|80||b")])),
    ] {
        assert_eq!(errors(with(field, value.clone())), Vec::<String>::new(), "{field} {value}");
    }
}

/// Each rule between fields, what is just right for it, and what breaks it and nothing else.
fn rules() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let module = |module: Value| with("module", module);
    let limits = |limit: &str, value: Value| with("limits", json!({ limit: value }));
    let oci = || json!(format!("a.b/c@sha256:{}", "0".repeat(64)));
    let (key, digest) = (json!({"name": "n", "key": "k"}), json!("0".repeat(64)));
    vec![
        (
            "spec.module: exactly one of file, configMap, url and oci must be given",
            vec![
                module(json!({"file": "a"})),
                module(json!({ "configMap": key })),
                module(json!({"url": "https://a.b/c", "sha256": digest})),
                module(json!({ "oci": oci() })),
            ],
            vec![
                module(json!({})),
                module(json!({ "sha256": digest })),
                module(json!({"file": "a", "oci": oci()})),
                module(json!({"file": "a", "configMap": key})),
                module(json!({"configMap": key, "url": "https://a.b/c", "sha256": digest})),
            ],
        ),
        (
            "spec.module: sha256 must be given with url",
            vec![module(json!({"url": "https://a.b/c", "sha256": digest}))],
            vec![module(json!({"url": "https://a.b/c"}))],
        ),
        (
            "spec.configFrom: exactly one of configMap and secret must be given",
            vec![with("configFrom", json!({ "configMap": key })), with("configFrom", json!({ "secret": key }))],
            vec![with("configFrom", json!({})), with("configFrom", json!({"configMap": key, "secret": key}))],
        ),
        (
            "spec.limits.timePerCall: must be more than 0s and at most 10s",
            vec![limits("timePerCall", json!("1ms")), limits("timePerCall", json!("10s"))],
            vec![limits("timePerCall", json!("0s")), limits("timePerCall", json!("10s1ms"))],
        ),
        (
            "spec.limits.memory: must be at least 64Ki (one page of Wasm) and at most 4Gi",
            vec![limits("memory", json!(65536)), limits("memory", json!("64Ki")), limits("memory", json!("4Gi"))],
            vec![limits("memory", json!(65535)), limits("memory", json!("1")), limits("memory", json!("5Gi"))],
        ),
    ]
}

#[test]
fn each_rule_takes_what_is_right_and_refuses_what_is_not() {
    common::assert_rules(rules(), errors);
}

/// `config` may be any JSON, which rules do not see: so this is no rule.
#[test]
fn config_and_config_from_exclude_one_another() {
    let from = json!({"secret": {"name": "n", "key": "k"}});
    let mut spec = with("config", json!({"a": 1}));
    assert_eq!(errors(spec.clone()), Vec::<String>::new());
    assert_eq!(errors(with("configFrom", from.clone())), Vec::<String>::new());
    spec["configFrom"] = from;
    assert_eq!(errors(spec), ["spec: Invalid value: \"object\": must not have config and configFrom together"]);
}

#[test]
fn every_rule_of_the_crd_is_tried() {
    let tried: BTreeSet<String> = rules().into_iter().map(|(message, _, _)| message.to_owned()).collect();
    assert_eq!(tried, common::rules("portolan.dev_wasmfilters.yaml"));
}
