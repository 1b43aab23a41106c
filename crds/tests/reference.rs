//! `docs/reference.md` is what the CRDs of Portolan's own kinds say, which `types.rs` and its like hold to the types.
//! The page is never written by hand: `UPDATE_GOLDEN=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use serde_json::Value;
use std::{collections::BTreeSet, env, fmt::Write as _, fs};

const PAGE: &str = "../docs/reference.md";
const COMMAND: &str = "UPDATE_GOLDEN=1 cargo test -p portolan-crds --test reference";
/// Most characters of a description, so that a table's cells stay short.
const DESCRIPTION_MAX: usize = 220;
/// Columns of a line of text.
const WIDTH: usize = 120;
/// Most characters of a default that is shown as it is.
const DEFAULT_MAX: usize = 24;
/// How descriptions say what holds where the schema has no default (because a class's GatewayConfig may give it).
const UNLESS_GIVEN: &str = "Unless it is given: ";

/// What is known of one field.
struct Field<'a> {
    path: String,
    schema: &'a Value,
    required: bool,
}

#[test]
fn the_page_is_what_the_crds_say() {
    let (path, page) = (common::path(PAGE), page(&crds()));
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let first = written.lines().zip(page.lines()).position(|(written, right)| written != right);
    let line = first.unwrap_or_else(|| written.lines().count().min(page.lines().count())) + 1;
    assert!(written == page, "docs/reference.md is not what the CRDs say, from line {line} on; write it: {COMMAND}");
}

#[test]
fn every_field_is_described_in_a_few_words() {
    for crd in crds() {
        for Field { path, schema, .. } in fields(&crd) {
            let text = schema["description"].as_str().unwrap_or_default();
            assert!(text.ends_with('.'), "{} {path} has no description, or one without an end: {text:?}", kind(&crd));
            for paragraph in text.lines() {
                let length = paragraph.chars().count();
                assert!(length <= DESCRIPTION_MAX, "{} {path} is described in {length} characters", kind(&crd));
            }
        }
    }
}

/// A column whose path nothing is at stays empty, and nobody says so.
#[test]
fn columns_and_conditions_are_of_what_the_schema_has() {
    for crd in crds() {
        let paths: BTreeSet<String> = fields(&crd).map(|field| field.path).collect();
        let conditions: BTreeSet<&str> = conditions(&crd).into_iter().map(|(name, _)| name).collect();
        for column in version(&crd)["additionalPrinterColumns"].as_array().unwrap() {
            let path = column["jsonPath"].as_str().unwrap().trim_start_matches('.');
            let path = match path.split_once("?(@.type==\"") {
                Some((list, rest)) => {
                    let (condition, rest) = rest.split_once("\")").unwrap();
                    assert!(conditions.contains(condition), "{} has no condition {condition}", kind(&crd));
                    format!("{list}{rest}")
                }
                None => path.to_owned(),
            };
            assert!(path.starts_with("metadata.") || paths.contains(&path), "{} has no {path}", kind(&crd));
        }
    }
}

// === what the CRDs say ===

fn crds() -> Vec<Value> {
    let own = |(file, _): &(String, Value)| file.starts_with("portolan.dev_");
    let crds: Vec<Value> = common::documents("yaml").into_iter().filter(own).map(|(_, crd)| crd).collect();
    assert_eq!(crds.iter().map(kind).collect::<Vec<_>>(), ["GatewayConfig", "WasmFilter"]);
    crds
}

fn kind(crd: &Value) -> &str {
    crd["spec"]["names"]["kind"].as_str().unwrap()
}

/// The only version.
fn version(crd: &Value) -> &Value {
    let versions = crd["spec"]["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 1, "{} has several versions: the page must say which it shows", kind(crd));
    &versions[0]
}

fn schema(crd: &Value) -> &Value {
    &version(crd)["schema"]["openAPIV3Schema"]
}

/// All fields but `apiVersion`, `kind` and `metadata`, in the order of the schema.
fn fields(crd: &Value) -> impl Iterator<Item = Field<'_>> {
    let mut found = Vec::new();
    collect(schema(crd), "", &mut found);
    let envelope = ["apiVersion", "kind", "metadata"];
    found.into_iter().filter(move |field| !envelope.contains(&field.path.as_str()))
}

