//! The chart judges `gatewayClass.config` as the CRD judges the GatewayConfig that becomes of it. That part of its schema
//! is one line, which is never written by hand: `UPDATE_GOLDEN=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use serde_json::{Value, json};
use std::{env, fs};

const SCHEMA: &str = "../deploy/charts/portolan/values.schema.json";
const COMMAND: &str = "UPDATE_GOLDEN=1 cargo test -p portolan-crds --test chart_values";
/// How the line begins.
const FIELD: &str = r#"    "gatewayConfig": "#;

#[test]
fn the_charts_schema_of_a_gateway_config_is_the_crds() {
    let (_, crd) = common::documents("yaml").into_iter().find(|(name, _)| name.contains("gatewayconfigs")).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let right = format!("{FIELD}{}", draft_07(spec));
    let path = common::path(SCHEMA);
    let written = fs::read_to_string(&path).unwrap();
    let line = written.lines().find(|line| line.starts_with(FIELD)).expect("the schema has a line for it");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, written.replace(line, &right)).unwrap();
    } else {
        assert!(line == right, "{SCHEMA} is not what the CRD says; write it: {COMMAND}");
    }
}

/// What helm knows of a schema, which takes no field that the CRD does not have.
fn draft_07(schema: &Value) -> Value {
    const KEPT: [&str; 10] = [
        "type",
        "required",
        "enum",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "maxItems",
        "maxProperties",
    ];
    let mut out = json!({});
    if schema["x-kubernetes-int-or-string"] == true {
        out["type"] = json!(["integer", "string"]);
    }
    for key in KEPT {
        if let Some(value) = schema.get(key) {
            out[key] = value.clone();
        }
    }
    if let Some(fields) = schema["properties"].as_object() {
        let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
        if !open {
            out["additionalProperties"] = json!(false);
        }
        out["properties"] = fields.iter().map(|(name, field)| (name.clone(), draft_07(field))).collect();
    } else if let Some(values) = schema.get("additionalProperties") {
        out["additionalProperties"] = draft_07(values);
    }
    if let Some(items) = schema.get("items") {
        out["items"] = draft_07(items);
    }
    out
}
