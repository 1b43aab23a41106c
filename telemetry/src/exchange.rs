//! The bounded vocabulary of HTTP that labels may use. A client cannot add a word to it.

use http::{Method, Version};

/// A request's method; every method unknown to the semantic conventions is `_OTHER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the methods")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other,
}

/// The version of HTTP that an exchange spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are the versions")]
pub enum HttpVersion {
    Http10,
    Http11,
    Http2,
    Http3,
}

/// `url.scheme` of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the schemes")]
pub enum Scheme {
    Http,
    Https,
}

impl HttpMethod {
    /// The value of `http.request.method`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HttpMethod::Get => "GET",
            HttpMethod::Head => "HEAD",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
            HttpMethod::Delete => "DELETE",
            HttpMethod::Connect => "CONNECT",
            HttpMethod::Options => "OPTIONS",
            HttpMethod::Trace => "TRACE",
            HttpMethod::Patch => "PATCH",
            HttpMethod::Other => "_OTHER",
        }
    }

    /// The word that names a span: the method, or `HTTP` for an unknown one.
    #[must_use]
    pub fn span_word(self) -> &'static str {
        match self {
            HttpMethod::Other => "HTTP",
            known => known.as_str(),
        }
    }
}

impl From<&Method> for HttpMethod {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => HttpMethod::Get,
            Method::HEAD => HttpMethod::Head,
            Method::POST => HttpMethod::Post,
            Method::PUT => HttpMethod::Put,
            Method::DELETE => HttpMethod::Delete,
            Method::CONNECT => HttpMethod::Connect,
            Method::OPTIONS => HttpMethod::Options,
            Method::TRACE => HttpMethod::Trace,
            Method::PATCH => HttpMethod::Patch,
            _ => HttpMethod::Other,
        }
    }
}

impl HttpVersion {
    /// The value of `network.protocol.version`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HttpVersion::Http10 => "1.0",
            HttpVersion::Http11 => "1.1",
            HttpVersion::Http2 => "2",
            HttpVersion::Http3 => "3",
        }
    }

    /// The name that the access log uses.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self {
            HttpVersion::Http10 => "HTTP/1.0",
            HttpVersion::Http11 => "HTTP/1.1",
            HttpVersion::Http2 => "HTTP/2",
            HttpVersion::Http3 => "HTTP/3",
        }
    }
}

impl From<Version> for HttpVersion {
    fn from(version: Version) -> Self {
        match version {
            Version::HTTP_2 => HttpVersion::Http2,
            Version::HTTP_3 => HttpVersion::Http3,
            Version::HTTP_11 => HttpVersion::Http11,
            _ => HttpVersion::Http10,
        }
    }
}

impl Scheme {
    /// The value of `url.scheme`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}
