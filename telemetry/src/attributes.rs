//! Attribute keys, values and label sets, shared by metrics and spans. Never holds a header's value.

use std::fmt;
use std::sync::Arc;

/// The name of an attribute, in OpenTelemetry's dotted form.
pub type Key = &'static str;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// A word of the program.
    Static(&'static str),
    /// A name of the configuration.
    Str(Arc<str>),
    /// A number, such as a status code or a port.
    Int(i64),
}

/// An immutable set of attributes, sorted by key, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(Key, Value)]>);

// === impl Value ===

impl Value {
    /// The value as text, where it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Static(text) => Some(text),
            Value::Str(text) => Some(text),
            Value::Int(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Static(text) => f.write_str(text),
            Value::Str(text) => f.write_str(text),
            Value::Int(number) => write!(f, "{number}"),
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Static(text)
    }
}

impl From<Arc<str>> for Value {
    fn from(text: Arc<str>) -> Self {
        Value::Str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Str(text.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Value::Int(i64::from(number))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Int(number)
    }
}

// === impl Labels ===

impl Labels {
    /// A set of the given attributes; of two with one key the last wins.
    pub fn new(pairs: impl IntoIterator<Item = (Key, Value)>) -> Self {
        let mut all: Vec<(Key, Value)> = Vec::new();
        for (key, value) in pairs {
            match all.iter_mut().find(|(known, _)| *known == key) {
                Some(pair) => pair.1 = value,
                None => all.push((key, value)),
            }
        }
        all.sort_unstable_by_key(|(key, _)| *key);
        Labels(all.into())
    }

    /// The set without attributes.
    #[must_use]
    pub fn none() -> Self {
        Labels(Arc::from([]))
    }

    /// This set and more attributes.
    #[must_use]
    pub fn with(&self, pairs: impl IntoIterator<Item = (Key, Value)>) -> Self {
        Labels::new(self.0.iter().cloned().chain(pairs))
    }

    /// The value of one attribute.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The attributes, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Key, &Value)> {
        self.0.iter().map(|(key, value)| (*key, value))
    }

    /// Only the attributes with one of these keys.
    #[must_use]
    pub fn only(&self, keys: &[&str]) -> Self {
        Labels(self.0.iter().filter(|(key, _)| keys.contains(key)).cloned().collect())
    }

    /// Whether there is no attribute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_equal_whatever_order_they_were_given_in() {
        let one = Labels::new([("b", 1_i64.into()), ("a", "x".into())]);
        let other = Labels::new([("a", Value::Static("x"))]).with([("b", 1_i64.into())]);
        assert_eq!(one, other);
        assert_eq!(one.only(&["a"]).iter().len(), 1);
    }

    #[test]
    fn the_last_of_two_values_wins() {
        let labels = Labels::new([("a", "x".into()), ("a", "y".into())]);
        assert_eq!(labels.get("a"), Some(&Value::Static("y")));
        assert_eq!(labels.iter().len(), 1);
    }
}
