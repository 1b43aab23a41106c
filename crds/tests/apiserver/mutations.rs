//! Objects with one value changed, named so that a verdict can be recorded for each.

use serde_json::{Value, json};

/// What becomes of a value.
enum Change {
    Remove,
    Set(Value),
}

/// Every change that applies to `value`, with its name.
fn changes(value: &Value) -> Vec<(&'static str, Change)> {
    let mut changes = vec![("remove", Change::Remove)];
    let mut set = |name, new: Value| {
        if new != *value {
            changes.push((name, Change::Set(new)));
        }
    };
    set("null", Value::Null);
    set("text", json!("x"));
    set("empty-text", json!(""));
    set("capitals", json!("UPPER_case !"));
    set("long", json!("a".repeat(3000)));
    set("star", json!("*"));
    set("host", json!("a.example.com"));
    set("path", json!("/a/b"));
    set("duration", json!("5s"));
    set("seven", json!(7));
    set("zero", json!(0));
    set("negative", json!(-1));
    set("large", json!(99_999_999));
    set("fraction", json!(1.5));
    set("true", json!(true));
    set("empty-list", json!([]));
    set("empty-object", json!({}));
    match value {
        Value::Object(object) => {
            let mut more = object.clone();
            more.insert("zzz".to_owned(), json!(1));
            set("more", Value::Object(more));
        }
        Value::Array(items) if !items.is_empty() => {
            set("repeated", items.iter().chain(&items[..1]).cloned().collect());
            set("many", std::iter::repeat_n(&items[0], 70).cloned().collect());
            set("wildcard", std::iter::once(json!("*")).chain(items.iter().cloned()).collect());
        }
        _ => {}
    }
    changes
}

/// Every object that differs from `object` in one value, with its name.
pub fn mutants(name: &str, object: &Value) -> Vec<(String, Value)> {
    let mut pointers = Vec::new();
    pointers_below(object, "", &mut pointers);
    pointers.retain(|pointer| !matches!(pointer.as_str(), "" | "/apiVersion" | "/kind"));
    let mut mutants = Vec::new();
    for pointer in &pointers {
        for (change, to) in changes(object.pointer(pointer).expect("collected from this object")) {
            let mut mutant = object.clone();
            apply(&mut mutant, pointer, to);
            mutants.push((format!("{name} {change} {pointer}"), mutant));
        }
    }
    mutants
}

/// JSON pointers to a value and everything below it.
fn pointers_below(value: &Value, at: &str, pointers: &mut Vec<String>) {
    pointers.push(at.to_owned());
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers_below(value, &format!("{at}/{key}"), pointers);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                pointers_below(value, &format!("{at}/{index}"), pointers);
            }
        }
        _ => {}
    }
}

fn apply(object: &mut Value, pointer: &str, change: Change) {
    let (parent, key) = pointer.rsplit_once('/').expect("not the root");
    let key = key.replace("~1", "/").replace("~0", "~");
    match (object.pointer_mut(parent).expect("a parent"), change) {
        (Value::Object(parent), Change::Remove) => drop(parent.shift_remove(&key)),
        (Value::Array(parent), Change::Remove) => drop(parent.remove(key.parse().expect("an index"))),
        (Value::Object(parent), Change::Set(value)) => drop(parent.insert(key, value)),
        (Value::Array(parent), Change::Set(value)) => parent[key.parse::<usize>().expect("an index")] = value,
        _ => unreachable!("only objects and lists have something below them"),
    }
}
