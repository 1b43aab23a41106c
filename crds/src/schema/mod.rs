//! Objects as the Kubernetes API server would take them: defaults, unknown fields, structural schemas, CEL rules, all
//! from the CRDs in `yaml/`. Knows nothing of files: who reads them maps a [`FieldError`]'s path to a line.

mod cel;
mod error;
mod format;
mod metadata;
mod node;
mod prepare;
mod rule;
mod structural;
mod table;
#[cfg(test)]
mod tests;
mod unknown;

pub use error::{FieldError, FieldErrorKind, PathElement};
pub use table::{Schema, Scope, all, known_groups, lookup};

use error::Path;
use serde_json::Value;

/// A CEL rule that cannot be evaluated, so that objects may be taken which the API server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedRule {
    /// Where in the schema the rule stands; `[]` stands for items, `{}` for a map's values.
    pub path: String,
    /// The rule.
    pub rule: String,
    /// Why it cannot be evaluated.
    pub reason: String,
}

/// What is done with `status`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    /// The API server drops the status of an object that is created.
    Create,
    /// A controller writes the status.
    Status,
}

impl Schema {
    /// What the API server does with an object that is created: it fills in defaults, refuses unknown fields, validates,
    /// evaluates CEL rules. A `status` that the object brings is dropped, as on create, and takes its default if it has
    /// one. An object without errors is one that `kubectl apply` takes.
    pub fn admit(&self, object: &mut Value) -> Vec<FieldError> {
        self.check(object, Request::Create)
    }

    /// As [`Schema::admit`], for a write of the object's status, which is kept and validated.
    pub fn admit_status(&self, object: &mut Value) -> Vec<FieldError> {
        self.check(object, Request::Status)
    }

    /// The rules that cannot be evaluated here. Compiles every rule of the schema.
    pub fn unsupported_rules(&self) -> Vec<UnsupportedRule> {
        let mut rules = Vec::new();
        self.root().visit("", &mut |path, node| {
            rules.extend(node.rules.iter().filter_map(|rule| {
                let reason = rule.unsupported()?;
                Some(UnsupportedRule { path: path.to_owned(), rule: rule.text().to_owned(), reason })
            }));
        });
        rules
    }

    fn check(&self, object: &mut Value, request: Request) -> Vec<FieldError> {
        let (root, path, mut errors) = (self.root(), Path::Root, Vec::new());
        prepare::prepare(object, root);
        unknown::report(object, root, &path, &mut errors);
        if request == Request::Create {
            reset_status(object, root);
        }
        if let Value::Object(object) = &*object {
            metadata::validate(object, self.scope(), &mut errors);
        }
        structural::validate(object, root, &path, &mut errors);
        if errors.iter().any(|error| error.kind.blocks_rules()) {
            let message = "correct the other errors, some rules are checked only then";
            errors.push(path.error(FieldErrorKind::Unchecked, message));
        } else {
            rule::evaluate(object, root, &path, &mut errors);
        }
        errors
    }
}

/// A status that a user gives is dropped; the default of the schema takes its place.
fn reset_status(object: &mut Value, root: &node::Node) {
    let (Value::Object(object), Some(status)) = (object, root.properties.get("status")) else { return };
    object.shift_remove("status");
    if let Some(default) = &status.default {
        let mut value = default.clone();
        prepare::prepare(&mut value, status);
        object.insert("status".to_owned(), value);
    }
}
