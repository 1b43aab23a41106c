//! What the YAML reader takes, refuses, and where it says so.

use super::*;
use crate::places::keys;
use proptest::prelude::*;
use serde_json::json;

fn one(text: &str) -> Value {
    let (documents, problems) = parse_str(Path::new("f.yaml"), text);
    assert_eq!(problems, [], "{text}");
    assert_eq!(documents.len(), 1, "{text}");
    documents.into_iter().next().unwrap().value
}

fn refused(text: &str) -> String {
    let (_, problems) = parse_str(Path::new("f.yaml"), text);
    assert_eq!(problems.len(), 1, "{text}");
    problems[0].to_string()
}

#[test]
fn documents_keep_their_lines() {
    let (documents, problems) = parse_str(Path::new("f.yaml"), "a: 1\n---\n# c\nb:\n  - c: 2\n");
    assert_eq!(problems, []);
    assert_eq!(
        documents.iter().map(|document| document.value.clone()).collect::<Vec<_>>(),
        [json!({"a": 1}), json!({"b": [{"c": 2}]})]
    );
    assert_eq!(
        documents[1].locate(&[Step::Key("b".to_owned()), Step::Index(0), Step::Key("c".to_owned())]),
        Position { line: 5, column: 5 }
    );
    assert_eq!(documents[1].locate(&keys(&["b"])), Position { line: 4, column: 1 });
}

#[test]
fn json_is_read_with_tabs() {
    assert_eq!(one("{\n\t\"a\": [1, true, \"x\"],\n\t\"b\": null\n}\n"), json!({"a": [1, true, "x"], "b": null}));
}

#[test]
fn quoted_scalars_are_texts() {
    assert_eq!(
        one("a: \"yes\"\nb: '1'\nc: |\n  x\n  y\nd: !!str 5\ne: ''\n"),
        json!({"a": "yes", "b": "1", "c": "x\ny\n", "d": "5", "e": ""})
    );
}

#[test]
fn an_unreadable_document_leaves_the_others() {
    let (documents, problems) = parse_str(Path::new("f.yaml"), "a: 1\n---\nb: \"open\n---\nc: 3\n");
    assert_eq!(
        documents.iter().map(|document| &document.value).collect::<Vec<_>>(),
        [&json!({"a": 1}), &json!({"c": 3})]
    );
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().contains("not closed"), "{}", problems[0]);
    assert!((3..=4).contains(&problems[0].line), "{}", problems[0]);
}

#[test]
fn tabs_in_indentation_are_named() {
    let message = refused("a:\n  b: 1\n\tc: 2\n");
    assert!(message.starts_with("f.yaml:3:") && message.contains("tab"), "{message}");
}

#[test]
fn what_is_missing_at_the_end_is_placed_within_the_file() {
    assert!(refused("a: 1\nb").starts_with("f.yaml:2:"), "{}", refused("a: 1\nb"));
    assert!(refused("a: \"x").starts_with("f.yaml:1:"), "{}", refused("a: \"x"));
}

#[test]
fn wrong_indentation_is_placed() {
    let message = refused("a:\n  b: 1\n c: 2\n");
    assert!(message.starts_with("f.yaml:3:") && message.contains("indented wrongly"), "{message}");
    assert!(refused("a: b: c\n").starts_with("f.yaml:1:"));
}

#[test]
fn duplicate_keys_are_refused_where_they_stand() {
    assert_eq!(refused("a: 1\nb: 2\na: 3\n"), "f.yaml:3:1: duplicate key \"a\"");
    assert_eq!(refused("x: {on: 1, \"true\": 2}\n"), "f.yaml:1:12: duplicate key \"true\"");
}

#[test]
fn keys_that_json_lacks_are_refused() {
    assert!(refused("? [a]\n: 1\n").contains("a key must be"));
    assert!(refused("~: 1\n").contains("a key must be"));
}

