//! Changes of the query that an auth service asks for. Parameters that it does not name stay byte for byte as they are.

use http::{request, uri::PathAndQuery};

/// Changes of the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryChanges {
    /// Parameters that get this one value.
    pub set: Vec<(String, String)>,
    /// Parameters that are removed.
    pub remove: Vec<String>,
}

impl QueryChanges {
    /// Makes the changes; `None`: the target that would result is malformed.
    pub fn apply(&self, head: &mut request::Parts) -> Option<()> {
        if self.set.is_empty() && self.remove.is_empty() {
            return Some(());
        }
        let query = self.changed(head.uri.query().unwrap_or_default());
        let path = head.uri.path();
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
        head.uri = http::Uri::from_parts(parts).ok()?;
        Some(())
    }

    fn changed(&self, query: &str) -> String {
        let named = |name: &[u8]| {
            let set = self.set.iter().map(|(name, _)| name);
            set.chain(&self.remove).any(|other| other.as_bytes() == name)
        };
        let kept = query.split('&').filter(|pair| {
            // Whoever hides a parameter behind an escape means the same parameter.
            let name = pair.split_once('=').map_or(*pair, |(name, _)| name);
            !pair.is_empty() && !named(&unescaped(name))
        });
        let mut pairs: Vec<String> = kept.map(ToOwned::to_owned).collect();
        let set = self.set.iter().filter(|(name, _)| !self.remove.contains(name));
        pairs.extend(set.map(|(name, value)| format!("{}={}", escaped(name, b"=&+"), escaped(value, b"&"))));
        pairs.join("&")
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escape = (*byte == b'%').then(|| digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2)))).flatten();
        match escape {
            Some((high, low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    out
}

/// Escapes what would end the parameter or the target. Escapes that are there stay: services write values as they stand
/// in a query.
fn escaped(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"#\"<>".contains(&byte) && !also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn applied(target: &str, set: &[(&str, &str)], remove: &[&str]) -> String {
        let set = set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let changes = QueryChanges { set, remove: remove.iter().map(|name| (*name).into()).collect() };
        let (mut head, ()) = Request::get(target).body(()).unwrap().into_parts();
        changes.apply(&mut head).unwrap();
        head.uri.to_string()
    }

    #[test]
    fn parameters_are_replaced_removed_and_kept() {
        assert_eq!(applied("/p?a=1&b=%20&a=2", &[("a", "3")], &[]), "/p?b=%20&a=3");
        assert_eq!(applied("/p?a=1&b", &[], &["b"]), "/p?a=1");
        assert_eq!(applied("/p?a=1", &[], &["a"]), "/p");
        assert_eq!(applied("/p", &[("a", "1")], &[]), "/p?a=1");
        assert_eq!(applied("/p?&&a", &[], &[]), "/p?&&a");
    }

    #[test]
    fn an_escape_does_not_hide_a_parameter() {
        assert_eq!(applied("/p?tok%65n=secret&t=1", &[], &["token"]), "/p?t=1");
        assert_eq!(applied("/p?a+b=1&a%20b=2", &[], &["a b"]), "/p");
    }

    #[test]
    fn a_value_does_not_become_another_parameter() {
        assert_eq!(applied("/p", &[("a", "1&admin=1#x y%20z")], &[]), "/p?a=1%26admin=1%23x%20y%20z");
        assert_eq!(applied("/p", &[("a=b", "ü")], &[]), "/p?a%3Db=%C3%BC");
    }

    proptest! {
        #[test]
        fn a_parameter_that_was_removed_is_gone(query in "[a-c=&%+0-9]{0,30}", name in "[a-c]{1,2}", value in ".{0,9}") {
            let target = format!("/p?{query}");
            prop_assume!(target.parse::<http::Uri>().is_ok());
            let removed = applied(&target, &[("other", &value)], &[&name]);
            let query = removed.split_once('?').map_or("", |(_, query)| query);
            prop_assert!(query.split('&').all(|pair| unescaped(pair.split('=').next().unwrap()) != name.as_bytes()));
        }
    }
}
