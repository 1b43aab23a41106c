//! Headers that concern one connection, and those by which a proxy tells where a request came from.

use crate::h1::write_field;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header};
use std::net::IpAddr;

/// How the names of all fields begin that tell where a request came from.
const X_FORWARDED: &str = "x-forwarded-";
/// `X-Forwarded-For`.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `X-Forwarded-Proto`.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// `X-Forwarded-Host`.
pub const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// `X-Forwarded-Port`.
pub const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What requests of one connection are forwarded with.
#[derive(Clone, Debug)]
pub struct Forwarded {
    address: HeaderValue,
    scheme: HeaderValue,
    port: HeaderValue,
    /// The fields above as HTTP/1.1 writes them.
    lines: Box<[u8]>,
    /// Whether the peer is a proxy whose own statements are kept and extended.
    trusted: bool,
}

impl Forwarded {
    /// For a connection from `peer`.
    pub fn new(peer: IpAddr, tls: bool, port: u16, trusted: bool) -> Self {
        let text = |text: String| HeaderValue::try_from(text).expect("addresses and numbers are valid header values");
        let scheme = HeaderValue::from_static(if tls { "https" } else { "http" });
        let (address, port) = (text(peer.to_canonical().to_string()), text(port.to_string()));
        let mut lines = Vec::new();
        for (name, value) in [(X_FORWARDED_FOR, &address), (X_FORWARDED_PROTO, &scheme), (X_FORWARDED_PORT, &port)] {
            write_field(&mut lines, name.as_str(), value.as_bytes());
        }
        Self { address, scheme, port, lines: lines.into(), trusted }
    }

    /// What is told of a client that is not trusted, but for its host, as HTTP/1.1 writes it.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// RFC 9110, 7.6.3: a gateway MUST send Via in each request that it forwards.
    pub fn via(version: Version) -> &'static str {
        match version {
            Version::HTTP_2 => "2 portolan",
            Version::HTTP_3 => "3 portolan",
            Version::HTTP_10 => "1.0 portolan",
            _ => "1.1 portolan",
        }
    }

    /// Tells the backend about the client, whose request came in this version. What an untrusted client says of itself
    /// is replaced.
    pub fn apply(&self, headers: &mut HeaderMap, version: Version) {
        match headers.get(&X_FORWARDED_FOR).filter(|_| self.trusted) {
            Some(before) => {
                let joined = [before.as_bytes(), b", ", self.address.as_bytes()].concat();
                let joined = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined));
                headers.insert(X_FORWARDED_FOR, joined.unwrap_or_else(|_| self.address.clone()));
            }
            None => {
                headers.insert(X_FORWARDED_FOR, self.address.clone());
            }
        }
        if !self.trusted || !headers.contains_key(&X_FORWARDED_PROTO) {
            headers.insert(X_FORWARDED_PROTO, self.scheme.clone());
            headers.insert(X_FORWARDED_PORT, self.port.clone());
            if let Some(host) = headers.get(header::HOST).cloned() {
                headers.insert(X_FORWARDED_HOST, host);
            }
        }
        headers.append(header::VIA, HeaderValue::from_static(Self::via(version)));
    }

    /// How many fields [`Forwarded::apply`] adds to headers that tell nothing of the client yet.
    pub fn count(headers: &HeaderMap) -> usize {
        4 + usize::from(headers.contains_key(header::HOST))
    }

    /// Whether it may add a field of this name, in whatever case.
    pub fn may_be(name: &[u8]) -> bool {
        let start = name.get(..X_FORWARDED.len());
        name.eq_ignore_ascii_case(b"via")
            || start.is_some_and(|start| start.eq_ignore_ascii_case(X_FORWARDED.as_bytes()))
    }

    /// Whether what the peer says of its clients is kept.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }
}

/// What a first look at a request's headers finds, so that nobody looks again for what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    hop_by_hop: bool,
    forwarded: bool,
    cookie: bool,
    expect: bool,
    /// Whether the client takes trailers.
    pub trailers: bool,
}

impl Survey {
    /// Looks at each name once.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            let text = name.as_str();
            found.hop_by_hop |= is_hop_by_hop(name);
            // By length first: most headers are told apart without a comparison.
            match text.len() {
                6 => {
                    found.cookie |= *name == header::COOKIE;
                    found.expect |= *name == header::EXPECT;
                }
                9.. => found.forwarded |= is_forwarded(text),
                _ => {}
            }
        }
        let takes = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"trailers");
        found.trailers = found.hop_by_hop && headers.get(header::TE).is_some_and(takes);
        found
    }

    /// Takes out what concerns the client's connection, and what nobody may say of it whom we do not trust.
    pub fn clean(self, headers: &mut HeaderMap, trusted: bool) {
        if self.hop_by_hop {
            remove_hop_by_hop(headers);
        }
        if self.cookie {
            join_cookies(headers);
        }
        if self.expect {
            // The server of the connection answers it.
            headers.remove(header::EXPECT);
        }
        if self.forwarded && !trusted {
            remove_forwarded(headers);
        }
    }
}

/// Takes out what concerns the connection alone (RFC 9110, 7.6.1): Connection, what it names, and the fields that are
/// known to.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let found = headers.keys().any(is_hop_by_hop);
    if found && headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    if found {
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
];

/// By length first: most headers are told apart without a comparison.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    match name.as_str().len() {
        2 => *name == header::TE,
        7 => *name == header::UPGRADE,
        10 => *name == header::CONNECTION || name == "keep-alive",
        14 => name == "http2-settings",
        16 => name == "proxy-connection",
        17 => *name == header::TRANSFER_ENCODING,
        18 => *name == header::PROXY_AUTHENTICATE,
        19 => *name == header::PROXY_AUTHORIZATION,
        _ => false,
    }
}