#[test]
fn aliases_and_merges_expand_and_own_keys_win() {
    let text = "base: &b {x: 1, w: 2}\nother: &o {w: 3, z: 4}\na:\n  w: 9\n  <<: [*b, *o]\nc: *b\n";
    assert_eq!(one(text)["a"], json!({"w": 9, "x": 1, "z": 4}));
    assert_eq!(one(text)["c"], json!({"x": 1, "w": 2}));
    assert_eq!(one("a: &n x\n\"<<\": *n\n"), json!({"a": "x", "<<": "x"}));
    assert!(refused("a: &n x\nb: {<<: *n}\n").contains("takes a mapping"));
}

#[test]
fn an_alias_is_placed_where_it_stands() {
    let (documents, _) = parse_str(Path::new("f.yaml"), "a: &x\n  k: 1\nb: *x\n");
    assert_eq!(documents[0].locate(&keys(&["b"])).line, 3);
    assert_eq!(documents[0].locate(&keys(&["b", "k"])).line, 2);
}

#[test]
fn a_value_cannot_contain_itself() {
    assert!(refused("a: &a [*a]\n").contains("inside the very value"));
    assert!(refused("a: *missing\n").contains("unknown anchor"));
}

#[test]
fn billions_of_laughs_end_at_the_limit() {
    let mut text = "l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..12 {
        let row = vec![format!("*l{}", level - 1); 10].join(", ");
        text.push_str(&format!("l{level}: &l{level} [{row}]\n"));
    }
    assert!(refused(&text).contains("expand to more than"), "{}", refused(&text));
    let long = "x".repeat(1 << 20);
    assert!(refused(&format!("a: &a {long}\nb: [*a, *a, *a, *a, *a]\n")).contains("expand to more than"));
}

#[test]
fn depth_ends_at_the_limit_through_aliases_too() {
    assert!(refused(&format!("a: {}1{}\n", "[".repeat(120), "]".repeat(120))).contains("levels deep"));
    let mut text = "a0: &a0 [1]\n".to_owned();
    for level in 1..120 {
        text.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(refused(&text).contains("levels deep"));
}

#[test]
fn documents_without_separators_end_at_the_limit() {
    assert!(refused(&"a: 1\n...\n".repeat(20)).starts_with("f.yaml:33:1: more than 16 documents"));
}

#[test]
fn values_end_at_the_limit() {
    let text = format!("a: [{}]\n", "1,".repeat(NODES_MAX));
    assert!(refused(&text).contains("more than 1000000 values"));
}

#[test]
fn unknown_tags_and_control_characters_are_refused() {
    assert!(refused("a: !Ref x\n").contains("is not supported"));
    assert!(refused("a: !!binary aGk=\n").contains("is not supported"));
    assert_eq!(refused("a: 1\nb: \u{0}x\n"), "f.yaml:2:4: control character '\\0' in the text: is this a YAML file?");
}

const SEED: &str = "apiVersion: v1\nkind: Service\nmetadata: &m {name: a, labels: {x: \"y\"}}\nspec:\n  ports:\n  - port: 80\n    name: 'http'\n  <<: *m\n---\nx: |\n  text\n...\n---\n- ? a\n  : b\n";

proptest! {
    #[test]
    fn random_text_never_panics(text in any::<String>()) {
        let _ = parse_str(Path::new("f.yaml"), &text);
    }

    #[test]
    fn random_punctuation_never_panics(text in "[-:?&*!|>'\"%@`{}\\[\\], \t\n<#.~a0]{0,80}") {
        let _ = parse_str(Path::new("f.yaml"), &text);
    }

    #[test]
    fn mutated_yaml_never_panics(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<char>(), 0..3_u8), 1..8)) {
        let mut text: Vec<char> = SEED.chars().collect();
        for (index, c, operation) in edits {
            let at = index.index(text.len());
            match operation {
                0 => text[at] = c,
                1 => text.insert(at, c),
                _ => { text.remove(at); }
            }
        }
        let text: String = text.into_iter().collect();
        let (documents, problems) = parse_str(Path::new("f.yaml"), &text);
        // A carriage return alone is a line break in YAML.
        let lines = u32::try_from(text.matches(['\n', '\r']).count()).unwrap() + 1;
        prop_assert!(documents.iter().all(|document| document.locate(&[]).line <= lines));
        prop_assert!(problems.iter().all(|problem| problem.line <= lines), "{problems:?}");
    }
}
