//! Damages manifests in ways that leave most of them in order: values go, come twice, or are those of another field.
//! Bytes as such are changed elsewhere.

use super::{manifests::SAVED, random::Random};
use serde_json::{Value, json};
use std::path::Path;

/// Documents of one save.
const DOCUMENTS_MAX: usize = 40;

/// Changes one document of a text's last save, or adds a save in which it is changed. `other` is a text to take
/// documents from. A text that cannot be read stays as it is.
pub fn mutate(text: &str, other: &str, random: &mut Random) -> String {
    let (earlier, last) = match text.rsplit_once(SAVED) {
        Some((earlier, last)) => (format!("{earlier}{SAVED}"), last),
        None => (String::new(), text),
    };
    let mut values = values(last);
    if values.is_empty() {
        return text.to_owned();
    }
    let at = random.below(values.len());
    match random.below(10) {
        0 => drop(values.remove(at)),
        1 => values.extend(random.pick(&self::values(other)).cloned()),
        2 => values.push(renamed(&values[at], random)),
        3 => values.swap(0, at),
        _ => {
            let scalars = scalars(&values);
            damage(&mut values[at], &scalars, random);
        }
    }
    values.truncate(DOCUMENTS_MAX);
    let now: String = values.iter().map(|value| format!("---\n{value:#}\n")).collect();
    if random.below(4) == 0 { format!("{text}\n{SAVED}{now}") } else { format!("{earlier}{now}") }
}

fn values(text: &str) -> Vec<Value> {
    let (documents, _) = portolan_source::parse_str(Path::new("fuzzed.yaml"), text);
    documents.into_iter().map(|document| document.value).collect()
}

/// The same object by another name.
fn renamed(value: &Value, random: &mut Random) -> Value {
    let mut value = value.clone();
    if let Some(name) = value.pointer_mut("/metadata/name") {
        *name = json!(["a", "b", "c"][random.below(3)]);
    }
    value
}

/// All text and numbers of some documents: with them, references come to match.
fn scalars(values: &[Value]) -> Vec<Value> {
    let (mut found, mut open) = (Vec::new(), values.iter().collect::<Vec<_>>());
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => open.extend(map.values()),
            Value::Array(list) => open.extend(list),
            other => found.push(other.clone()),
        }
    }
    found
}

/// Values that mean something somewhere.
fn telling(random: &mut Random) -> Value {
    let texts = [
        "",
        "*",
        "*.example.com",
        "a.example.com",
        "/",
        "/a",
        "([",
        "^/.*$",
        "127.0.0.1",
        "::1",
        "Exact",
        "PathPrefix",
        "RegularExpression",
        "HTTP",
        "HTTPS",
        "TLS",
        "TCP",
        "UDP",
        "Terminate",
        "Passthrough",
        "Service",
        "Gateway",
        "All",
        "Same",
        "default",
        "kubernetes.io/h2c",
        "10s",
        "0s",
        "1h0m0.5s",
        "\u{fc}\n\u{2028}",
    ];
    let numbers = [0, 1, 80, 443, 65535, 65536, -1, 1_000_000, i64::MAX];
    match random.below(4) {
        0 => json!(numbers[random.below(numbers.len())]),
        1 => [Value::Null, json!([]), json!({}), json!(true), json!(0.5)][random.below(5)].clone(),
        _ => json!(texts[random.below(texts.len())]),
    }
}

fn replacement(scalars: &[Value], random: &mut Random) -> Value {
    match random.below(2) {
        0 => telling(random),
        _ => random.pick(scalars).cloned().unwrap_or_default(),
    }
}

/// Replaces, removes or repeats one value somewhere in `value`.
fn damage(value: &mut Value, scalars: &[Value], random: &mut Random) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let at = random.below(map.len());
            let Some(key) = map.keys().nth(at).cloned() else { return };
            match random.below(12) {
                0 => drop(map.remove(&key)),
                1 => drop(map.insert(key, replacement(scalars, random))),
                2 => drop(map.insert(format!("{key}s"), replacement(scalars, random))),
                _ => map.get_mut(&key).into_iter().for_each(|value| damage(value, scalars, random)),
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let at = random.below(list.len());
            match random.below(8) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                2 => list.swap(0, at),
                _ => damage(&mut list[at], scalars, random),
            }
        }
        other => *other = replacement(scalars, random),
    }
}