fn collect<'a>(schema: &'a Value, path: &str, found: &mut Vec<Field<'a>>) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().flat_map(Value::as_str).collect();
    let mut add = |path: String, schema: &'a Value, required: bool| {
        found.push(Field { path: path.clone(), schema, required });
        collect(schema, &path, found);
    };
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        add(path, schema, required.contains(&name.as_str()));
    }
    for (keyword, below) in [("items", "[]"), ("additionalProperties", ".*")] {
        if schema[keyword].is_object() {
            add(format!("{path}{below}"), &schema[keyword], false);
        }
    }
}

/// The conditions that the description of `status.conditions` lists: name, meaning.
fn conditions(crd: &Value) -> Vec<(&str, &str)> {
    let list = &schema(crd)["properties"]["status"]["properties"]["conditions"]["description"];
    let lines = list.as_str().unwrap_or_default().lines().filter_map(|line| line.strip_prefix("* "));
    lines.map(|line| line.split_once(": ").expect("`* Condition: meaning`")).collect()
}

// === the page ===

fn page(crds: &[Value]) -> String {
    let mut out = "# Reference\n\n".to_owned();
    let origin = "Generated from the CRDs in [crds/yaml](../crds/yaml/README.md); not edited. These are Portolan's own \
                  kinds; those of the Gateway API have [their own \
                  reference](https://gateway-api.sigs.k8s.io/reference/spec/). `kubectl explain` says the same in a \
                  terminal; [deploy/examples](../deploy/examples) has files to copy. To write this page anew:";
    paragraph(&mut out, "", origin);
    writeln!(out, "\n    {COMMAND}\n").unwrap();
    let legend = "In the tables `[]` is an item of a list and `*` a key of a map. A field that is **required** is so \
                  where what it stands in is given. Numbered patterns stand below their table.";
    paragraph(&mut out, "", legend);
    for crd in crds {
        section(&mut out, crd);
    }
    out
}

fn section(out: &mut String, crd: &Value) {
    let (kind, description) = (kind(crd), schema(crd)["description"].as_str().unwrap());
    writeln!(out, "\n## {kind}\n").unwrap();
    paragraph(out, "", description);
    names(out, crd);
    columns(out, crd);
    let patterns = field_table(out, crd);
    if !patterns.is_empty() {
        writeln!(out, "\nPatterns:\n").unwrap();
    }
    for (index, pattern) in patterns.iter().enumerate() {
        writeln!(out, "{}. `{pattern}`", index + 1).unwrap();
    }
    rules(out, crd);
    let conditions = conditions(crd);
    if !conditions.is_empty() {
        writeln!(out, "\n### Conditions of a {kind}\n").unwrap();
    }
    for (name, meaning) in conditions {
        paragraph(out, "- ", &format!("`{name}`: {meaning}"));
    }
}

/// What the kind is called, and where it lives.
fn names(out: &mut String, crd: &Value) {
    let (spec, names) = (&crd["spec"], &crd["spec"]["names"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let status = if version(crd)["subresources"]["status"].is_object() { "a subresource" } else { "none" };
    let facts = [
        ("apiVersion", format!("`{}/{}`", text(&spec["group"]), text(&version(crd)["name"]))),
        ("scope", text(&spec["scope"])),
        ("name for kubectl", format!("`{}`", text(&names["plural"]))),
        ("short names", listed(&names["shortNames"])),
        ("categories", listed(&names["categories"])),
        ("status", status.to_owned()),
    ];
    out.push('\n');
    for (what, fact) in facts {
        writeln!(out, "- {what}: {fact}").unwrap();
    }
}

fn columns(out: &mut String, crd: &Value) {
    let plural = crd["spec"]["names"]["plural"].as_str().unwrap();
    writeln!(out, "\n### Columns of `kubectl get {plural}`\n\n| column | shows | when |\n|---|---|---|").unwrap();
    for column in version(crd)["additionalPrinterColumns"].as_array().unwrap() {
        let text = |field: &str| column[field].as_str().unwrap();
        let wide = if column["priority"].as_u64() > Some(0) { "`-o wide`" } else { "always" };
        writeln!(out, "| {} | `{}` | {wide} |", text("name").to_uppercase(), cell(text("jsonPath"))).unwrap();
    }
}

/// Writes the table, and returns the patterns that it refers to.
fn field_table<'a>(out: &mut String, crd: &'a Value) -> Vec<&'a str> {
    let mut patterns = Vec::new();
    writeln!(out, "\n### Fields of a {}\n\n| field | type | default | meaning |\n|---|---|---|---|", kind(crd))
        .unwrap();
    for Field { path, schema, required } in fields(crd) {
        let description = schema["description"].as_str().unwrap_or_default();
        let (text, otherwise) = split_default(description.lines().next().unwrap_or_default());
        let default = match (required, &schema["default"]) {
            (true, _) => "**required**".to_owned(),
            (false, Value::Null) => otherwise.to_owned(),
            (false, default) => shown_default(default),
        };
        let kind = type_of(schema, &mut patterns);
        writeln!(out, "| `{path}` | {kind} | {} | {} |", cell(&default), cell(text)).unwrap();
    }
    patterns
}

