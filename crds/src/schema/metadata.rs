//! Metadata, which every kind has and no CRD describes: the types of its fields, and the syntax of names, labels,
//! annotations, finalizers and owners.

use super::{
    error::{FieldError, FieldErrorKind, Path},
    node::{Node, Pattern},
    table::Scope,
};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The types of `ObjectMeta`'s fields as a structural schema.
pub(crate) fn node() -> Node {
    let (text, texts) =
        (json!({"type": "string"}), json!({"type": "object", "additionalProperties": {"type": "string"}}));
    let (integer, time) =
        (json!({"type": "integer"}), json!({"type": "string", "format": "date-time", "nullable": true}));
    let owner = json!({"type": "object", "required": ["apiVersion", "kind", "name", "uid"], "properties": {
        "apiVersion": text, "kind": text, "name": text, "uid": text,
        "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"},
    }});
    let managed = json!({"type": "object", "properties": {
        "manager": text, "operation": text, "apiVersion": text, "time": time, "fieldsType": text, "subresource": text,
        "fieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }});
    let node = json!({"type": "object", "properties": {
        "name": text, "generateName": text, "namespace": text, "selfLink": text, "uid": text, "resourceVersion": text,
        "generation": {"type": "integer", "minimum": 0}, "creationTimestamp": time, "deletionTimestamp": time,
        "deletionGracePeriodSeconds": integer, "labels": texts, "annotations": texts,
        "ownerReferences": {"type": "array", "items": owner}, "finalizers": {"type": "array", "items": text},
        "managedFields": {"type": "array", "items": managed},
    }});
    serde_json::from_value(node).expect("a constant, which every test parses")
}

/// Total size of an object's annotations, keys and values.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// Length of a DNS subdomain: names, and prefixes of qualified names.
const SUBDOMAIN_BYTES_MAX: usize = 253;
/// Length of a DNS label, a label's value, and a qualified name without its prefix.
const LABEL_BYTES_MAX: usize = 63;

static SUBDOMAIN: LazyLock<Pattern> =
    LazyLock::new(|| String::from(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$").into());
static DNS_LABEL: LazyLock<Pattern> = LazyLock::new(|| String::from("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$").into());
static LABEL_VALUE: LazyLock<Pattern> =
    LazyLock::new(|| String::from("^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$").into());

/// Reports what is wrong with names and texts in `metadata`; types are checked by [`node`].
pub(crate) fn validate(object: &Map<String, Value>, scope: Scope, errors: &mut Vec<FieldError>) {
    let root = Path::Root;
    let path = root.key("metadata");
    let empty = Value::Null;
    let metadata = object.get("metadata").unwrap_or(&empty);
    names(metadata, scope, &path, errors);
    labels(metadata, &path, errors);
    annotations(metadata, &path, errors);
    let finalizers = path.key("finalizers");
    for (index, finalizer) in metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let problem = finalizer.as_str().and_then(qualified_name);
        errors.extend(problem.map(|problem| finalizers.index(index).invalid(finalizer, problem)));
    }
    owners(metadata, &path, errors);
}

fn names(metadata: &Value, scope: Scope, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut check = |key: &str, checked: &str, problem: Option<String>| {
        errors.extend(problem.map(|problem| path.key(key).invalid(&checked.into(), problem)));
    };
    if let Some(prefix) = text("generateName") {
        // What follows is a letter or digit, so a prefix may end with a hyphen.
        check("generateName", prefix, subdomain(prefix.strip_suffix('-').unwrap_or(prefix)));
    }
    match (text("name"), text("generateName")) {
        (Some(name), _) => check("name", name, subdomain(name)),
        (None, Some(_)) => {}
        (None, None) => {
            errors.push(path.key("name").error(FieldErrorKind::Required, "name or generateName is required"))
        }
    }
    match (text("namespace"), scope) {
        (Some(namespace), Scope::Namespaced) => {
            let problem =
                matching(namespace, &DNS_LABEL, LABEL_BYTES_MAX, "a DNS label (lower case letters, digits and -)");
            errors.extend(problem.map(|problem| path.key("namespace").invalid(&namespace.into(), problem)));
        }
        (Some(_), Scope::Cluster) => {
            errors.push(path.key("namespace").error(FieldErrorKind::Forbidden, "not allowed on this type"))
        }
        (None, _) => {}
    }
}

fn labels(metadata: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.key("labels");
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        let path = path.key(key);
        errors.extend(qualified_name(key).map(|problem| path.invalid(&key.as_str().into(), problem)));
        let Some(text) = value.as_str() else { continue };
        let problem = matching(
            text,
            &LABEL_VALUE,
            LABEL_BYTES_MAX,
            "letters, digits, -, _ and ., with a letter or digit at both ends",
        );
        errors.extend(problem.map(|problem| path.invalid(value, problem)));
    }
}

fn annotations(metadata: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.key("annotations");
    let mut bytes = 0;
    for (key, value) in metadata.get("annotations").and_then(Value::as_object).into_iter().flatten() {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        let problem = qualified_name(&key.to_lowercase());
        errors.extend(problem.map(|problem| path.key(key).invalid(&key.as_str().into(), problem)));
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(
            path.error(FieldErrorKind::TooLong, format!("may not be more than {ANNOTATIONS_BYTES_MAX} bytes in all")),
        );
    }
}

fn owners(metadata: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let path = path.key("ownerReferences");
    let mut controllers = 0;
    for (index, owner) in metadata.get("ownerReferences").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = path.index(index);
        for key in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(key).and_then(Value::as_str) == Some("") {
                errors.push(path.key(key).invalid(&"".into(), "must not be empty"));
            }
        }
        controllers += usize::from(owner.get("controller") == Some(&Value::Bool(true)));
        if controllers == 2 {
            errors.push(path.key("controller").invalid(&true.into(), "only one owner may be the controller"));
            return;
        }
    }
}

