//! Header maps as a filter sees them: pseudo headers first, names in lower case, `host` an alias of `:authority`.
//! Works on the stream's own `HeaderMap`: never copies a map unless the guest asks for all its pairs.

use std::borrow::Cow;

use http::header::{COOKIE, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::encoding::{OwnedPair, Pair};
use crate::head::{RequestHead, ResponseHead};

/// A map to read.
pub(crate) enum MapRef<'a> {
    Request(&'a RequestHead),
    Response(&'a ResponseHead),
    /// Trailers.
    Plain(&'a HeaderMap),
}

/// A map to change.
pub(crate) enum MapMut<'a> {
    Request(&'a mut RequestHead),
    Response(&'a mut ResponseHead),
    /// Trailers.
    Plain(&'a mut HeaderMap),
}

/// Why a change was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapError {
    /// A name or value that HTTP does not allow, or a pseudo header that is not this map's.
    Invalid,
    /// The map holds as much as it may.
    Full,
}

/// Whether a new value joins or ends those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Add,
    Replace,
}

/// All pairs of a map, in the order in which Envoy shows them.
pub(crate) type Pairs<'a> = Vec<OwnedPair<'a>>;

// === impl MapRef ===

impl<'a> MapRef<'a> {
    /// Appends the value of `name` to `out`; false if there is none.
    ///
    /// Values of a repeated header are joined by `", "` (`"; "` for `cookie`), as RFC 9110 section 5.3 allows: a filter
    /// that checks a header sees all that the backend will see. (Envoy gives the first alone.) Bytes that are no UTF-8
    /// are shown as U+FFFD, because guests made with the Rust SDK end in a trap on them, which any client could cause.
    pub(crate) fn read(&self, name: &[u8], out: &mut Vec<u8>) -> bool {
        match name {
            [b':', ..] => self.pseudo(name).map(|value| out.extend_from_slice(value)).is_some(),
            _ => match self.alias(name) {
                Some(authority) => authority.map(|value| out.extend_from_slice(value.as_bytes())).is_some(),
                None => read_joined(self.headers(), name, out),
            },
        }
    }

    /// The number of pairs that [`MapRef::pairs`] would give.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Request(head) => {
                let mut hosts = head.headers.get_all(HOST).iter();
                let host = hosts.next();
                let hidden = usize::from(host.is_some()) + hosts.count();
                let shown = usize::from(host.is_some_and(|host| host.to_str().is_ok()));
                let latent = head.latent.as_ref().map_or(0, |latent| latent.count(head));
                head.headers.len() - hidden + 3 + shown + latent
            }
            Self::Response(head) => head.headers.len() + 1,
            Self::Plain(headers) => headers.len(),
        }
    }

    /// All pairs, pseudo headers first, repeated headers each on their own.
    pub(crate) fn pairs(&self) -> Pairs<'a> {
        let mut pairs: Pairs<'a> = Vec::with_capacity(self.len());
        let mut push = |name: &'static str, value: &'a [u8]| pairs.push((name.as_bytes().into(), value.into()));
        match self {
            Self::Request(head) => {
                if let Some(authority) = head.authority() {
                    push(":authority", authority.as_bytes());
                }
                push(":path", head.path.as_str().as_bytes());
                push(":method", head.method.as_str().as_bytes());
                push(":scheme", head.scheme.as_str().as_bytes());
            }
            Self::Response(head) => push(":status", status_text(&head.status)),
            Self::Plain(_) => {}
        }
        let hide_host = matches!(self, Self::Request(_));
        for (name, value) in self.headers() {
            if !(hide_host && name == HOST) {
                pairs.push((name.as_str().as_bytes().into(), text(value.as_bytes())));
            }
        }
        pairs
    }

    fn headers(&self) -> &'a HeaderMap {
        match self {
            Self::Request(head) => &head.headers,
            Self::Response(head) => &head.headers,
            Self::Plain(headers) => headers,
        }
    }

    fn pseudo(&self, name: &[u8]) -> Option<&'a [u8]> {
        match (self, name) {
            (Self::Request(head), b":path") => Some(head.path.as_str().as_bytes()),
            (Self::Request(head), b":method") => Some(head.method.as_str().as_bytes()),
            (Self::Request(head), b":scheme") => Some(head.scheme.as_str().as_bytes()),
            (Self::Request(head), b":authority") => head.authority().map(str::as_bytes),
            (Self::Response(head), b":status") => Some(status_text(&head.status)),
            _ => None,
        }
    }

    /// The authority, where `name` is its alias.
    fn alias(&self, name: &[u8]) -> Option<Option<&'a str>> {
        match self {
            Self::Request(head) if name.eq_ignore_ascii_case(b"host") => Some(head.authority()),
            _ => None,
        }
    }
}

// === impl MapMut ===

