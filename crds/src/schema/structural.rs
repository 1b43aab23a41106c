//! Structural validation: types, enumerations, patterns, bounds, required fields, `allOf` and its relatives, and the
//! uniqueness of list entries. Unknown fields and CEL rules are checked elsewhere.

use super::{
    error::{FieldError, FieldErrorKind, Path, shown},
    node::{ListType, Node, Type},
};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Reports everything in `value` that breaks the schema.
pub(crate) fn validate(value: &Value, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if value.is_null() && node.nullable {
        return;
    }
    if !node.allowed.is_empty() && !node.allowed.contains(value) {
        let allowed: Vec<String> = node.allowed.iter().map(Value::to_string).collect();
        let message = format!("supported values: {}", allowed.join(", "));
        errors.push(path.error(FieldErrorKind::Unsupported { value: type_or_value(value) }, message));
    }
    if let Some(error) = type_error(value, node, path) {
        errors.push(error);
        return;
    }
    match value {
        Value::String(text) => string(text, value, node, path, errors),
        Value::Number(number) => bounds(number.as_f64().unwrap_or(f64::NAN), value, node, path, errors),
        Value::Array(items) => list(items, node, path, errors),
        Value::Object(object) => fields(object, node, path, errors),
        Value::Null | Value::Bool(_) => {}
    }
    junctors(value, node, path, errors);
}

