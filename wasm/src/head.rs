//! Message heads as the engine lends them to a filter: typed pseudo headers beside a header map.
//! The `host` header is the authority: the two are one thing to a filter.

use std::fmt;
use std::rc::Rc;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

/// The head of a request. The engine derives `host`, framing and hop-by-hop headers itself when it sends the request:
/// what a filter writes into those is not binding.
#[derive(Clone)]
pub struct RequestHead {
    /// `:method`.
    pub method: Method,
    /// `:scheme`.
    pub scheme: Scheme,
    /// `:path`, with the query.
    pub path: PathAndQuery,
    /// All other headers. `host` is `:authority`, which a filter finds under both names.
    pub headers: HeaderMap,
    /// Headers that are put among the others once a filter looks for one of them.
    pub latent: Option<Rc<dyn Latent>>,
}

/// Headers of a request that most filters never look for: they cost nothing until one does.
pub trait Latent {
    /// How many there are beside those of `head`.
    fn count(&self, head: &RequestHead) -> usize;

    /// Whether there may be one of this name, in whatever case.
    fn may_be(&self, name: &[u8]) -> bool;

    /// Puts them among the others.
    fn add(&self, head: &mut RequestHead);
}

/// Something of the caller's that has a head, which a filter works on while its phase runs.
pub trait Lend<H> {
    /// Swaps its head for `head`: an empty one when it is lent, and that one for its own, as the filter left it, when it
    /// is given back.
    fn swap(&mut self, head: &mut H);
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// `:status`.
    pub status: StatusCode,
    /// All other headers.
    pub headers: HeaderMap,
}

// === impl Lend ===

impl<H, T: Lend<H>> Lend<H> for &mut T {
    fn swap(&mut self, head: &mut H) {
        T::swap(self, head);
    }
}

impl Lend<Self> for RequestHead {
    fn swap(&mut self, head: &mut Self) {
        std::mem::swap(self, head);
    }
}

impl Lend<Self> for ResponseHead {
    fn swap(&mut self, head: &mut Self) {
        std::mem::swap(self, head);
    }
}

impl Lend<ResponseHead> for Response<()> {
    fn swap(&mut self, head: &mut ResponseHead) {
        std::mem::swap(self.status_mut(), &mut head.status);
        std::mem::swap(self.headers_mut(), &mut head.headers);
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// Takes the parts of `uri` apart; an authority that it names outranks the `host` header.
    pub fn new(method: Method, uri: Uri, mut headers: HeaderMap) -> Self {
        let parts = uri.into_parts();
        let named = parts.authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        if let Some(host) = named {
            headers.insert(header::HOST, host);
        }
        Self {
            method,
            scheme: parts.scheme.unwrap_or(Scheme::HTTP),
            path: parts.path_and_query.unwrap_or_else(root_path),
            headers,
            latent: None,
        }
    }

    /// Puts latent headers among the others if one may be of this name; without a name, in any case.
    pub(crate) fn settle(&mut self, name: Option<&[u8]>) {
        let concerned = |latent: &mut Rc<dyn Latent>| name.is_none_or(|name| latent.may_be(name));
        if let Some(latent) = self.latent.take_if(concerned) {
            latent.add(self);
        }
    }

    /// `:authority`, if there is one and it is text.
    pub fn authority(&self) -> Option<&str> {
        self.headers.get(header::HOST)?.to_str().ok()
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self { method: Method::GET, scheme: Scheme::HTTP, path: root_path(), headers: HeaderMap::new(), latent: None }
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, scheme, path, headers, latent } = self;
        f.debug_struct("RequestHead")
            .field("method", method)
            .field("scheme", scheme)
            .field("path", path)
            .field("headers", headers)
            .field("latent", &latent.is_some())
            .finish()
    }
}

// === impl ResponseHead ===

impl ResponseHead {
    /// A head of this status and these headers.
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers }
    }
}

pub(crate) fn root_path() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_header_becomes_the_authority() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("shop.example:8080"));
        let head = RequestHead::new(Method::GET, Uri::from_static("/cart?x=1"), headers);
        assert_eq!(head.authority(), Some("shop.example:8080"));
        assert_eq!(head.path.as_str(), "/cart?x=1");
    }

    #[test]
    fn the_uri_outranks_the_host_header() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("other"));
        let head = RequestHead::new(Method::GET, Uri::from_static("https://shop.example/"), headers);
        assert_eq!(head.authority(), Some("shop.example"));
        assert_eq!(head.scheme, Scheme::HTTPS);
    }
}