/// A description without its last sentence, if that gives the default, and the default.
fn split_default(description: &str) -> (&str, &str) {
    match description.split_once(UNLESS_GIVEN) {
        Some((text, default)) => (text.trim_end(), default.trim_end_matches('.')),
        None => (description, ""),
    }
}

fn shown_default(default: &Value) -> String {
    let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
    if text.chars().count() > DEFAULT_MAX { "(in the CRD)".to_owned() } else { format!("`{text}`") }
}

/// Type, format, values and limits in short.
fn type_of<'a>(schema: &'a Value, patterns: &mut Vec<&'a str>) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", value.as_str().unwrap())).collect();
        return values.join(", ");
    }
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    let base = match (schema["type"].as_str(), schema["format"].as_str()) {
        (_, Some(format)) => format,
        (Some("object"), _) if open => "any object",
        (Some("object"), _) if schema["additionalProperties"].is_object() => "map",
        (Some("array"), _) => "list",
        (Some(kind), _) => kind,
        (None, _) if schema["x-kubernetes-int-or-string"] == true => "integer or string",
        (None, _) if open => "any JSON",
        (None, None) => panic!("no type: {schema}"),
    };
    let mut parts = vec![base.to_owned()];
    parts.extend(range(schema, "minimum", "maximum", ""));
    parts.extend(range(schema, "minLength", "maxLength", " characters"));
    parts.extend(range(schema, "minItems", "maxItems", " items"));
    parts.extend(range(schema, "minProperties", "maxProperties", " keys"));
    let keys = schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().flat_map(Value::as_str);
    parts.extend(keys.map(|key| format!("by `{key}`")));
    if let Some(pattern) = schema["pattern"].as_str() {
        let known = patterns.iter().position(|known| *known == pattern);
        let index = known.unwrap_or_else(|| {
            patterns.push(pattern);
            patterns.len() - 1
        });
        parts.push(format!("pattern {}", index + 1));
    }
    parts.join(", ")
}

fn range(schema: &Value, least: &str, most: &str, of: &str) -> Option<String> {
    match (schema[least].as_i64(), schema[most].as_i64()) {
        (Some(least), Some(most)) => Some(format!("{least}–{most}{of}")),
        (Some(least), None) => Some(format!("≥ {least}{of}")),
        (None, Some(most)) => Some(format!("≤ {most}{of}")),
        (None, None) => None,
    }
}

/// What is checked beyond single fields. An object that breaks a rule is refused with the message.
fn rules(out: &mut String, crd: &Value) {
    writeln!(out, "\n### Rules of a {}\n\n| at | who breaks it is told |\n|---|---|", kind(crd)).unwrap();
    for Field { path, schema, .. } in fields(crd) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            writeln!(out, "| `{path}` | {} |", cell(rule["message"].as_str().expect("a message"))).unwrap();
        }
        if let Some(names) = schema["not"]["required"].as_array() {
            let names: Vec<&str> = names.iter().flat_map(Value::as_str).collect();
            writeln!(out, "| `{path}` | must not have {} together |", names.join(" and ")).unwrap();
        }
    }
}

fn listed(names: &Value) -> String {
    let names = names.as_array().into_iter().flatten().flat_map(Value::as_str);
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// A text that may stand in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Writes a text in lines that are no longer than is the house's custom; `bullet` stands before it.
fn paragraph(out: &mut String, bullet: &str, text: &str) {
    let (mut line, indent) = (bullet.to_owned(), " ".repeat(bullet.len()));
    for word in text.split_whitespace() {
        if line.len() > bullet.len() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{line}").unwrap();
            line.clone_from(&indent);
        }
        if line.len() > bullet.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{line}").unwrap();
}
