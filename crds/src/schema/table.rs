//! What is served: the kinds and versions of `yaml/`, each with its schema, parsed when first asked for.

use super::{metadata, node::Node};
use std::sync::OnceLock;

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// Whether objects of a kind live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They belong to the cluster.
    Cluster,
}

/// One served version of one kind, and what the API server demands of its objects.
#[derive(Debug)]
pub struct Schema {
    api_version: &'static str,
    kind: &'static str,
    scope: Scope,
    deprecation: Option<&'static str>,
    document: &'static Document,
}

/// A structural schema as JSON, which versions may share.
#[derive(Debug)]
struct Document {
    json: &'static str,
    root: OnceLock<Node>,
}

impl Document {
    const fn new(json: &'static str) -> Self {
        Self { json, root: OnceLock::new() }
    }
}

impl Schema {
    /// `group/version`.
    pub fn api_version(&self) -> &'static str {
        self.api_version
    }

    /// The kind.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether objects live in namespaces.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// What the API server warns of, for a version that is still served but not to be used.
    pub fn deprecation(&self) -> Option<&'static str> {
        self.deprecation
    }

    /// The schema of the whole object; the first call for a kind parses it.
    pub(crate) fn root(&self) -> &'static Node {
        self.document.root.get_or_init(|| {
            let mut root: Node =
                serde_json::from_str(self.document.json).expect("built from our own CRDs; a test parses each");
            // A CRD says of metadata that it is an object, and leaves the rest to the API server.
            root.properties.insert("metadata".into(), metadata::node());
            root
        })
    }
}

/// Every served version of every kind.
pub fn all() -> &'static [Schema] {
    &TABLE
}

/// The schema of a kind in a version, if it is served.
pub fn lookup(api_version: &str, kind: &str) -> Option<&'static Schema> {
    TABLE.iter().find(|schema| schema.api_version == api_version && schema.kind == kind)
}

/// The API groups of which every kind is known here: a kind of them that [`lookup`] does not find does not exist.
pub fn known_groups() -> &'static [&'static str] {
    &[crate::GATEWAY_GROUP, crate::PORTOLAN_GROUP]
}
