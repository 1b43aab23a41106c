//! Verdicts of the API server's own code (see `README.md`) on many objects: ours are the same, error by error, and so are
//! the defaults; and what is taken can be read into its type.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
mod mutations;

use portolan_crds::{
    ApiObject,
    schema::{FieldError, FieldErrorKind, Scope},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::{BufWriter, Write},
};

/// Every how-manieth of the changed objects is recorded.
const STRIDE: usize = 3;

/// What the API server says of one object.
#[derive(Deserialize)]
struct Verdict {
    name: String,
    /// Paths of unknown fields.
    #[serde(default)]
    unknown: BTreeSet<String>,
    /// `kind field`, as the API server names both.
    #[serde(default)]
    errors: BTreeSet<String>,
    /// The spec as it would be stored, of unchanged objects that are taken.
    spec: Option<Value>,
}

/// Every object that has a verdict, with its name.
fn objects() -> Vec<(String, Value)> {
    let (mut objects, mut changed) = (Vec::new(), Vec::new());
    for folder in ["upstream/valid", "upstream/invalid", "rich"] {
        for (number, (file, mut object)) in common::documents(&format!("tests/{folder}")).into_iter().enumerate() {
            let Some(schema) = common::schema_of(&object) else { continue };
            if schema.scope() == Scope::Namespaced && object["metadata"].get("namespace").is_none() {
                object["metadata"]["namespace"] = json!("default");
            }
            let name = format!("{folder}/{file}#{number}");
            if folder == "rich" {
                changed.extend(mutations::mutants(&name, &object));
            }
            objects.push((name, object));
        }
    }
    objects.extend(changed.into_iter().step_by(STRIDE));
    objects
}

#[test]
fn verdicts_are_those_of_the_api_server() {
    let text = fs::read_to_string(common::path("tests/apiserver/verdicts.jsonl")).unwrap();
    let verdicts = text.lines().map(|line| serde_json::from_str::<Verdict>(line).unwrap());
    let mut verdicts: HashMap<String, Verdict> = verdicts.map(|verdict| (verdict.name.clone(), verdict)).collect();
    let (mut wrong, mut taken, mut refused) = (Vec::new(), 0, 0);
    for (name, object) in objects() {
        let verdict = verdicts.remove(&name).unwrap_or_else(|| panic!("no verdict on {name}: record anew"));
        *(if verdict.errors.is_empty() && verdict.unknown.is_empty() { &mut taken } else { &mut refused }) += 1;
        wrong.extend(difference(verdict, object));
    }
    assert!(verdicts.is_empty(), "verdicts on objects that are gone: {:?}", verdicts.keys());
    assert!(taken > 300 && refused > 3000, "{taken} taken, {refused} refused");
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Writes the objects for the program that asks the API server's code.
#[test]
#[ignore = "records anew, see README.md"]
fn write_objects() {
    let path = common::path("../target/apiserver-objects.jsonl");
    let mut file = BufWriter::new(File::create(path).unwrap());
    for (name, object) in objects() {
        writeln!(file, "{}", json!({"name": name, "object": object})).unwrap();
    }
    file.flush().unwrap();
}

/// How our verdict differs.
fn difference(verdict: Verdict, mut object: Value) -> Option<String> {
    let errors = common::schema_of(&object)?.admit(&mut object);
    let (unknown, known): (Vec<_>, Vec<_>) = errors.iter().partition(|error| error.kind == FieldErrorKind::Unknown);
    let unknown: BTreeSet<String> = unknown.into_iter().map(field).collect();
    let mut known: BTreeSet<String> = known.into_iter().filter_map(named).collect();
    if verdict.errors.iter().eq([METADATA]) && known.contains(METADATA) {
        // There the API server stops reading, and we go on.
        known.retain(|error| error == METADATA);
    }
    if unknown != verdict.unknown || known != verdict.errors {
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        let (here, there) = (only(&known, &verdict.errors), only(&verdict.errors, &known));
        let (unknown_here, unknown_there) = (only(&unknown, &verdict.unknown), only(&verdict.unknown, &unknown));
        let unknown = format!("unknown {unknown_here:?} {unknown_there:?}");
        return Some(format!("{}: only here {here:?}, only there {there:?}, {unknown}", verdict.name));
    }
    if let Some(spec) = verdict.spec.filter(|spec| *spec != object["spec"]) {
        return Some(format!("{}: stored {} instead of {spec}", verdict.name, object["spec"]));
    }
    let unreadable = errors.is_empty().then(|| ApiObject::from_value(object).err()).flatten();
    unreadable.map(|error| format!("{}: taken, but {error}", verdict.name))
}

/// How verdicts name every error in metadata.
const METADATA: &str = "metadata";

/// An error as verdicts name it. Our notes, and lines that only sum up alternatives, are left out.
fn named(error: &FieldError) -> Option<String> {
    let (kind, field) = (kind(error)?, field(error));
    match () {
        () if field.starts_with(METADATA) => Some(METADATA.to_owned()),
        () if error.message.starts_with("must validate ") => None,
        () => Some(format!("{kind} {field}")),
    }
}

fn field(error: &FieldError) -> String {
    let plain = FieldError { kind: FieldErrorKind::Required, message: String::new(), ..error.clone() }.to_string();
    plain.strip_suffix(": Required value").unwrap_or_default().to_owned()
}

/// The name of an error's kind in the API server; `None` for what is our own note.
fn kind(error: &FieldError) -> Option<&'static str> {
    match error.kind {
        FieldErrorKind::Required => Some("FieldValueRequired"),
        FieldErrorKind::Type { .. } => Some("FieldValueTypeInvalid"),
        FieldErrorKind::Unsupported { .. } => Some("FieldValueNotSupported"),
        FieldErrorKind::Invalid { .. } => Some("FieldValueInvalid"),
        FieldErrorKind::Duplicate { .. } => Some("FieldValueDuplicate"),
        FieldErrorKind::TooLong => Some("FieldValueTooLong"),
        FieldErrorKind::TooMany { .. } => Some("FieldValueTooMany"),
        FieldErrorKind::Forbidden => Some("FieldValueForbidden"),
        FieldErrorKind::Unknown | FieldErrorKind::Unchecked => None,
    }
}
