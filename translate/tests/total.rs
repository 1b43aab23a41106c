//! Translation is total: objects with random damage never make it panic, and what it takes over from the translation
//! before never changes the result. The seed is printed; it is fixed, so that a failure comes again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use portolan_translate::{Objects, translate};
use serde_json::{Value, json};
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};
use support::{certificates, dump, input, status};

const SEED: u64 = 0x5eed_0f90_7014_0001;
/// Damaged copies of each golden input.
const ROUNDS: usize = 12;

/// A generator of random numbers (SplitMix64), so that the same seed gives the same damage on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }
}

/// What a value is replaced by.
fn replacements() -> Vec<Value> {
    vec![
        Value::Null,
        json!(""),
        json!("*"),
        json!("*."),
        json!("/"),
        json!("(["),
        json!("ünïcode \u{0}"),
        json!("127.0.1.1"),
        json!("RegularExpression"),
        json!("TLS"),
        json!("UDP"),
        json!("Service"),
        json!("ListenerSet"),
        json!("default"),
        json!(0),
        json!(1),
        json!(80),
        json!(65535),
        json!([]),
        json!({}),
        json!(true),
    ]
}

/// Replaces, removes or repeats one value somewhere below `value`.
fn damage(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let at = random.below(map.len());
            let key = map.keys().nth(at).unwrap().clone();
            match random.below(8) {
                0 => drop(map.remove(&key)),
                1 => map[&key] = replacements()[random.below(replacements().len())].clone(),
                _ => damage(&mut map[&key], random),
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let at = random.below(list.len());
            match random.below(6) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                _ => damage(&mut list[at], random),
            }
        }
        other => *other = replacements()[random.below(replacements().len())].clone(),
    }
}

/// The objects of a text, one of them damaged; none if the damage is such that it is no object of its kind any more.
fn damaged(text: &str, random: &mut Random) -> Option<Objects> {
    let (documents, _) = portolan_source::parse_str(Path::new("input.yaml"), text);
    let mut values: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
    values.retain(|value| value["kind"].is_string() && value["kind"] != "Edges");
    if values.is_empty() {
        return None;
    }
    let at = random.below(values.len());
    damage(&mut values[at]["spec"], random);
    let mut objects = Objects::default();
    for mut value in values {
        certificates::expand(&mut value);
        // Values of a wrong type are refused where objects are read, before translation.
        objects = catch_unwind(move || {
            let mut objects = objects;
            input::add(&mut objects, value, false);
            objects
        })
        .ok()?;
    }
    Some(objects)
}

#[test]
fn damaged_objects_change_nothing_but_the_result() {
    println!("seed {SEED:#x}");
    std::panic::set_hook(Box::new(|_| {}));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let (mut random, mut translated, mut failed) = (Random(SEED), 0, Vec::new());
    for folder in folders {
        let text = fs::read_to_string(folder.join("input.yaml")).unwrap();
        let sound = input::read(&text);
        let before = translate(&sound.objects, &sound.edges, None);
        for round in 0..ROUNDS {
            let Some(objects) = damaged(&text, &mut random) else { continue };
            let result = catch_unwind(AssertUnwindSafe(|| {
                let afresh = translate(&objects, &sound.edges, None);
                let after = translate(&objects, &sound.edges, Some(&before));
                let back = translate(&sound.objects, &sound.edges, Some(&after));
                let texts = [&afresh, &after, &back, &before]
                    .map(|one| (dump::snapshot(&one.snapshot), status::statuses(&one.statuses)));
                texts[0] == texts[1] && texts[2] == texts[3]
            }));
            translated += 1;
            if !matches!(result, Ok(true)) {
                failed.push(format!("{} round {round}: {result:?}", folder.display()));
            }
        }
    }
    drop(std::panic::take_hook());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(translated > 200, "only {translated} damaged inputs could be read");
}
