//! Host names, and maps from host names in which the most specific entry wins. Pure lookup, no allocation.

use hashbrown::HashMap;
use std::{fmt, sync::Arc};

/// A host name of a listener or route: exact, or a wildcard for one or more labels (`*.example.com`). Lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hostname {
    /// This name alone.
    Exact(Arc<str>),
    /// Any name below; holds the suffix without `*.`.
    Wildcard(Arc<str>),
}

impl Hostname {
    /// Reads a host name as the API writes it.
    pub fn new(text: &str) -> Self {
        let lower = text.trim_end_matches('.').to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(suffix) => Self::Wildcard(suffix.into()),
            None => Self::Exact(lower.into()),
        }
    }

    /// Whether requests for `host` (lower case, without port) are meant.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => {
                host.len() > suffix.len() + 1
                    && host.ends_with(&**suffix)
                    && host.as_bytes()[host.len() - suffix.len() - 1] == b'.'
            }
        }
    }

    /// Whether some host name is meant by both.
    pub fn intersects(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(name), _) => other.matches(name),
            (_, Self::Exact(name)) => self.matches(name),
            (Self::Wildcard(a), Self::Wildcard(b)) => a == b || self.matches(b) || other.matches(a),
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl serde::Serialize for Hostname {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Values by host name: exact names before wildcards, longer wildcards before shorter ones, then the value for any.
#[derive(Clone, Debug)]
pub struct HostMap<T> {
    exact: HashMap<Arc<str>, T>,
    wildcard: HashMap<Arc<str>, T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), any: None }
    }
}

impl<T> HostMap<T> {
    /// The value of a host name (`None`: any host), made if absent.
    pub fn get_or_default(&mut self, hostname: Option<&Hostname>) -> &mut T
    where
        T: Default,
    {
        match hostname {
            None => self.any.get_or_insert_default(),
            Some(Hostname::Exact(name)) => self.exact.entry(name.clone()).or_default(),
            Some(Hostname::Wildcard(suffix)) => self.wildcard.entry(suffix.clone()).or_default(),
        }
    }

    /// Sets the value of a host name (`None`: any host); gives back the one that was there.
    pub fn insert(&mut self, hostname: Option<&Hostname>, value: T) -> Option<T> {
        match hostname {
            None => self.any.replace(value),
            Some(Hostname::Exact(name)) => self.exact.insert(name.clone(), value),
            Some(Hostname::Wildcard(suffix)) => self.wildcard.insert(suffix.clone(), value),
        }
    }

    /// The most specific value for a host (lower case, without port).
    pub fn get(&self, host: &str) -> Option<&T> {
        self.matching(host).next()
    }

    /// All values for a host, the most specific first.
    pub fn matching<'s, 'h>(&'s self, host: &'h str) -> impl Iterator<Item = &'s T> + use<'s, 'h, T> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        let first = (!self.wildcard.is_empty() && !host.starts_with('.')).then_some(host);
        let parents = std::iter::successors(first.and_then(parent), |host| parent(host));
        exact.into_iter().chain(parents.filter_map(|suffix| self.wildcard.get(suffix))).chain(&self.any)
    }

    /// The value of this very name (`None`: any host).
    pub(crate) fn get_exactly(&self, hostname: Option<&Hostname>) -> Option<&T> {
        match hostname {
            None => self.any.as_ref(),
            Some(Hostname::Exact(name)) => self.exact.get(name),
            Some(Hostname::Wildcard(suffix)) => self.wildcard.get(suffix),
        }
    }

    /// Whether the names are the same, and the values by `equal`.
    pub(crate) fn same(&self, other: &Self, equal: impl Fn(&T, &T) -> bool) -> bool {
        let maps = |a: &HashMap<Arc<str>, T>, b: &HashMap<Arc<str>, T>| {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| equal(value, other)))
        };
        let any = match (&self.any, &other.any) {
            (Some(a), Some(b)) => equal(a, b),
            (None, None) => true,
            _ => false,
        };
        any && maps(&self.exact, &other.exact) && maps(&self.wildcard, &other.wildcard)
    }

    /// All entries: exact names, wildcards, any; each group in the order of its names.
    pub fn iter(&self) -> impl Iterator<Item = (Option<Hostname>, &T)> {
        let mut exact: Vec<_> = self.exact.iter().collect();
        let mut wildcard: Vec<_> = self.wildcard.iter().collect();
        exact.sort_by_key(|(name, _)| (*name).clone());
        wildcard.sort_by_key(|(name, _)| (*name).clone());
        let exact = exact.into_iter().map(|(name, value)| (Some(Hostname::Exact(name.clone())), value));
        let wildcard = wildcard.into_iter().map(|(name, value)| (Some(Hostname::Wildcard(name.clone())), value));
        exact.chain(wildcard).chain(self.any.iter().map(|value| (None, value)))
    }

    /// The same names with other values.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> HostMap<U> {
        HostMap {
            exact: self.exact.into_iter().map(|(name, value)| (name, change(value))).collect(),
            wildcard: self.wildcard.into_iter().map(|(name, value)| (name, change(value))).collect(),
            any: self.any.map(change),
        }
    }
}

/// The name without its first label.
fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(names: &[&str]) -> HostMap<String> {
        let mut map = HostMap::default();
        for name in names {
            let hostname = (*name != "any").then(|| Hostname::new(name));
            map.insert(hostname.as_ref(), (*name).to_owned());
        }
        map
    }

    #[test]
    fn exact_beats_longer_wildcard_beats_shorter_beats_any() {
        let map = map(&["a.b.example.com", "*.b.example.com", "*.example.com", "any"]);
        let found: Vec<_> = map.matching("a.b.example.com").collect();
        assert_eq!(found, ["a.b.example.com", "*.b.example.com", "*.example.com", "any"]);
        assert_eq!(map.get("x.example.com").unwrap(), "*.example.com");
        assert_eq!(map.get("example.com").unwrap(), "any");
    }

    #[test]
    fn a_wildcard_does_not_match_its_own_suffix() {
        let wildcard = Hostname::new("*.Example.com");
        assert!(wildcard.matches("a.example.com") && wildcard.matches("a.b.example.com"));
        assert!(
            !wildcard.matches("example.com") && !wildcard.matches("xexample.com") && !wildcard.matches(".example.com")
        );
    }

    #[test]
    fn intersection_is_symmetric() {
        let cases = [
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "*.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.com", "*.example.com", true),
            ("a.com", "b.com", false),
            ("*.a.com", "*.b.com", false),
        ];
        for (a, b, expected) in cases {
            let (a, b) = (Hostname::new(a), Hostname::new(b));
            assert_eq!(a.intersects(&b), expected, "{a} {b}");
            assert_eq!(b.intersects(&a), expected, "{b} {a}");
        }
    }
}
