//! The seam to the schemas of the Gateway API's kinds and our own: which versions are served, and what the schema says
//! of an object. Kubernetes' own kinds have no schema here; their types check them.

use super::{FieldFault, typed::BOOLEAN_HINT};
use crate::{kinds::Kind, places::Step};
use portolan_crds::schema::{self, FieldError, FieldErrorKind, PathElement, Schema};
use serde_json::Value;

/// The schema of a kind that has one.
pub(super) fn find(kind: Kind, api_version: &str) -> Option<&'static Schema> {
    schema::lookup(api_version, kind.name())
}

/// Whether objects of the kind may be written in that version.
pub(super) fn is_served(kind: Kind, api_version: &str) -> bool {
    if is_custom(kind) { find(kind, api_version).is_some() } else { kind.api_version() == api_version }
}

/// Whether the kind comes from a CRD.
pub(super) fn is_custom(kind: Kind) -> bool {
    schema::known_groups().contains(&kind.group())
}

/// The versions that are served, for people.
pub(super) fn served(kind: Kind) -> String {
    let versions = schema::all().iter().filter(|schema| schema.kind() == kind.name()).map(Schema::api_version);
    let versions: Vec<&str> = versions.collect();
    if versions.is_empty() { kind.api_version().to_owned() } else { versions.join(" or ") }
}

/// Fills in the schema's defaults and reports what it refuses.
pub(super) fn admit(schema: &Schema, value: &mut Value) -> Vec<FieldFault> {
    schema.admit(value).into_iter().map(fault).collect()
}

fn fault(error: FieldError) -> FieldFault {
    let step = |element: &PathElement| match element {
        PathElement::Key(key) => Step::Key(key.clone()),
        PathElement::Index(index) => Step::Index(*index),
    };
    let path = error.path.iter().map(step).collect();
    let is_boolean = matches!(&error.kind, FieldErrorKind::Type { value } if value == "true" || value == "false");
    // The path is kept apart, so the message must not repeat it.
    let mut message = FieldError { path: Vec::new(), ..error }.to_string();
    if is_boolean {
        message.push_str(BOOLEAN_HINT);
    }
    FieldFault { path, message }
}
