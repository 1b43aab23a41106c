//! What is wrong with a field, where, and what would be right, in the words of the Kubernetes API server.

use serde_json::Value;
use std::fmt;

/// One step from an object to a field of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathElement {
    /// A field, or a key of a map.
    Key(String),
    /// An item of a list.
    Index(usize),
}

/// A field that the API server would refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// From the object's root to the field; empty for the object itself.
    pub path: Vec<PathElement>,
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// What is wrong in this case and what is allowed; may be empty where `kind` says it all.
    pub message: String,
}

/// What is wrong with a field. A `value` is the offending value as JSON, or the type of it where it is an object or list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldErrorKind {
    /// The schema has no such field.
    Unknown,
    /// The field is missing.
    Required,
    /// The value is of another type than the schema says.
    Type {
        /// The value.
        value: String,
    },
    /// The value is none of those that are listed.
    Unsupported {
        /// The value.
        value: String,
    },
    /// The value breaks a rule.
    Invalid {
        /// The value.
        value: String,
    },
    /// An entry of a list that must be unique is there before.
    Duplicate {
        /// The entry, or its key.
        value: String,
    },
    /// The text is too long.
    TooLong,
    /// The list or map has too many entries.
    TooMany {
        /// How many it has.
        count: usize,
    },
    /// The field must not be set here.
    Forbidden,
    /// Rules were not evaluated, because other errors made the object unfit for it; they may find more.
    Unchecked,
}

impl FieldErrorKind {
    /// Whether the API server evaluates no CEL rule on an object with such an error.
    pub(crate) fn blocks_rules(&self) -> bool {
        matches!(
            self,
            Self::Required | Self::Type { .. } | Self::Unsupported { .. } | Self::TooLong | Self::TooMany { .. }
        )
    }
}

/// Longest value that a message repeats, in bytes of JSON.
const SHOWN_VALUE_BYTES_MAX: usize = 256;

/// How a message shows a value: as JSON, cut where it is long.
pub(crate) fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if text.len() > SHOWN_VALUE_BYTES_MAX {
        let end = (0..=SHOWN_VALUE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", PathDisplay(&self.path))?;
        }
        match &self.kind {
            FieldErrorKind::Unknown => f.write_str("Unknown field")?,
            FieldErrorKind::Required => f.write_str("Required value")?,
            FieldErrorKind::Type { value } | FieldErrorKind::Invalid { value } => write!(f, "Invalid value: {value}")?,
            FieldErrorKind::Unsupported { value } => write!(f, "Unsupported value: {value}")?,
            FieldErrorKind::Duplicate { value } => write!(f, "Duplicate value: {value}")?,
            FieldErrorKind::TooLong => f.write_str("Too long")?,
            FieldErrorKind::TooMany { count } => write!(f, "Too many: {count}")?,
            FieldErrorKind::Forbidden => f.write_str("Forbidden")?,
            FieldErrorKind::Unchecked => f.write_str("Not fully checked")?,
        }
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

impl std::error::Error for FieldError {}

/// A path as the API server writes it: `spec.rules[0].name`, and `metadata.labels[a/b]` where a key is no plain name.
struct PathDisplay<'a>(&'a [PathElement]);

impl fmt::Display for PathDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        for (position, element) in self.0.iter().enumerate() {
            match element {
                PathElement::Index(index) => write!(f, "[{index}]")?,
                PathElement::Key(key) if !plain(key) => write!(f, "[{key}]")?,
                PathElement::Key(key) if position == 0 => f.write_str(key)?,
                PathElement::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Where a walk over an object is: a list on the stack, copied only when an error is reported.
#[derive(Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    pub(crate) fn elements(&self) -> Vec<PathElement> {
        let (mut at, mut elements) = (self, Vec::new());
        loop {
            at = match at {
                Path::Root => break,
                Path::Key(parent, key) => {
                    elements.push(PathElement::Key((*key).to_owned()));
                    parent
                }
                Path::Index(parent, index) => {
                    elements.push(PathElement::Index(*index));
                    parent
                }
            };
        }
        elements.reverse();
        elements
    }

    pub(crate) fn error(&self, kind: FieldErrorKind, message: impl Into<String>) -> FieldError {
        FieldError { path: self.elements(), kind, message: message.into() }
    }

    /// An error that shows the value.
    pub(crate) fn invalid(&self, value: &Value, message: impl Into<String>) -> FieldError {
        self.error(FieldErrorKind::Invalid { value: shown(value) }, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_read_like_the_api_servers() {
        let root = Path::Root;
        let (spec, labels) = (root.key("spec"), root.key("metadata"));
        let (rules, labels) = (spec.key("rules"), labels.key("labels"));
        let rule = rules.index(3);
        let filter = rule
            .key("type")
            .error(FieldErrorKind::Unsupported { value: shown(&json!("Foo")) }, "supported values: \"A\"");
        assert_eq!(filter.to_string(), "spec.rules[3].type: Unsupported value: \"Foo\": supported values: \"A\"");
        assert_eq!(labels.key("a/b").error(FieldErrorKind::TooLong, "").to_string(), "metadata.labels[a/b]: Too long");
        assert_eq!(root.error(FieldErrorKind::Unchecked, "x").to_string(), "Not fully checked: x");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let text = shown(&json!("é".repeat(500)));
        assert!(text.len() <= SHOWN_VALUE_BYTES_MAX + '…'.len_utf8(), "{}", text.len());
        assert!(text.ends_with('…'));
    }
}
