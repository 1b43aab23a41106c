//! Writing JSON values as YAML: block style, strings quoted as JSON where they could be read as something else.

use serde_json::Value;
use std::fmt::Write;

/// A value as YAML.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 0, false);
    out
}

fn write_value(out: &mut String, value: &Value, indent: usize, inline: bool) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 || !inline {
                    let _ = write!(out, "{:indent$}", "");
                }
                let _ = write!(out, "{}:", scalar(&Value::String(key.clone())));
                write_child(out, value, indent + 2, matches!(value, Value::Array(_)));
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(out, "{:indent$}- ", "");
                write_value(out, item, indent + 2, true);
            }
        }
        other => {
            let _ = writeln!(out, "{}", scalar(other));
        }
    }
}

fn write_child(out: &mut String, value: &Value, indent: usize, list: bool) {
    let empty = match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if empty {
        let _ = writeln!(out, " {}", scalar(value));
    } else {
        out.push('\n');
        write_value(out, value, if list { indent - 2 } else { indent }, false);
    }
}

/// A scalar, or an empty collection. Words that are nothing but letters and the like stand bare.
fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    let word = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic()) && text.bytes().all(plain);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && !reserved.contains(&text.to_ascii_lowercase().as_str()) { text.clone() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let value = serde_json::json!({
            "a": [1, {"b": "x y", "c": []}, ["d"]], "n": null, "yes": "no", "t": "12", "empty": {}, "s": "a\nb: c",
        });
        let (documents, problems) = portolan_source::parse_str("t.yaml".as_ref(), &to_yaml(&value));
        assert!(problems.is_empty(), "{problems:?}\n{}", to_yaml(&value));
        assert_eq!(documents[0].value, value);
    }
}