/// Takes out of trailers what frames, routes or authorizes a message, or speaks of the client (RFC 9110, 6.5.1): whoever
/// merges trailers into headers must not be fooled by it.
pub fn sanitise_trailers(trailers: &mut HeaderMap) {
    let forbidden = |name: &HeaderName| {
        let text = name.as_str();
        is_hop_by_hop(name) || NEVER_IN_TRAILERS.contains(name) || is_forwarded(text) || text.starts_with("if-")
    };
    let names: Vec<HeaderName> = trailers.keys().filter(|name| forbidden(name)).cloned().collect();
    for name in names {
        trailers.remove(name);
    }
}

const NEVER_IN_TRAILERS: [HeaderName; 14] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
    header::HOST,
    header::TRAILER,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::EXPECT,
    header::MAX_FORWARDS,
    header::RANGE,
    header::CACHE_CONTROL,
    header::LOCATION,
];

/// HTTP/2 and HTTP/3 clients may send cookies in pieces; for HTTP/1.1 they are one field again (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut values = headers.get_all(header::COOKIE).iter();
    if values.next().is_none() || values.next().is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Takes out what an untrusted client says of where it comes from.
fn remove_forwarded(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_forwarded(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_forwarded(name: &str) -> bool {
    name == "forwarded" || name.starts_with(X_FORWARDED)
}

/// Whether the request wants to leave HTTP: the value of Upgrade, where Connection names it.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(header::UPGRADE)?;
    let names_upgrade = |value: &HeaderValue| {
        value.as_bytes().split(|byte| *byte == b',').any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    };
    headers.get_all(header::CONNECTION).iter().any(names_upgrade).then(|| value.clone())
}

/// The length that a message announces; `None` also where it is no number.
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Makes the head of an answer over HTTP/2 or HTTP/3 complete: nothing about the connection, a length where it is known,
/// and a date.
pub fn complete<B>(response: &mut Response<B>, method: &Method, length: Option<u64>) {
    let has_body = response.status() != StatusCode::NOT_MODIFIED && *method != Method::HEAD;
    let headers = response.headers_mut();
    let (mut hop_by_hop, mut dated, mut measured) = (false, false, false);
    for name in headers.keys() {
        hop_by_hop |= is_hop_by_hop(name);
        match name.as_str().len() {
            4 => dated |= *name == header::DATE,
            14 => measured |= *name == header::CONTENT_LENGTH,
            _ => {}
        }
    }
    if hop_by_hop {
        remove_hop_by_hop(headers);
    }
    if let Some(length) = length.filter(|length| has_body && !measured && *length > 0) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if !dated {
        headers.insert(header::DATE, crate::clock::date());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn forwarded(by: Forwarded, mut headers: HeaderMap) -> HeaderMap {
        by.apply(&mut headers, Version::HTTP_11);
        headers
    }

    #[test]
    fn what_connection_names_does_not_cross() {
        let mut headers =
            map(&[("connection", "close, X-Secret"), ("x-secret", "1"), ("te", "trailers"), ("x-b", "2")]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-b", "2")]));
    }

    #[test]
    fn an_untrusted_client_does_not_choose_its_address() {
        let mut headers =
            map(&[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4"), ("x-forwarded-prefix", "/a")]);
        remove_forwarded(&mut headers);
        assert!(headers.is_empty());
        let headers = forwarded(Forwarded::new([127, 0, 0, 1].into(), false, 80, false), headers);
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["via"], "1.1 portolan");
    }

    #[test]
    fn a_trusted_proxy_is_extended() {
        let headers = map(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]);
        let headers = forwarded(Forwarded::new([10, 0, 0, 1].into(), false, 80, true), headers);
        assert_eq!(
            (&headers["x-forwarded-for"], &headers["x-forwarded-proto"]),
            (&"1.2.3.4, 10.0.0.1".parse().unwrap(), &"https".parse().unwrap())
        );
    }

    #[test]
    fn trailers_cannot_frame_route_or_authorize() {
        let mut trailers = map(&[
            ("host", "evil"),
            ("content-length", "7"),
            ("x-forwarded-for", "6.6.6.6"),
            ("authorization", "x"),
            ("connection", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("grpc-status", "0"),
            ("x-sum", "1"),
        ]);
        sanitise_trailers(&mut trailers);
        assert_eq!(trailers, map(&[("grpc-status", "0"), ("x-sum", "1")]));
    }

    #[test]
    fn cookies_in_pieces_become_one() {
        let mut headers = map(&[("cookie", "a=1")]);
        headers.append("cookie", HeaderValue::from_static("b=2"));
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2")]));
    }

    #[test]
    fn an_answer_says_nothing_about_the_connection_and_when_it_was_made() {
        let mut response = Response::builder().header("connection", "close").header("x", "y").body(()).unwrap();
        complete(&mut response, &Method::GET, Some(5));
        assert_eq!(response.headers()["content-length"], "5");
        assert!(response.headers().contains_key("date") && response.headers().contains_key("x"));
        assert!(!response.headers().contains_key("connection"));
        let mut response = Response::new(());
        complete(&mut response, &Method::HEAD, Some(5));
        assert!(!response.headers().contains_key("content-length"));
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        assert!(upgrade(&map(&[("upgrade", "websocket"), ("connection", "keep-alive, Upgrade")])).is_some());
        assert!(upgrade(&map(&[("upgrade", "websocket")])).is_none());
    }
}