fn type_error(value: &Value, node: &Node, path: &Path<'_>) -> Option<FieldError> {
    let integer = value.is_i64() || value.is_u64();
    let (matches, wanted) = match node.kind {
        Some(kind) => {
            let matches = match kind {
                Type::Object => value.is_object(),
                Type::Array => value.is_array(),
                Type::String => value.is_string(),
                Type::Integer => integer,
                Type::Number => value.is_number(),
                Type::Boolean => value.is_boolean(),
            };
            (matches, kind.name())
        }
        None if node.int_or_string => (integer || value.is_string(), "integer or string"),
        None => return None,
    };
    let message = || format!("must be of type {wanted}, not {}", type_name(value));
    (!matches).then(|| path.error(FieldErrorKind::Type { value: type_or_value(value) }, message()))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The first thing that is wrong with a text.
fn string(text: &str, value: &Value, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    // A bound on bytes answers for characters too, in nearly every case without counting them.
    let longer_than = |max: usize| text.len() > max && text.chars().count() > max;
    let too_long = node
        .max_length
        .filter(|max| longer_than(*max))
        .map(|max| path.error(FieldErrorKind::TooLong, format!("may not be more than {max} characters")));
    let too_short = || {
        let min = node.min_length.filter(|min| text.chars().count() < *min)?;
        Some(path.invalid(value, format!("should be at least {min} chars long")))
    };
    let mismatch = || {
        let pattern = node.pattern.as_ref()?;
        let matches = pattern.regex().is_some_and(|regex| regex.is_match(text));
        (!matches).then(|| path.invalid(value, format!("should match '{}'", pattern.text())))
    };
    errors.extend(too_long.or_else(too_short).or_else(mismatch));
    if let Some(format) = node.format.filter(|format| !format.matches(text)) {
        let kind = FieldErrorKind::Type { value: shown(value) };
        errors.push(path.error(kind, format!("must be of type {}", format.name())));
    }
}

fn bounds(number: f64, value: &Value, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(max) = node.maximum.filter(|max| number > *max) {
        errors.push(path.invalid(value, format!("should be less than or equal to {max}")));
    }
    if let Some(min) = node.minimum.filter(|min| number < *min) {
        errors.push(path.invalid(value, format!("should be greater than or equal to {min}")));
    }
}

fn list(items: &[Value], node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    too_many(items.len(), node.max_items, path, errors);
    if let Some(min) = node.min_items.filter(|min| items.len() < *min) {
        errors.push(path.error(
            FieldErrorKind::Invalid { value: items.len().to_string() },
            format!("should have at least {min} items"),
        ));
    }
    if let Some(node) = &node.items {
        for (index, item) in items.iter().enumerate() {
            validate(item, node, &path.index(index), errors);
        }
    }
    if node.list_type != ListType::Atomic {
        duplicates(items, node, path, errors);
    }
}

fn too_many(count: usize, max: Option<usize>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(max) = max.filter(|max| count > *max) {
        errors.push(path.error(FieldErrorKind::TooMany { count }, format!("must have at most {max} items")));
    }
}

/// Reports the first repetition of each entry (of a set) or key (of a map that is written as a list).
fn duplicates(items: &[Value], node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let (mut seen, mut reported) = (HashSet::new(), HashSet::new());
    for (index, item) in items.iter().enumerate() {
        let identity = match node.list_type {
            ListType::Map => Value::Object(keys(item, node)).to_string(),
            ListType::Set | ListType::Atomic => item.to_string(),
        };
        if seen.contains(&identity) {
            if reported.insert(identity.clone()) {
                errors.push(path.index(index).error(FieldErrorKind::Duplicate { value: identity }, ""));
            }
        } else {
            seen.insert(identity);
        }
    }
}

fn keys(item: &Value, node: &Node) -> Map<String, Value> {
    let key = |key: &str| Some((key.to_owned(), item.get(key)?.clone()));
    node.list_map_keys.iter().filter_map(|name| key(name)).collect()
}

fn fields(object: &Map<String, Value>, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    too_many(object.len(), node.max_properties, path, errors);
    if let Some(min) = node.min_properties.filter(|min| object.len() < *min) {
        errors.push(path.error(
            FieldErrorKind::Invalid { value: object.len().to_string() },
            format!("should have at least {min} properties"),
        ));
    }
    for name in node.required.iter().filter(|name| !object.contains_key(&***name)) {
        errors.push(path.key(name).error(FieldErrorKind::Required, ""));
    }
    for (key, value) in object {
        if let Some(field) = node.field(key) {
            validate(value, field, &path.key(key), errors);
        }
    }
}

/// `allOf`, `anyOf`, `oneOf` and `not`. Of alternatives that all fail, the errors of the nearest one are reported.
fn junctors(value: &Value, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let check = |node: &Node| {
        let mut errors = Vec::new();
        validate(value, node, path, &mut errors);
        errors
    };
    node.all_of.iter().for_each(|node| validate(value, node, path, errors));
    if let Some(excluded) = node.not.as_deref().filter(|node| check(node).is_empty()) {
        errors.push(path.error(FieldErrorKind::Invalid { value: type_or_value(value) }, exclusion(excluded)));
    }
    for (alternatives, exactly_one) in [(&node.any_of, false), (&node.one_of, true)] {
        if alternatives.is_empty() {
            continue;
        }
        let mut results: Vec<Vec<FieldError>> = alternatives.iter().map(check).collect();
        let valid = results.iter().filter(|errors| errors.is_empty()).count();
        let (word, name) = if exactly_one { ("one and only one", "oneOf") } else { ("at least one", "anyOf") };
        if valid == 0 || valid > 1 && exactly_one {
            let message = format!("must validate {word} schema ({name}), but validates {valid}");
            errors.push(path.error(FieldErrorKind::Invalid { value: type_or_value(value) }, message));
        }
        if valid == 0 {
            let nearest = (0..alternatives.len()).max_by_key(|index| fields_that_pass(value, &alternatives[*index]));
            errors.append(&mut results.swap_remove(nearest.unwrap_or(0)));
        }
    }
}

/// How many fields of an object are as the alternative wants them.
fn fields_that_pass(value: &Value, alternative: &Node) -> usize {
    let passes = |name: &str, node: &Node| {
        let mut errors = Vec::new();
        let Some(value) = value.get(name) else { return false };
        validate(value, node, &Path::Root, &mut errors);
        errors.is_empty()
    };
    alternative.properties.iter().filter(|(name, node)| passes(name, node)).count()
}

fn exclusion(excluded: &Node) -> String {
    if excluded.required.is_empty() {
        return "must not validate the schema (not)".to_owned();
    }
    format!("must not have {} together", excluded.required.join(" and "))
}

/// Objects and lists are named by their type alone.
fn type_or_value(value: &Value) -> String {
    if value.is_object() || value.is_array() { format!("{:?}", type_name(value)) } else { shown(value) }
}
