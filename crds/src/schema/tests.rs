//! What must hold of every vendored schema for the walks over objects to mean what the API server means.

use super::{
    all,
    format::Format,
    node::{ListType, Node, Type},
};

fn visit(visitor: &mut dyn FnMut(&str, &Node)) {
    for schema in all() {
        schema.root().visit("", &mut |path, node| visitor(&format!("{} {path}", schema.kind()), node));
    }
}

#[test]
fn every_pattern_compiles_and_means_the_same_to_go() {
    let mut patterns = 0;
    visit(&mut |path, node| {
        let Some(pattern) = &node.pattern else { return };
        assert!(pattern.regex().is_some(), "{path}: {}", pattern.text());
        // These classes are ASCII to Go and Unicode here.
        for class in [r"\d", r"\w", r"\s", r"\b"] {
            assert!(!pattern.text().contains(class), "{path}: {}", pattern.text());
        }
        patterns += 1;
    });
    assert!(patterns > 300, "{patterns}");
}

#[test]
fn no_rule_looks_at_a_time() {
    let mut rules = 0;
    visit(&mut |path, node| {
        rules += node.rules.len();
        if node.rules.is_empty() {
            return;
        }
        node.visit(path, &mut |below, node| assert_ne!(node.format, Some(Format::DateTime), "{path}: {below}"));
    });
    assert!(rules > 200, "{rules}");
}

#[test]
fn lists_that_are_maps_have_keys_and_objects() {
    visit(&mut |path, node| {
        if node.list_type == ListType::Map {
            assert!(!node.list_map_keys.is_empty(), "{path}");
            assert_eq!(node.items.as_ref().and_then(|item| item.kind), Some(Type::Object), "{path}");
        }
    });
}

#[test]
fn every_default_is_valid() {
    visit(&mut |path, node| {
        let Some(default) = &node.default else { return };
        let (mut value, mut errors) = (default.clone(), Vec::new());
        super::prepare::prepare(&mut value, node);
        super::structural::validate(&value, node, &super::Path::Root, &mut errors);
        super::unknown::report(&value, node, &super::Path::Root, &mut errors);
        assert_eq!(errors, [], "{path}: {default}");
    });
}
