//! The files in `deploy/examples` stay true: the API server would take each object of our kinds, and what they name of
//! one another is there.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use portolan_crds::ApiObject;
use serde_json::Value;
use std::{collections::BTreeSet, fs};

const FOLDER: &str = "../deploy/examples";
/// Kinds that the crate has no schema of. Any other is a mistake.
const FOREIGN: [(&str, &str); 5] =
    [("v1", "ConfigMap"), ("v1", "Namespace"), ("v1", "Secret"), ("v1", "Service"), ("apps/v1", "Deployment")];

fn examples() -> Vec<(String, Value)> {
    let examples = common::documents(FOLDER);
    assert!(!examples.is_empty(), "{FOLDER} is empty");
    examples
}

/// Errors of one object: what the API server says, then what its type cannot read.
fn errors(mut object: Value) -> Vec<String> {
    let Some(schema) = common::schema_of(&object) else {
        let kind = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
        return if FOREIGN.contains(&kind) { Vec::new() } else { vec![format!("no schema of {kind:?}")] };
    };
    let refused: Vec<String> = schema.admit(&mut object).iter().map(ToString::to_string).collect();
    let unreadable = refused.is_empty().then(|| ApiObject::from_value(object).err()).flatten();
    refused.into_iter().chain(unreadable.map(|error| error.to_string())).collect()
}

#[test]
fn the_api_server_would_take_every_example() {
    let wrong: Vec<String> = examples()
        .into_iter()
        .flat_map(|(file, object)| {
            let name = format!("{file}: {} {}", object["kind"], object["metadata"]["name"]);
            errors(object).into_iter().map(move |error| format!("{name}: {error}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_object_of_another_kind_is_a_mistake_unless_it_is_listed() {
    let object = |api_version: &str, kind: &str| serde_json::json!({"apiVersion": api_version, "kind": kind});
    assert_eq!(errors(object("v1", "Secret")), Vec::<String>::new());
    assert_eq!(errors(object("gateway.networking.k8s.io/v1", "HTTPRout")).len(), 1);
    assert_eq!(errors(object("portolan.dev/v1", "WasmFilter")).len(), 1);
}

#[test]
fn all_examples_can_be_applied_together() {
    let mut seen = BTreeSet::new();
    for (file, object) in examples() {
        let metadata = &object["metadata"];
        let namespace = metadata["namespace"].as_str().unwrap_or("default");
        let name = format!("{} {namespace}/{}", object["kind"], metadata["name"]);
        assert!(seen.insert(name.clone()), "{file}: {name} is in another file, or here before");
    }
}

/// Parents of routes, a Gateway's and a class's GatewayConfig, and a route's WasmFilter are in the same file.
#[test]
fn what_examples_name_of_our_kinds_is_in_the_same_file() {
    let examples = examples();
    let name = |file: &str, kind: &str, name: &Value| format!("{file}: {kind} {}", name.as_str().unwrap());
    let there: BTreeSet<String> = examples
        .iter()
        .map(|(file, object)| name(file, object["kind"].as_str().unwrap(), &object["metadata"]["name"]))
        .collect();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for (file, object) in &examples {
        let spec = &object["spec"];
        let mut named: Vec<String> =
            list(&spec["parentRefs"]).iter().map(|parent| name(file, "Gateway", &parent["name"])).collect();
        for parameters in [&spec["parametersRef"], &spec["infrastructure"]["parametersRef"]] {
            named.extend(parameters.is_object().then(|| name(file, "GatewayConfig", &parameters["name"])));
        }
        for filter in list(&spec["rules"]).iter().flat_map(|rule| list(&rule["filters"])) {
            let extension = &filter["extensionRef"];
            named.extend(extension.is_object().then(|| name(file, "WasmFilter", &extension["name"])));
        }
        for name in named {
            assert!(there.contains(&name), "{} {} names what is not in {name}", object["kind"], object["metadata"]);
        }
    }
}

/// A file that nobody says anything about is not found, and one that says nothing is not understood.
#[test]
fn every_example_begins_with_what_it_is_and_install_md_names_it() {
    let guide = fs::read_to_string(common::path("../docs/install.md")).unwrap();
    let files: BTreeSet<String> = examples().into_iter().map(|(file, _)| file).collect();
    for file in files {
        let text = fs::read_to_string(common::path(FOLDER).join(&file)).unwrap();
        assert!(text.starts_with("# "), "{file} does not say what it is");
        assert!(guide.contains(&format!("deploy/examples/{file}")), "docs/install.md does not link {file}");
    }
}
