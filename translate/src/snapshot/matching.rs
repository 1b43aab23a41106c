//! Conditions of HTTPRoute and GRPCRoute on a request. The only matcher: traffic, `explain` and statuses use this one.
//! No allocation but for percent-decoding of query values and for headers that occur more than once.

use http::{HeaderMap, HeaderName, Method};
use regex::Regex;
use std::{borrow::Cow, fmt, sync::Arc};

/// What of a request is matched. The path is normalised already, the host lower-case and without its port.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// Host, lower-case, without port.
    pub host: &'a str,
    /// Normalised path, without query.
    pub path: &'a str,
    /// Query without `?`.
    pub query: Option<&'a str>,
    /// Method.
    pub method: &'a Method,
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// Conditions that must all hold.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// On the path.
    pub path: PathMatch,
    /// On the method.
    pub method: Option<Method>,
    /// On headers, each name once.
    pub headers: Box<[HeaderMatch]>,
    /// On query parameters, each name once.
    pub query: Box<[QueryMatch]>,
}

/// A condition on the path.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(Arc<str>),
    /// Path elements from the start; without the slash at the end, so that `/` is empty.
    Prefix(Arc<str>),
    /// The whole path, by regular expression.
    Regex(Regex),
}

/// A condition on a header; a header that occurs more than once is compared joined by `, ` (RFC 9110, 5.3).
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// The header.
    pub name: HeaderName,
    /// Its value.
    pub value: ValueMatch,
}

/// A condition on a query parameter; of several with one name the first counts, percent-decoded.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// The parameter, case-sensitive.
    pub name: Arc<str>,
    /// Its value.
    pub value: ValueMatch,
}

/// A condition on a value.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Equal.
    Exact(Arc<str>),
    /// The whole value, by regular expression.
    Regex(Regex),
}

/// The first condition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch<'a> {
    /// The path.
    Path(String),
    /// The method.
    Method(&'a Method),
    /// A header.
    Header(&'a HeaderName),
    /// A query parameter.
    Query(&'a str),
}

// === impl Matcher ===

impl Matcher {
    /// Whether all conditions hold; else the first that does not.
    pub fn check(&self, request: &RequestView<'_>) -> Result<(), Mismatch<'_>> {
        if !self.path.matches(request.path) {
            return Err(Mismatch::Path(self.path.to_string()));
        }
        self.check_beyond_path(request)
    }

    /// Whether the conditions beside the path hold; for a table that has found the path by its index.
    pub(super) fn check_beyond_path(&self, request: &RequestView<'_>) -> Result<(), Mismatch<'_>> {
        if let Some(method) = self.method.as_ref().filter(|method| *method != request.method) {
            return Err(Mismatch::Method(method));
        }
        if let Some(failed) = self.headers.iter().find(|header| !header.matches(request.headers)) {
            return Err(Mismatch::Header(&failed.name));
        }
        match self.query.iter().find(|parameter| !parameter.matches(request.query)) {
            Some(failed) => Err(Mismatch::Query(&failed.name)),
            None => Ok(()),
        }
    }
}

// === impl PathMatch ===

impl PathMatch {
    /// Whether a normalised path is meant.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *path,
            Self::Prefix(prefix) => match path.strip_prefix(&**prefix) {
                Some(rest) => rest.is_empty() || rest.starts_with('/'),
                None => false,
            },
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "= {path}"),
            Self::Prefix(prefix) if prefix.is_empty() => f.write_str("/*"),
            Self::Prefix(prefix) => write!(f, "{prefix}/*"),
            Self::Regex(regex) => write!(f, "~ {regex}"),
        }
    }
}

// === impl HeaderMatch, QueryMatch, ValueMatch ===

impl HeaderMatch {
    fn matches(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.name).iter();
        let Some(first) = values.next() else { return false };
        match values.next() {
            None => self.value.matches_bytes(first.as_bytes()),
            Some(second) => {
                let mut joined = [first.as_bytes(), second.as_bytes()].join(&b", "[..]);
                values.for_each(|value| {
                    joined.extend_from_slice(b", ");
                    joined.extend_from_slice(value.as_bytes());
                });
                self.value.matches_bytes(&joined)
            }
        }
    }
}

impl QueryMatch {
    fn matches(&self, query: Option<&str>) -> bool {
        let pairs = query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut values = pairs.filter(|(name, _)| *percent_decoded(name) == *self.name).map(|(_, value)| value);
        values.next().is_some_and(|value| self.value.matches_bytes(percent_decoded(value).as_bytes()))
    }
}

impl ValueMatch {
    fn matches_bytes(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == value,
            Self::Regex(regex) => std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value)),
        }
    }
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(f, "= {value}"),
            Self::Regex(regex) => write!(f, "~ {regex}"),
        }
    }
}

/// A part of a query as applications read it: `+` is a space, `%XX` a byte; anything malformed stays as it is.
pub fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|byte| (*byte as char).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path is not {path}"),
            Self::Method(method) => write!(f, "method is not {method}"),
            Self::Header(name) => write!(f, "header {name} does not match"),
            Self::Query(name) => write!(f, "query parameter {name} does not match"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_matches_whole_elements() {
        let prefix = PathMatch::Prefix("/foo".into());
        assert!(prefix.matches("/foo") && prefix.matches("/foo/") && prefix.matches("/foo/bar"));
        assert!(!prefix.matches("/foobar") && !prefix.matches("/") && !prefix.matches("/Foo"));
        assert!(PathMatch::Prefix("".into()).matches("/anything"));
    }

    #[test]
    fn the_first_of_repeated_query_parameters_counts_and_is_decoded() {
        let query = |name: &str, value: &str| QueryMatch { name: name.into(), value: ValueMatch::Exact(value.into()) };
        assert!(query("a", "1").matches(Some("a=1&a=2")));
        assert!(!query("a", "2").matches(Some("a=1&a=2")));
        assert!(query("a b", "c d/").matches(Some("x&a+b=c%20d%2F")));
        assert!(query("flag", "").matches(Some("flag")));
        assert!(query("a", "%zz").matches(Some("a=%zz")));
        assert!(!query("a", "1").matches(None));
    }

    #[test]
    fn repeated_headers_are_compared_joined() {
        let mut headers = HeaderMap::new();
        headers.append("x", "a".parse().unwrap());
        headers.append("x", "b".parse().unwrap());
        let header = |value: &str| HeaderMatch { name: "x".parse().unwrap(), value: ValueMatch::Exact(value.into()) };
        assert!(header("a, b").matches(&headers));
        assert!(!header("a").matches(&headers));
    }
}
