//! What the tests share: YAML files as JSON documents.
#![allow(dead_code, reason = "each test uses its part")]

#[path = "../../build/yaml.rs"]
mod yaml;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A path below the crate.
pub fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Every document of every YAML file below a folder, with the file's path from there; in order.
pub fn documents(folder: &str) -> Vec<(String, Value)> {
    let root = path(folder);
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let list = if path.is_dir() { &mut folders } else { &mut files };
            list.push(path);
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let documents = files.iter().flat_map(|path| {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let documents =
            yaml::documents(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        documents.into_iter().map(move |document| (name.clone(), document))
    });
    documents.collect()
}

/// The schema of a document's kind, if it is one of ours.
pub fn schema_of(object: &Value) -> Option<&'static portolan_crds::schema::Schema> {
    portolan_crds::schema::lookup(object["apiVersion"].as_str()?, object["kind"].as_str()?)
}

/// What the rules of a kind's CRD say to who breaks them, with where they stand: `spec.module: …`.
pub fn rules(file: &str) -> BTreeSet<String> {
    fn collect(schema: &Value, path: &str, rules: &mut BTreeSet<String>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules.insert(format!("{path}: {}", rule["message"].as_str().unwrap()));
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            collect(schema, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, rules);
        }
        for (keyword, below) in [("items", "[]"), ("additionalProperties", ".*")] {
            if schema[keyword].is_object() {
                collect(&schema[keyword], &format!("{path}{below}"), rules);
            }
        }
    }
    let (_, crd) = documents("yaml").into_iter().find(|(name, _)| name == file).unwrap();
    let mut rules = BTreeSet::new();
    collect(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut rules);
    rules
}

/// A rule's message (`field: text`), specs that it takes and specs that it refuses.
pub type Rule = (&'static str, Vec<Value>, Vec<Value>);

/// Each rule takes what is right, and refuses what is not with its message alone.
pub fn assert_rules(rules: Vec<Rule>, errors: impl Fn(Value) -> Vec<String>) {
    for (message, right, wrong) in rules {
        for spec in right {
            assert_eq!(errors(spec.clone()), Vec::<String>::new(), "{message}: {spec}");
        }
        for spec in wrong {
            let errors = errors(spec.clone());
            assert_eq!(errors.len(), 1, "{message}: {spec}: {errors:#?}");
            let (field, text) = message.split_once(": ").unwrap();
            assert!(errors[0].starts_with(&format!("{field}: ")) && errors[0].ends_with(text), "{spec}: {errors:#?}");
        }
    }
}
