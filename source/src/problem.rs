//! What is wrong with the files, in the form of a compiler's messages, and what is merely worth knowing.

use crate::places::Position;
use portolan_translate::objects::ObjectName;
use serde::Serialize;
use std::{
    borrow::Cow,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// An object's kind and name; the API version does not distinguish objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectId {
    /// The kind, as manifests write it.
    pub kind: Cow<'static, str>,
    /// Namespace and name.
    #[serde(rename = "object")]
    pub name: ObjectName,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Where an object was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Origin {
    /// The file, below the directory as it was given.
    pub file: Arc<Path>,
    /// The line on which the object begins, from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What a problem means for what is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// The object, or the file's unreadable part, is left out.
    #[default]
    LeftOut,
    /// What was read when it was last good stays in service.
    LastGoodServes,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The object, where it can be told.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub object: Option<ObjectId>,
    /// Path of the field, such as `spec.rules[0].matches`; empty where no one field is to blame.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// What it means for what is served.
    pub effect: Effect,
}

impl Problem {
    /// A problem of a file rather than of an object in it.
    pub fn of_file(file: &Path, at: Position, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            object: None,
            field: String::new(),
            message: message.into(),
            effect: Effect::LeftOut,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if let Some(object) = &self.object {
            write!(f, "{}: ", one_line(&object.to_string()))?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", one_line(&self.field))?;
        }
        f.write_str(&one_line(&self.message))?;
        match self.effect {
            Effect::LeftOut => Ok(()),
            Effect::LastGoodServes => f.write_str(" (the last good version stays in service)"),
        }
    }
}

/// Names, fields and messages may quote what a file says; a line break in it would break the list of problems.
fn one_line(message: &str) -> String {
    message.replace(['\n', '\r'], " ")
}

/// Something that fails nothing: an object of a kind that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: u32,
    /// What there is to know.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, one_line(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        let object = ObjectId { kind: "HTTPRoute".into(), name: ObjectName::new("shop", "cart") };
        Problem {
            object: Some(object),
            field: "spec.rules[0]".to_owned(),
            ..Problem::of_file(Path::new("d/r.yaml"), Position { line: 3, column: 7 }, "is\nwrong")
        }
    }

    #[test]
    fn problems_read_like_a_compilers() {
        assert_eq!(problem().to_string(), "d/r.yaml:3:7: HTTPRoute shop/cart: spec.rules[0]: is wrong");
        let broken = Problem {
            object: Some(ObjectId { kind: "HTTPRoute".into(), name: ObjectName::new("shop", "a\nb") }),
            field: "spec.a\nb".to_owned(),
            ..problem()
        };
        assert_eq!(broken.to_string(), "d/r.yaml:3:7: HTTPRoute shop/a b: spec.a b: is wrong");
        let kept = Problem { effect: Effect::LastGoodServes, object: None, field: String::new(), ..problem() };
        assert_eq!(kept.to_string(), "d/r.yaml:3:7: is wrong (the last good version stays in service)");
    }

    #[test]
    fn problems_are_flat_json() {
        let value = serde_json::to_value(problem()).unwrap();
        let expected = serde_json::json!({"file": "d/r.yaml", "line": 3, "column": 7, "kind": "HTTPRoute",
            "object": "shop/cart", "field": "spec.rules[0]", "message": "is\nwrong", "effect": "leftOut"});
        assert_eq!(value, expected);
    }
}