fn subdomain(text: &str) -> Option<String> {
    matching(
        text,
        &SUBDOMAIN,
        SUBDOMAIN_BYTES_MAX,
        "a DNS subdomain (lower case letters, digits, - and ., with a letter or digit at both ends)",
    )
}

/// `[prefix/]name`, as label keys, annotation keys and finalizers are.
fn qualified_name(text: &str) -> Option<String> {
    let (prefix, name) = text.rsplit_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    if name.is_empty() {
        return Some("the name must not be empty".to_owned());
    }
    let problem = matching(
        name,
        &LABEL_VALUE,
        LABEL_BYTES_MAX,
        "letters, digits, -, _ and ., with a letter or digit at both ends",
    );
    problem.or_else(|| subdomain(prefix?).map(|problem| format!("the part before / {problem}")))
}

/// What is wrong with `text`, if anything.
fn matching(text: &str, pattern: &Pattern, bytes_max: usize, what: &str) -> Option<String> {
    if text.len() > bytes_max {
        return Some(format!("must be no more than {bytes_max} characters"));
    }
    (!pattern.regex()?.is_match(text)).then(|| format!("must be {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(metadata: Value, scope: Scope) -> Vec<String> {
        let mut errors = Vec::new();
        validate(json!({"metadata": metadata}).as_object().unwrap(), scope, &mut errors);
        errors.iter().map(|error| error.to_string()[..error.to_string().find(": ").unwrap()].to_owned()).collect()
    }

    #[test]
    fn good_metadata_passes() {
        let metadata = json!({
            "name": "a.b-c", "namespace": "x", "labels": {"a": "", "example.com/B_c": "V.1"},
            "annotations": {"Example.COM/x": "anything at all"}, "finalizers": ["example.com/f"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true}],
        });
        assert_eq!(errors(metadata, Scope::Namespaced), Vec::<String>::new());
        assert_eq!(errors(json!({"generateName": "a-"}), Scope::Cluster), Vec::<String>::new());
        assert_eq!(node().properties.len(), 15);
    }

    #[test]
    fn each_bad_part_of_metadata_is_reported_at_its_field() {
        let owner = json!({"apiVersion": "v1", "kind": "K", "name": "", "uid": "u", "controller": true});
        for (metadata, field) in [
            (json!({}), "metadata.name"),
            (json!({"name": "A"}), "metadata.name"),
            (json!({"name": "a".repeat(254)}), "metadata.name"),
            (json!({"generateName": "-"}), "metadata.generateName"),
            (json!({"name": "a", "namespace": "a.b"}), "metadata.namespace"),
            (json!({"name": "a", "labels": {"-a": ""}}), "metadata.labels[-a]"),
            (json!({"name": "a", "labels": {"a/b/c": ""}}), "metadata.labels[a/b/c]"),
            (json!({"name": "a", "labels": {"a": "b c"}}), "metadata.labels.a"),
            (json!({"name": "a", "labels": {"a": "b".repeat(64)}}), "metadata.labels.a"),
            (json!({"name": "a", "annotations": {"": ""}}), "metadata.annotations[]"),
            (json!({"name": "a", "annotations": {"a": "b".repeat(256 << 10)}}), "metadata.annotations"),
            (json!({"name": "a", "finalizers": ["ok", "not ok"]}), "metadata.finalizers[1]"),
            (json!({"name": "a", "ownerReferences": [owner]}), "metadata.ownerReferences[0].name"),
        ] {
            assert_eq!(errors(metadata.clone(), Scope::Namespaced), [field], "{metadata}");
        }
        assert_eq!(errors(json!({"name": "a", "namespace": "b"}), Scope::Cluster), ["metadata.namespace"]);
        let owner = json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u", "controller": true});
        let owners = json!({"name": "a", "ownerReferences": [owner, owner]});
        assert_eq!(errors(owners, Scope::Namespaced), ["metadata.ownerReferences[1].controller"]);
    }
}
