//! The Rust types cover the CRDs: an object with every field of a schema goes through its type and loses none, for every
//! enumerated value and both ends of every range; an object with nothing but what is required is read too.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use portolan_crds::ApiObject;
use serde_json::{Map, Value, json};

/// Served versions of all CRDs: `apiVersion`, kind, schema.
fn schemas() -> Vec<(String, String, Value)> {
    let mut schemas = Vec::new();
    for (_, crd) in common::documents("yaml") {
        let spec = &crd["spec"];
        for version in spec["versions"].as_array().unwrap().iter().filter(|version| version["served"] == true) {
            let api_version = format!("{}/{}", spec["group"].as_str().unwrap(), version["name"].as_str().unwrap());
            let kind = spec["names"]["kind"].as_str().unwrap().to_owned();
            schemas.push((api_version, kind, version["schema"]["openAPIV3Schema"].clone()));
        }
    }
    schemas
}

/// Which value a generated scalar takes: the `n`th of an enumeration, the least or the greatest of a range.
fn scalar(schema: &Value, n: usize) -> Value {
    if let Some(values) = schema["enum"].as_array() {
        return values[n % values.len()].clone();
    }
    let bound = |name: &str, or: i64| json!(schema[name].as_f64().map_or(or, |bound| bound as i64));
    match schema["type"].as_str() {
        Some("integer") if n.is_multiple_of(2) => bound("maximum", i32::MAX.into()),
        Some("integer") => bound("minimum", 0),
        Some("boolean") => json!(n.is_multiple_of(2)),
        Some("string") if schema["format"] == "date-time" => json!("2024-01-02T03:04:05Z"),
        Some("string") if schema["pattern"] == "^([0-9]{1,5}(h|m|s|ms)){1,4}$" => json!("1h2m3s4ms"),
        Some("string") => json!("text"),
        _ if schema["x-kubernetes-int-or-string"] == true => json!("64Mi"),
        _ if schema["x-kubernetes-preserve-unknown-fields"] == true => json!({"any": ["JSON", 1, null]}),
        kind => panic!("no value for type {kind:?}: {schema}"),
    }
}

/// An object with every field.
fn full(schema: &Value, n: usize) -> Value {
    if let Some(properties) = schema["properties"].as_object() {
        return properties.iter().map(|(name, schema)| (name.clone(), full(schema, n))).collect::<Map<_, _>>().into();
    }
    if schema["additionalProperties"].is_object() {
        return json!({"key": full(&schema["additionalProperties"], n)});
    }
    if schema["items"].is_object() {
        return json!([full(&schema["items"], n), full(&schema["items"], n + 1)]);
    }
    scalar(schema, n)
}

/// An object with nothing but what is required.
fn bare(schema: &Value) -> Value {
    let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
    match schema["type"].as_str() {
        Some("object") => {
            required.map(|name| (name.to_owned(), bare(&schema["properties"][name]))).collect::<Map<_, _>>().into()
        }
        Some("array") => (0..schema["minItems"].as_u64().unwrap_or(0)).map(|_| bare(&schema["items"])).collect(),
        _ => scalar(schema, 1),
    }
}

#[test]
fn no_field_of_any_schema_is_lost_in_the_types() {
    /// More than the number of values of the longest enumeration.
    const VARIANTS: usize = 24;
    let schemas = schemas();
    assert!(schemas.len() >= 18, "{}", schemas.len());
    let mut lost = Vec::new();
    for (api_version, kind, schema) in schemas {
        for n in 0..VARIANTS {
            let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
            for part in ["spec", "status"] {
                if schema["properties"][part].is_object() {
                    object[part] = full(&schema["properties"][part], n);
                }
            }
            let typed = ApiObject::from_value(object.clone())
                .unwrap_or_else(|error| panic!("{api_version} {kind} {n}: {error}\n{object:#}"));
            let again = serde_json::to_value(&typed).unwrap();
            for part in ["spec", "status"] {
                compare(&object[part], &again[part], &format!("{api_version} {kind} {n}: {part}"), &mut lost);
            }
        }
    }
    assert_eq!(lost, Vec::<String>::new());
}

fn compare(a: &Value, b: &Value, path: &str, differences: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                let field = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                compare(&field(a), &field(b), &format!("{path}.{name}"), differences);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(a, b, &format!("{path}[{index}]"), differences);
            }
        }
        _ if a == b => {}
        _ => differences.push(format!("{path}: {a} became {b}")),
    }
}

#[test]
fn an_object_with_only_what_is_required_is_read() {
    for (api_version, kind, schema) in schemas() {
        let spec = bare(&schema["properties"]["spec"]);
        let object =
            json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec, "status": {}});
        ApiObject::from_value(object.clone())
            .unwrap_or_else(|error| panic!("{api_version} {kind}: {error}\n{object:#}"));
    }
}
