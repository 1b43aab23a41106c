//! Changes of headers that an auth service asks for. They never touch what frames a message or names its host.

use super::{
    Unusable,
    messages::{HeaderValueOption, append_action},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Changes that one answer may ask for, of all kinds together.
pub const CHANGES_MAX: usize = 128;

/// Changes of headers, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges(Vec<Change>);

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// Replaces what is there, or adds.
    Set(HeaderName, HeaderValue),
    /// Adds to what is there.
    Append(HeaderName, HeaderValue),
    /// Adds where nothing is there.
    AddIfAbsent(HeaderName, HeaderValue),
    /// Replaces where something is there.
    SetIfPresent(HeaderName, HeaderValue),
    /// Removes.
    Remove(HeaderName),
}

// === impl HeaderChanges ===

impl HeaderChanges {
    /// Reads what a message asks for.
    pub(super) fn from_options(options: &[HeaderValueOption]) -> Result<Self, Unusable> {
        let mut changes = Self::default();
        for option in options {
            changes.0.extend(Change::from_option(option)?);
        }
        Ok(changes)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets a header, unless it is one that nobody may change.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        if !is_ours(&name) {
            self.0.push(Change::Set(name, value));
        }
    }

    /// Removes a header, unless it is one that nobody may change.
    pub fn remove(&mut self, name: HeaderName) {
        if !is_ours(&name) {
            self.0.push(Change::Remove(name));
        }
    }

    /// Makes the changes.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (at, change) in self.0.iter().enumerate() {
            match change {
                Change::Set(name, value) if self.adds(at, name) => {
                    headers.append(name, value.clone());
                }
                Change::Set(name, value) => {
                    headers.insert(name, value.clone());
                }
                Change::Append(name, value) => {
                    headers.append(name, value.clone());
                }
                Change::AddIfAbsent(name, value) => {
                    headers.entry(name).or_insert_with(|| value.clone());
                }
                Change::SetIfPresent(name, value) => {
                    if headers.contains_key(name) {
                        headers.insert(name, value.clone());
                    }
                }
                Change::Remove(name) => {
                    headers.remove(name);
                }
            }
        }
    }

    /// Whether the setting at a position adds a value: one header that is set several times gets several values, and
    /// one cookie does not replace another (RFC 6265, 3).
    fn adds(&self, at: usize, name: &HeaderName) -> bool {
        let before = || self.0.iter().take(at).any(|earlier| matches!(earlier, Change::Set(other, _) if other == name));
        *name == header::SET_COOKIE || before()
    }
}

// === impl Change ===

impl Change {
    /// `None`: it asks for a change of what is ours.
    fn from_option(option: &HeaderValueOption) -> Result<Option<Self>, Unusable> {
        let header = option.header.as_ref().ok_or(Unusable::Header)?;
        let name = HeaderName::from_bytes(header.key.as_bytes()).map_err(|_| Unusable::Header)?;
        let value = if header.value.is_empty() { &header.raw_value[..] } else { header.value.as_bytes() };
        let value = HeaderValue::from_bytes(value).map_err(|_| Unusable::Header)?;
        if is_ours(&name) {
            return Ok(None);
        }
        // `append` is false by default in these messages, and goes before the newer field.
        let change = match (option.append.map(|append| append.value), option.append_action) {
            (Some(true), _) => Self::Append(name, value),
            (Some(false), _) | (None, append_action::UNSET | append_action::OVERWRITE_IF_EXISTS_OR_ADD) => {
                Self::Set(name, value)
            }
            (None, append_action::ADD_IF_ABSENT) => Self::AddIfAbsent(name, value),
            (None, append_action::OVERWRITE_IF_EXISTS) => Self::SetIfPresent(name, value),
            (None, _) => return Err(Unusable::Action),
        };
        Ok(Some(change))
    }
}

/// Whether a header is the proxy's own affair: it names the host, frames the message or concerns the connection.
pub fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 11] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::HOST,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    OURS.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::messages::{BoolValue, HeaderValue as Value};

    fn option(key: &str, value: &str, append: Option<bool>, append_action: i32) -> HeaderValueOption {
        let header = Value { key: key.into(), value: value.into(), raw_value: Vec::new() };
        HeaderValueOption { header: Some(header), append: append.map(|value| BoolValue { value }), append_action }
    }

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn applied(options: &[HeaderValueOption], before: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = map(before);
        HeaderChanges::from_options(options).unwrap().apply(&mut headers);
        headers
    }

    #[test]
    fn a_header_is_replaced_unless_it_is_to_be_appended() {
        let before = [("x-a", "old")];
        assert_eq!(applied(&[option("X-A", "new", None, 0)], &before), map(&[("x-a", "new")]));
        assert_eq!(applied(&[option("x-a", "new", Some(false), 1)], &before), map(&[("x-a", "new")]));
        assert_eq!(applied(&[option("x-a", "new", Some(true), 0)], &before), map(&[("x-a", "old"), ("x-a", "new")]));
        assert_eq!(applied(&[option("x-b", "new", Some(true), 0)], &[]), map(&[("x-b", "new")]));
    }

    #[test]
    fn the_newer_actions_are_known() {
        assert_eq!(applied(&[option("x-a", "new", None, 1)], &[("x-a", "old")]), map(&[("x-a", "old")]));
        assert_eq!(applied(&[option("x-a", "new", None, 1)], &[]), map(&[("x-a", "new")]));
        assert_eq!(applied(&[option("x-a", "new", None, 2)], &[("x-a", "old")]), map(&[("x-a", "new")]));
        assert_eq!(applied(&[option("x-a", "new", None, 3)], &[]), map(&[]));
        assert_eq!(HeaderChanges::from_options(&[option("x-a", "new", None, 9)]), Err(Unusable::Action));
    }

    #[test]
    fn several_values_and_cookies_stay_beside_each_other() {
        let values = [option("x-a", "1", None, 0), option("x-a", "2", None, 0)];
        assert_eq!(applied(&values, &[("x-a", "old")]), map(&[("x-a", "1"), ("x-a", "2")]));
        let cookie = [option("set-cookie", "b=2", None, 0)];
        assert_eq!(applied(&cookie, &[("set-cookie", "a=1")]), map(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]));
    }

    #[test]
    fn host_and_framing_are_not_a_services_affair() {
        for name in ["host", "content-length", "Transfer-Encoding", "connection"] {
            assert!(HeaderChanges::from_options(&[option(name, "1", None, 0)]).unwrap().is_empty(), "{name}");
        }
        let mut changes = HeaderChanges::default();
        changes.remove(header::HOST);
        changes.set(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert!(changes.is_empty());
    }

    #[test]
    fn malformed_headers_are_refused() {
        for (name, value) in [("", "x"), (":path", "/"), ("a b", "x"), ("x-a", "a\r\nb: c")] {
            let changes = HeaderChanges::from_options(&[option(name, value, None, 0)]);
            assert_eq!(changes, Err(Unusable::Header), "{name:?}");
        }
        let nothing = HeaderValueOption { header: None, append: None, append_action: 0 };
        assert_eq!(HeaderChanges::from_options(&[nothing]), Err(Unusable::Header));
    }

    #[test]
    fn raw_values_are_taken_as_they_are() {
        let header = Value { key: "x-a".into(), value: String::new(), raw_value: vec![b'a', 0xff] };
        let option = HeaderValueOption { header: Some(header), append: None, append_action: 0 };
        assert_eq!(applied(&[option], &[])["x-a"].as_bytes(), b"a\xff");
    }
}
