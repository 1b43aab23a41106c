//! A request as its backend would see it, which is how an auth service sees it. It borrows; the request stays as it is.

use bytes::Bytes;
use http::request;

/// A request as an auth service may see it.
pub struct Seen<'a> {
    /// Its head, with what a backend is told of the client.
    pub head: &'a request::Parts,
    /// The start of the body, as far as the route lets it be shown.
    pub body: Bytes,
    /// Bytes of the whole body, where that is known.
    pub size: Option<u64>,
}

impl<'a> Seen<'a> {
    /// A request with the start of its body.
    pub fn new(head: &'a request::Parts, body: Bytes, size: Option<u64>) -> Self {
        Self { head, body, size }
    }

    /// Path and query.
    pub fn target(&self) -> &'a str {
        self.head.uri.path_and_query().map_or("/", |target| target.as_str())
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;
    use crate::http::headers::Forwarded;
    use http::Request;

    /// The head of a request from a client at 192.0.2.7, as it comes to filters.
    pub fn head(builder: http::request::Builder) -> request::Parts {
        let mut head = builder.body(()).unwrap().into_parts().0;
        Forwarded::new([192, 0, 2, 7].into(), true, 8443, false).apply(&mut head.headers, head.version);
        head
    }

    /// A request with headers of many kinds.
    pub fn post() -> request::Parts {
        let request = Request::post("/a/b?c=d")
            .header("host", "shop.example")
            .header("authorization", "Bearer x")
            .header("content-length", "900")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .header("x-a", "1")
            .header("x-a", "2")
            .header("x-b", "3");
        head(request)
    }
}
