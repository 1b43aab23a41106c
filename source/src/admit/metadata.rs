//! `metadata`: the object's name, what may stand in it, and what is the API server's to write.

use super::{FieldFault, schema};
use crate::{
    kinds::{Kind, Scope},
    places::{Step, keys},
};
use portolan_translate::objects::ObjectName;
use serde_json::{Map, Value};

/// The namespace of objects that name none.
pub(crate) const NAMESPACE_DEFAULT: &str = "default";
/// Longest DNS label.
const LABEL_BYTES_MAX: usize = 63;
/// Longest DNS name.
const SUBDOMAIN_BYTES_MAX: usize = 253;
/// Most bytes of all annotations of an object.
const ANNOTATION_BYTES_MAX: usize = 256 << 10;

/// Fields of `metadata` that the API server writes itself, whatever a manifest says. Exported manifests hold them.
const SERVER_OWNED: [&str; 8] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// The object's name. Writes the default namespace into the object, as kubectl does.
pub(super) fn name(value: &mut Value, kind: Kind) -> Result<ObjectName, FieldFault> {
    let metadata = match value.get_mut("metadata") {
        Some(Value::Object(metadata)) => metadata,
        Some(Value::Null) | None => return Err(FieldFault::new(keys(&["metadata", "name"]), "required")),
        Some(_) => return Err(FieldFault::new(keys(&["metadata"]), "must be a mapping")),
    };
    let name = match text(metadata, "name")? {
        Some(name) => name.to_owned(),
        None if metadata.contains_key("generateName") => {
            return Err(FieldFault::new(
                keys(&["metadata", "name"]),
                "required: generateName serves for creation alone",
            ));
        }
        None => return Err(FieldFault::new(keys(&["metadata", "name"]), "required")),
    };
    let namespace = text(metadata, "namespace")?.map(str::to_owned);
    match (kind.scope(), namespace) {
        (Scope::Namespaced, Some(namespace)) => Ok(ObjectName::new(namespace, name)),
        (Scope::Namespaced, None) => {
            metadata.insert("namespace".to_owned(), Value::String(NAMESPACE_DEFAULT.to_owned()));
            Ok(ObjectName::new(NAMESPACE_DEFAULT, name))
        }
        (Scope::Cluster, None) => Ok(ObjectName::new("", name)),
        (Scope::Cluster, Some(namespace)) if namespace == NAMESPACE_DEFAULT => {
            metadata.shift_remove("namespace");
            Ok(ObjectName::new("", name))
        }
        (Scope::Cluster, Some(_)) => Err(FieldFault::new(
            keys(&["metadata", "namespace"]),
            format!("objects of the kind {} have no namespace", kind.name()),
        )),
    }
}

/// A field's text; absent, null and empty are alike.
fn text<'a>(metadata: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, FieldFault> {
    match metadata.get(field) {
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(Value::Null) | None => Ok(None),
        Some(_) => Err(FieldFault::new(keys(&["metadata", field]), "must be a text")),
    }
}

/// What is wrong with the names, labels and annotations of Kubernetes' own kinds. (Wrong types are found by the types;
/// schemas check the metadata of the other kinds.)
pub(super) fn faults(value: &Value, kind: Kind) -> Vec<FieldFault> {
    let mut faults = Vec::new();
    let Some(metadata) = value.get("metadata").and_then(Value::as_object) else { return faults };
    if let Some(name) = metadata.get("name").and_then(Value::as_str) {
        let fault = match kind {
            Kind::Service => service_name_fault(name),
            Kind::Namespace => label_fault(name),
            _ => subdomain_fault(name),
        };
        faults.extend(fault.map(|fault| FieldFault::new(keys(&["metadata", "name"]), fault)));
    }
    if let Some(fault) = metadata.get("namespace").and_then(Value::as_str).and_then(label_fault) {
        faults.push(FieldFault::new(keys(&["metadata", "namespace"]), fault));
    }
    for (key, value) in metadata.get("labels").and_then(Value::as_object).into_iter().flatten() {
        let value_fault = value.as_str().and_then(label_value_fault);
        faults.extend(key_fault(key).or(value_fault).map(|fault| entry_fault("labels", key, fault)));
    }
    let annotations = metadata.get("annotations").and_then(Value::as_object);
    for key in annotations.into_iter().flat_map(Map::keys) {
        faults.extend(key_fault(&key.to_ascii_lowercase()).map(|fault| entry_fault("annotations", key, fault)));
    }
    let bytes: usize =
        annotations.into_iter().flatten().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > ANNOTATION_BYTES_MAX {
        faults.push(FieldFault::new(
            keys(&["metadata", "annotations"]),
            format!("more than {ANNOTATION_BYTES_MAX} bytes"),
        ));
    }
    faults
}

fn entry_fault(field: &str, key: &str, fault: String) -> FieldFault {
    let mut path = keys(&["metadata", field]);
    path.push(Step::Key(key.to_owned()));
    FieldFault::new(path, fault)
}

fn subdomain_fault(name: &str) -> Option<String> {
    let fits = name.len() <= SUBDOMAIN_BYTES_MAX && name.split('.').all(is_label);
    (!fits).then(|| format!("{name:?} is no DNS subdomain: at most {SUBDOMAIN_BYTES_MAX} lower case letters, digits, '-' and '.', beginning and ending with a letter or digit"))
}

fn label_fault(name: &str) -> Option<String> {
    let fits = name.len() <= LABEL_BYTES_MAX && is_label(name);
    (!fits).then(|| format!("{name:?} is no DNS label: at most {LABEL_BYTES_MAX} lower case letters, digits and '-', beginning and ending with a letter or digit"))
}

fn service_name_fault(name: &str) -> Option<String> {
    let begins_with_digit = name.starts_with(|c: char| c.is_ascii_digit());
    label_fault(name).or_else(|| {
        begins_with_digit.then(|| format!("{name:?} begins with a digit: the name of a Service begins with a letter"))
    })
}

fn is_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

/// A label's or annotation's key: a name, perhaps after a DNS subdomain and a slash.
fn key_fault(key: &str) -> Option<String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_fits = prefix.is_none_or(|prefix| subdomain_fault(prefix).is_none());
    let fits = prefix_fits && !name.is_empty() && is_label_text(name);
    (!fits).then(|| format!("{key:?} is no key: an optional DNS subdomain and '/', then at most {LABEL_BYTES_MAX} letters, digits, '-', '_' and '.'"))
}

fn label_value_fault(value: &str) -> Option<String> {
    let fits = value.is_empty() || is_label_text(value);
    (!fits).then(|| format!("{value:?} is no value of a label: at most {LABEL_BYTES_MAX} letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"))
}

fn is_label_text(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    let inner = |c: char| edge(c) || matches!(c, '-' | '_' | '.');
    text.len() <= LABEL_BYTES_MAX && text.starts_with(edge) && text.ends_with(edge) && text.chars().all(inner)
}

/// Drops what the API server does not take from a manifest: its own metadata, and the status (schemas see to theirs).
pub(super) fn drop_server_owned(value: &mut Value, kind: Kind) {
    let Some(object) = value.as_object_mut() else { return };
    if has_status(kind) {
        object.shift_remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !SERVER_OWNED.contains(&key.as_str()));
    }
}

fn has_status(kind: Kind) -> bool {
    !schema::is_custom(kind) && !matches!(kind, Kind::EndpointSlice | Kind::Secret | Kind::ConfigMap)
}
