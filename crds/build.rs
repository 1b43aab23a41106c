//! Turns the CRDs of `yaml/` into compact JSON without descriptions, and a table of what is served, for `schema::table`.

#[path = "build/yaml.rs"]
mod yaml;

use serde_json::{Map, Value};
use std::{env, error::Error, fmt::Write as _, fs, path::Path};

/// One served version of one kind.
struct Entry {
    api_version: String,
    kind: String,
    scope: &'static str,
    deprecation: Option<String>,
    document: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=yaml");
    println!("cargo::rerun-if-changed=build");
    let mut paths = fs::read_dir("yaml")?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();

    let (mut documents, mut entries) = (Vec::new(), Vec::new());
    for path in &paths {
        let text = fs::read_to_string(path)?;
        for crd in yaml::documents(&text).map_err(|error| format!("{}: {error}", path.display()))? {
            read_crd(&crd, &mut documents, &mut entries).ok_or_else(|| format!("{}: no CRD", path.display()))?;
        }
    }
    let out = env::var("OUT_DIR")?;
    for (index, document) in documents.iter().enumerate() {
        fs::write(Path::new(&out).join(format!("{index}.json")), document)?;
    }
    fs::write(Path::new(&out).join("table.rs"), table(documents.len(), &entries)?)?;
    Ok(())
}

/// Adds the served versions of a CRD; versions with one and the same schema share a document.
fn read_crd(crd: &Value, documents: &mut Vec<String>, entries: &mut Vec<Entry>) -> Option<()> {
    let spec = crd.get("spec")?;
    let group = spec.get("group")?.as_str()?;
    let kind = spec.get("names")?.get("kind")?.as_str()?;
    let scope = if spec.get("scope")? == "Namespaced" { "Namespaced" } else { "Cluster" };
    for version in spec.get("versions")?.as_array()? {
        if version.get("served")? != &Value::Bool(true) {
            continue;
        }
        let schema = without_descriptions(version.get("schema")?.get("openAPIV3Schema")?).to_string();
        let document = documents.iter().position(|known| *known == schema).unwrap_or_else(|| {
            documents.push(schema);
            documents.len() - 1
        });
        let deprecation =
            version.get("deprecated").is_some_and(|deprecated| deprecated == &Value::Bool(true)).then(|| {
                let warning = version.get("deprecationWarning").and_then(Value::as_str);
                warning.unwrap_or("This version is deprecated.").to_owned()
            });
        let api_version = format!("{group}/{}", version.get("name")?.as_str()?);
        entries.push(Entry { api_version, kind: kind.to_owned(), scope, deprecation, document });
    }
    Some(())
}

/// The schema without its descriptions (a *property* of that name stays).
fn without_descriptions(schema: &Value) -> Value {
    let Value::Object(keywords) = schema else { return schema.clone() };
    let mut kept = Map::new();
    for (keyword, value) in keywords {
        let value = match (keyword.as_str(), value) {
            ("description", _) => continue,
            ("properties", Value::Object(map)) => {
                Value::Object(map.iter().map(|(name, schema)| (name.clone(), without_descriptions(schema))).collect())
            }
            ("items" | "additionalProperties" | "not", schema) => without_descriptions(schema),
            ("allOf" | "anyOf" | "oneOf", Value::Array(list)) => list.iter().map(without_descriptions).collect(),
            _ => value.clone(),
        };
        kept.insert(keyword.clone(), value);
    }
    Value::Object(kept)
}

/// Rust source: the documents and the table of served versions.
fn table(documents: usize, entries: &[Entry]) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(out, "static DOCUMENTS: [Document; {documents}] = [")?;
    for index in 0..documents {
        writeln!(out, "    Document::new(include_str!(concat!(env!(\"OUT_DIR\"), \"/{index}.json\"))),")?;
    }
    writeln!(out, "];\nstatic TABLE: [Schema; {}] = [", entries.len())?;
    for Entry { api_version, kind, scope, deprecation, document } in entries {
        write!(out, "    Schema {{ api_version: {api_version:?}, kind: {kind:?}, scope: Scope::{scope}, ")?;
        writeln!(out, "deprecation: {deprecation:?}, document: &DOCUMENTS[{document}] }},")?;
    }
    writeln!(out, "];")?;
    Ok(out)
}