impl MapMut<'_> {
    /// Writes one header; pseudo headers are always replaced.
    pub(crate) fn write(&mut self, how: Write, name: &[u8], value: &[u8], most: usize) -> Result<(), MapError> {
        if name.first() == Some(&b':') || (self.is_request() && name.eq_ignore_ascii_case(b"host")) {
            return self.write_pseudo(name, value);
        }
        let name = HeaderName::from_bytes(name).map_err(|_| MapError::Invalid)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| MapError::Invalid)?;
        let headers = self.headers();
        if headers.len() >= most && !(how == Write::Replace && headers.contains_key(&name)) {
            return Err(MapError::Full);
        }
        match how {
            Write::Add => headers.try_append(name, value).map(drop),
            Write::Replace => headers.try_insert(name, value).map(drop),
        }
        .map_err(|_| MapError::Full)
    }

    /// Removes all values of `name`. Pseudo headers cannot be removed.
    pub(crate) fn remove(&mut self, name: &[u8]) -> Result<(), MapError> {
        if name.first() == Some(&b':') || (self.is_request() && name.eq_ignore_ascii_case(b"host")) {
            return Err(MapError::Invalid);
        }
        // A name that HTTP does not allow is not in the map.
        if let Ok(name) = HeaderName::from_bytes(name) {
            self.headers().remove(name);
        }
        Ok(())
    }

    /// Replaces all headers. A pseudo header that is not among `pairs` keeps its value. All or nothing.
    pub(crate) fn set_pairs(&mut self, pairs: &[Pair<'_>], most: usize) -> Result<(), MapError> {
        match self {
            Self::Request(head) => {
                let mut headers = HeaderMap::with_capacity(pairs.len());
                headers.extend(head.headers.get(HOST).map(|host| (HOST, host.clone())));
                let (method, scheme, path) = (head.method.clone(), head.scheme.clone(), head.path.clone());
                let fresh = RequestHead { method, scheme, path, headers, latent: None };
                **head = filled(fresh, |head| MapMut::Request(head), pairs, most)?;
            }
            Self::Response(head) => {
                let fresh = ResponseHead::new(head.status, HeaderMap::with_capacity(pairs.len()));
                **head = filled(fresh, |head| MapMut::Response(head), pairs, most)?;
            }
            Self::Plain(headers) => **headers = filled(HeaderMap::new(), |map| MapMut::Plain(map), pairs, most)?,
        }
        Ok(())
    }

    fn is_request(&self) -> bool {
        matches!(self, Self::Request(_))
    }

    fn headers(&mut self) -> &mut HeaderMap {
        match self {
            Self::Request(head) => &mut head.headers,
            Self::Response(head) => &mut head.headers,
            Self::Plain(headers) => headers,
        }
    }

    fn write_pseudo(&mut self, name: &[u8], value: &[u8]) -> Result<(), MapError> {
        match self {
            Self::Request(head) => write_request_pseudo(head, name, value),
            Self::Response(head) if name == b":status" => {
                StatusCode::from_bytes(value).map(|status| head.status = status).map_err(|_| MapError::Invalid)
            }
            Self::Response(_) | Self::Plain(_) => Err(MapError::Invalid),
        }
    }
}

fn write_request_pseudo(head: &mut RequestHead, name: &[u8], value: &[u8]) -> Result<(), MapError> {
    match name {
        b":path" if value.first() == Some(&b'/') || value == b"*" => {
            PathAndQuery::try_from(value).map(|path| head.path = path).map_err(|_| MapError::Invalid)
        }
        b":method" => Method::from_bytes(value).map(|method| head.method = method).map_err(|_| MapError::Invalid),
        b":scheme" => Scheme::try_from(value).map(|scheme| head.scheme = scheme).map_err(|_| MapError::Invalid),
        _ if name == b":authority" || name.eq_ignore_ascii_case(b"host") => {
            Authority::try_from(value).map_err(|_| MapError::Invalid)?;
            let host = HeaderValue::from_bytes(value).map_err(|_| MapError::Invalid)?;
            head.headers.insert(HOST, host);
            Ok(())
        }
        _ => Err(MapError::Invalid),
    }
}

fn filled<M>(
    mut map: M,
    view: impl for<'m> Fn(&'m mut M) -> MapMut<'m>,
    pairs: &[Pair<'_>],
    most: usize,
) -> Result<M, MapError> {
    for (name, value) in pairs {
        view(&mut map).write(Write::Add, name, value, most)?;
    }
    Ok(map)
}

fn read_joined(headers: &HeaderMap, name: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return false };
    out.extend_from_slice(&text(first.as_bytes()));
    let separator: &[u8] = if name.eq_ignore_ascii_case(COOKIE.as_str()) { b"; " } else { b", " };
    for value in values {
        out.extend_from_slice(separator);
        out.extend_from_slice(&text(value.as_bytes()));
    }
    true
}

/// The bytes if they are UTF-8, else with U+FFFD for what is not.
fn text(bytes: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn status_text(status: &StatusCode) -> &[u8] {
    status.as_str().as_bytes()
}

#[cfg(test)]
#[path = "map_tests.rs"]
mod tests;
