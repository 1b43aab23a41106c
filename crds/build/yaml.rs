//! YAML to JSON for manifests of the core schema, as the build script and the tests need it: no positions, no anchors.
//! Never compiled into the crate; what reads users' files is another crate's business.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// The documents of a stream; empty ones are left out.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut parser = Parser::new_from_str(text);
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let done = match event {
            Event::Scalar(text, style, _, _) => Some(scalar(&text, style)),
            Event::SequenceStart(..) => {
                open.push(Open::Sequence(Vec::new()));
                None
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(Open::close),
            Event::Alias(_) => return Err(format!("an alias in line {}", span.start.line())),
            _ => None,
        };
        match (done, open.last_mut()) {
            (Some(value), Some(parent)) => parent.add(value)?,
            (Some(Value::Null), None) | (None, _) => {}
            (Some(value), None) => documents.push(value),
        }
    }
    Ok(documents)
}

/// A collection that is being read; a mapping remembers the key whose value comes next.
enum Open {
    Sequence(Vec<Value>),
    Mapping(Map<String, Value>, Option<String>),
}

impl Open {
    fn add(&mut self, value: Value) -> Result<(), String> {
        match self {
            Open::Sequence(items) => items.push(value),
            Open::Mapping(map, key) => match key.take() {
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
                Some(key) if map.contains_key(&key) => return Err(format!("the key {key:?} twice")),
                Some(key) => drop(map.insert(key, value)),
            },
        }
        Ok(())
    }

    fn close(self) -> Value {
        match self {
            Open::Sequence(items) => Value::Array(items),
            Open::Mapping(map, _) => Value::Object(map),
        }
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::String(text.to_owned());
    }
    let number = || text.parse::<i64>().ok().map(Number::from).or_else(|| float(text));
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number().map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

/// A float, but not Rust's `inf` and `nan`, which are strings to YAML.
fn float(text: &str) -> Option<Number> {
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    numeric.then(|| text.parse::<f64>().ok()).flatten().and_then(Number::from_f64)
}
