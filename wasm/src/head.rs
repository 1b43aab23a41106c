//! Message heads as the engine lends them to a filter: typed pseudo headers beside a header map.
//! Never holds a `host` header apart from the authority: the two are one thing to a filter.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Method, StatusCode, Uri, header};

/// The head of a request. The engine derives `host`, framing and hop-by-hop headers itself when it sends the request:
/// what a filter writes into those is not binding.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// `:method`.
    pub method: Method,
    /// `:scheme`.
    pub scheme: Scheme,
    /// `:authority`; also what a filter finds under `host`.
    pub authority: Option<Authority>,
    /// `:path`, with the query.
    pub path: PathAndQuery,
    /// All other headers, without `host`.
    pub headers: HeaderMap,
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// `:status`.
    pub status: StatusCode,
    /// All other headers.
    pub headers: HeaderMap,
}

// === impl RequestHead ===

impl RequestHead {
    /// Takes the parts of `uri` apart; where it names no authority, a `host` header does, and is taken out.
    pub fn new(method: Method, uri: Uri, mut headers: HeaderMap) -> Self {
        let parts = uri.into_parts();
        let host = headers.remove(header::HOST);
        let authority = parts.authority.or_else(|| host.and_then(|host| Authority::try_from(host.as_bytes()).ok()));
        Self {
            method,
            scheme: parts.scheme.unwrap_or(Scheme::HTTP),
            authority,
            path: parts.path_and_query.unwrap_or_else(root_path),
            headers,
        }
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            scheme: Scheme::HTTP,
            authority: None,
            path: root_path(),
            headers: HeaderMap::new(),
        }
    }
}

// === impl ResponseHead ===

impl ResponseHead {
    /// A head of this status and these headers.
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers }
    }
}

fn root_path() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_host_header_becomes_the_authority() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("shop.example:8080"));
        let head = RequestHead::new(Method::GET, Uri::from_static("/cart?x=1"), headers);
        assert_eq!(head.authority.as_ref().map(Authority::as_str), Some("shop.example:8080"));
        assert_eq!(head.path.as_str(), "/cart?x=1");
        assert!(head.headers.is_empty());
    }

    #[test]
    fn the_uri_outranks_the_host_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("other"));
        let head = RequestHead::new(Method::GET, Uri::from_static("https://shop.example/"), headers);
        assert_eq!(head.authority.as_ref().map(Authority::as_str), Some("shop.example"));
        assert_eq!(head.scheme, Scheme::HTTPS);
    }
}
