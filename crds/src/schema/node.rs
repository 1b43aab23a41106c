//! A structural schema (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>)
//! as the walks over objects use it. A keyword that is not known here fails the parse: none is ignored.

use super::{format::Format, rule::Rule};
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

/// One node of a structural schema.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Node {
    #[serde(rename = "type")]
    pub(crate) kind: Option<Type>,
    pub(crate) nullable: bool,
    pub(crate) default: Option<Value>,
    pub(crate) properties: BTreeMap<Box<str>, Node>,
    pub(crate) additional_properties: Option<Additional>,
    pub(crate) items: Option<Box<Node>>,
    pub(crate) required: Vec<Box<str>>,
    #[serde(rename = "enum")]
    pub(crate) allowed: Vec<Value>,
    pub(crate) format: Option<Format>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) min_properties: Option<usize>,
    pub(crate) max_properties: Option<usize>,
    pub(crate) all_of: Vec<Node>,
    pub(crate) any_of: Vec<Node>,
    pub(crate) one_of: Vec<Node>,
    pub(crate) not: Option<Box<Node>>,
    #[serde(rename = "x-kubernetes-validations")]
    pub(crate) rules: Vec<Rule>,
    #[serde(rename = "x-kubernetes-list-type")]
    pub(crate) list_type: ListType,
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(crate) list_map_keys: Vec<Box<str>>,
    /// How server-side apply merges a map; says nothing about what is valid.
    #[serde(rename = "x-kubernetes-map-type")]
    pub(crate) _map_type: Option<String>,
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(crate) int_or_string: bool,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub(crate) preserve_unknown_fields: bool,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// `additionalProperties`: the schema of a map's values, or whether any are allowed.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Additional {
    Allowed(bool),
    Values(Box<Node>),
}

/// How a list's items are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

impl Node {
    /// The schema of a field, or of a map's value.
    pub(crate) fn field(&self, key: &str) -> Option<&Node> {
        self.properties.get(key).or_else(|| self.values())
    }

    /// The schema of a map's values.
    pub(crate) fn values(&self) -> Option<&Node> {
        match &self.additional_properties {
            Some(Additional::Values(node)) => Some(node),
            Some(Additional::Allowed(_)) | None => None,
        }
    }

    /// Whether keys are the user's: any may occur, and CEL sees them as they are.
    pub(crate) fn is_map(&self) -> bool {
        matches!(self.additional_properties, Some(Additional::Values(_) | Additional::Allowed(true)))
    }

    /// This node and all below it, with the path of each (`[]` stands for items, `{}` for a map's values).
    pub(crate) fn visit<'a>(&'a self, path: &str, visitor: &mut dyn FnMut(&str, &'a Node)) {
        visitor(path, self);
        for (name, node) in &self.properties {
            node.visit(&if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }, visitor);
        }
        if let Some(node) = &self.items {
            node.visit(&format!("{path}[]"), visitor);
        }
        if let Some(node) = self.values() {
            node.visit(&format!("{path}{{}}"), visitor);
        }
        for node in self.all_of.iter().chain(&self.any_of).chain(&self.one_of).chain(self.not.as_deref()) {
            node.visit(path, visitor);
        }
    }
}

/// A regular expression, compiled when first needed; equal ones are shared by all schemas.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern(Arc<(String, OnceLock<Option<Regex>>)>);

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        static KNOWN: LazyLock<Mutex<HashMap<String, Pattern>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(text).or_insert_with_key(|text| Self(Arc::new((text.clone(), OnceLock::new())))).clone()
    }
}

impl Pattern {
    pub(crate) fn text(&self) -> &str {
        &self.0.0
    }

    /// `None` if the expression does not compile: then nothing matches, and a test keeps it from happening.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.0.1.get_or_init(|| Regex::new(self.text()).ok()).as_ref()
    }
}
