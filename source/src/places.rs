//! Where the parts of a YAML document stand in its file: a tree of positions beside the tree of values.

use std::fmt;

/// A place in a text file; lines and columns (in characters) count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The beginning of a file.
    pub const START: Position = Position { line: 1, column: 1 };

    /// The position as it reads when `lines` lines stand before the text in which it was found.
    #[must_use]
    pub fn below(self, lines: u32) -> Position {
        Position { line: self.line.saturating_add(lines), ..self }
    }
}

/// The positions of a value and of all that it contains. A field's position is that of its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    at: Position,
    inner: Inner,
}

#[derive(Clone, Debug, PartialEq)]
enum Inner {
    Leaf,
    List(Vec<Places>),
    Map(Vec<(String, Places)>),
}

impl Places {
    pub(crate) fn leaf(at: Position) -> Self {
        Self { at, inner: Inner::Leaf }
    }

    pub(crate) fn list(at: Position, items: Vec<Places>) -> Self {
        Self { at, inner: Inner::List(items) }
    }

    pub(crate) fn map(at: Position, fields: Vec<(String, Places)>) -> Self {
        Self { at, inner: Inner::Map(fields) }
    }

    /// The same tree with another position of its root.
    #[must_use]
    pub(crate) fn moved_to(mut self, at: Position) -> Self {
        self.at = at;
        self
    }

    /// Where the value itself stands.
    pub fn at(&self) -> Position {
        self.at
    }

    /// The places of one field of a mapping.
    pub fn field(&self, name: &str) -> Option<&Places> {
        let Inner::Map(fields) = &self.inner else { return None };
        fields.iter().find(|(key, _)| key == name).map(|(_, places)| places)
    }

    /// The places of one item of a sequence.
    pub fn item(&self, index: usize) -> Option<&Places> {
        let Inner::List(items) = &self.inner else { return None };
        items.get(index)
    }

    pub(crate) fn into_fields(self) -> Vec<(String, Places)> {
        match self.inner {
            Inner::Map(fields) => fields,
            Inner::Leaf | Inner::List(_) => Vec::new(),
        }
    }

    /// Where a field stands. What is not there (a required field that is missing) is placed at the deepest part of the
    /// path that is.
    pub fn locate(&self, path: &[Step]) -> Position {
        let mut node = self;
        for step in path {
            let child = match step {
                Step::Key(name) => node.field(name),
                Step::Index(index) => node.item(*index),
            };
            match child {
                Some(child) => node = child,
                None => break,
            }
        }
        node.at
    }
}

/// One step from an object to a field of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// A field, or a key of a map.
    Key(String),
    /// An item of a list.
    Index(usize),
}

/// A path of fields as the API server writes it: `spec.rules[0].name`, and `metadata.labels[a.b/c]` where a key is no
/// plain name.
pub struct FieldPath<'a>(pub &'a [Step]);

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if !plain(key) => write!(f, "[{key}]")?,
                Step::Key(key) if number == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// A path from its keys, without indices.
pub(crate) fn keys(names: &[&str]) -> Vec<Step> {
    names.iter().map(|name| Step::Key((*name).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32) -> Position {
        Position { line, column: 1 }
    }

    fn tree() -> Places {
        let labels = Places::map(at(3), vec![("a.b/c".into(), Places::leaf(at(5)))]);
        let rule = Places::map(at(9), vec![("name".into(), Places::leaf(at(10)))]);
        let rules = Places::list(at(7), vec![Places::leaf(at(8)), rule]);
        Places::map(
            at(1),
            vec![
                ("metadata".into(), Places::map(at(2), vec![("labels".into(), labels)])),
                ("spec".into(), Places::map(at(6), vec![("rules".into(), rules)])),
            ],
        )
    }

    fn rule(index: usize, field: &str) -> Vec<Step> {
        vec![Step::Key("spec".into()), Step::Key("rules".into()), Step::Index(index), Step::Key(field.into())]
    }

    #[test]
    fn paths_find_fields_and_items() {
        assert_eq!(tree().locate(&rule(1, "name")), at(10));
        assert_eq!(tree().locate(&rule(0, "name")[..3]), at(8));
        assert_eq!(tree().locate(&keys(&["metadata", "labels", "a.b/c"])), at(5));
        assert_eq!(tree().locate(&[]), at(1));
    }

    #[test]
    fn a_missing_field_is_placed_at_what_lacks_it() {
        assert_eq!(tree().locate(&rule(1, "matches")), at(9));
        assert_eq!(tree().locate(&rule(7, "name")), at(7));
        assert_eq!(tree().locate(&keys(&["status", "conditions"])), at(1));
    }

    #[test]
    fn paths_read_like_the_api_servers() {
        assert_eq!(FieldPath(&rule(1, "name")).to_string(), "spec.rules[1].name");
        assert_eq!(FieldPath(&keys(&["metadata", "labels", "a.b/c"])).to_string(), "metadata.labels[a.b/c]");
    }
}
