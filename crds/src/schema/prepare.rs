//! What the API server does to an object before it looks at it: nulls where the schema allows none count as absent,
//! defaults are filled in, and whole numbers that were written as floats become integers.

use super::node::{Node, Type};
use serde_json::Value;

/// Drops nulls, fills in defaults and normalises integers, below and including `value`.
pub(crate) fn prepare(value: &mut Value, node: &Node) {
    match value {
        Value::Object(object) => {
            object.retain(|key, value| {
                let absent = |field: &Node| !field.nullable && field.default.is_none();
                !(value.is_null() && node.field(key).is_some_and(absent))
            });
            for (name, field) in &node.properties {
                let Some(default) = &field.default else { continue };
                if object.get(&**name).is_none_or(|value| value.is_null() && !field.nullable) {
                    object.insert(name.to_string(), default.clone());
                }
            }
            for (key, value) in object.iter_mut() {
                if let Some(field) = node.field(key) {
                    replace_null(value, field);
                    prepare(value, field);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = &node.items else { return };
            for value in items {
                replace_null(value, item);
                prepare(value, item);
            }
        }
        Value::Number(number) if node.kind == Some(Type::Integer) || node.int_or_string => {
            if let Some(integer) = number.as_f64().filter(|_| number.is_f64()).and_then(integral) {
                *value = Value::from(integer);
            }
        }
        _ => {}
    }
}

/// Items of lists and values of maps have defaults of their own.
fn replace_null(value: &mut Value, node: &Node) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
}

/// The integer that a float is, within the range in which floats are exact.
fn integral(float: f64) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the exact range")]
    (float.fract() == 0.0 && float.abs() <= EXACT_MAX).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn prepared(schema: Value, mut value: Value) -> Value {
        prepare(&mut value, &serde_json::from_value(schema).unwrap());
        value
    }

    #[test]
    fn defaults_reach_into_what_defaults_made() {
        let schema = json!({"properties": {"a": {"default": {}, "properties": {"b": {"default": 1}}}}});
        assert_eq!(prepared(schema, json!({})), json!({"a": {"b": 1}}));
    }

    #[test]
    fn null_counts_as_absent_unless_it_is_allowed() {
        let schema = json!({"properties": {
            "plain": {}, "defaulted": {"default": 1}, "nullable": {"nullable": true}, "both": {"nullable": true, "default": 1}
        }});
        let value = json!({"plain": null, "defaulted": null, "nullable": null, "both": null, "unknown": null});
        assert_eq!(prepared(schema, value), json!({"defaulted": 1, "nullable": null, "both": null, "unknown": null}));
    }

    #[test]
    fn items_and_map_values_are_defaulted() {
        let inner = json!({"properties": {"x": {"default": "y"}}});
        let schema = json!({"properties": {"list": {"items": inner}, "map": {"additionalProperties": inner}}});
        let value = json!({"list": [{}], "map": {"k": {}}});
        assert_eq!(prepared(schema, value), json!({"list": [{"x": "y"}], "map": {"k": {"x": "y"}}}));
    }

    #[test]
    fn whole_floats_become_integers_where_integers_are_wanted() {
        let schema = json!({"properties": {"i": {"type": "integer"}, "n": {"type": "number"}}});
        let value = json!({"i": 80.0, "n": 80.0});
        assert_eq!(prepared(schema, value).to_string(), r#"{"i":80,"n":80.0}"#);
    }
}
