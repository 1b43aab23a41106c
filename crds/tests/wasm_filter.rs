//! WasmFilter's CRD, which is written by hand, agrees with its types: what the types can say the CRD takes, and the
//! defaults of both are the same. (`types.rs` proves the other direction.)
#![allow(clippy::unwrap_used, reason = "a test")]

use portolan_crds::{
    Condition, Duration, ObjectMeta, WasmFilter,
    schema::{Schema, lookup},
    wasm_filter::{
        ConfigSource, FailureMode, KeySelector, WasmFilterSpec, WasmFilterStatus, WasmLimits, WasmModule, WasmService,
        WasmServiceReference,
    },
};
use serde_json::{Value, json};
use std::time;

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

#[test]
fn each_rule_refuses_what_it_is_there_for() {
    let with = |field: &str, value: Value| {
        let mut spec = json!({"module": {"file": "a.wasm"}});
        spec[field] = value;
        errors(spec)
    };
    let service = |name: &str| json!({"name": name, "service": {"name": "a", "port": 80}});
    for (field, value, at) in [
        ("module", json!({}), "spec.module: "),
        ("module", json!({"file": "a", "oci": format!("a.b/c@sha256:{}", "0".repeat(64))}), "spec.module: "),
        ("module", json!({"url": "https://a.b/c"}), "spec.module: "),
        ("module", json!({"url": "http://a.b/c", "sha256": "0".repeat(64)}), "spec.module.url: "),
        ("module", json!({"oci": "a.b/c:latest"}), "spec.module.oci: "),
        ("module", json!({"file": "a", "sha256": "F".repeat(64)}), "spec.module.sha256: "),
        ("module", json!({"configMap": {"name": "a"}}), "spec.module.configMap.key: "),
        ("configFrom", json!({}), "spec.configFrom: "),
        ("failureMode", json!("open"), "spec.failureMode: "),
        ("limits", json!({"timePerCall": "0s"}), "spec.limits.timePerCall: "),
        ("limits", json!({"timePerCall": "11s"}), "spec.limits.timePerCall: "),
        ("limits", json!({"timePerCall": "1.5s"}), "spec.limits.timePerCall: "),
        ("limits", json!({"memory": "1"}), "spec.limits.memory: "),
        ("limits", json!({"memory": 65535}), "spec.limits.memory: "),
        ("limits", json!({"memory": "5Gi"}), "spec.limits.memory: "),
        ("limits", json!({"memory": "64MB"}), "spec.limits.memory: "),
        ("limits", json!({"memory": true}), "spec.limits.memory: "),
        ("limits", json!({"instances": 0}), "spec.limits.instances: "),
        ("services", json!([service("a"), service("a")]), "spec.services[1]: "),
        ("services", json!([{"name": "a", "service": {"name": "a"}}]), "spec.services[0].service.port: "),
    ] {
        let errors = with(field, value.clone());
        assert!(errors.iter().any(|error| error.starts_with(at)), "{field} {value}: {errors:#?}");
    }
    for (field, value) in [
        ("config", json!("text")),
        ("config", json!([1, {"a": null}])),
        ("limits", json!({"timePerCall": "10s", "memory": "4Gi", "instances": 256})),
        ("limits", json!({"timePerCall": "1ms", "memory": 65536})),
        ("services", json!([service("a"), service("outbound|80||b")])),
    ] {
        assert_eq!(with(field, value.clone()), Vec::<String>::new(), "{field} {value}");
    }
}
