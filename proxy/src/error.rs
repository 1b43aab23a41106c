//! Why a request failed: one kind, one HTTP status, one flag for logs. Data alone.

use http::StatusCode;
use std::{fmt, sync::Arc};

/// A request that cannot be served as it was routed.
#[derive(Clone, Debug)]
pub struct RequestError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Details for the log; never sent to clients.
    pub detail: Option<Arc<str>>,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request breaks the protocol.
    BadRequest,
    /// CONNECT, or TRACE with a body: not served.
    MethodNotAllowed,
    /// No listener or route matches.
    NotFound,
    /// The host belongs to another listener than the TLS session.
    Misdirected,
    /// A request head is over its limit of bytes.
    HeadersTooLarge,
    /// A request head has more fields than its limit.
    TooManyHeaders,
    /// A request target is over its limit.
    UriTooLong,
    /// A request body is over its limit.
    BodyTooLarge,
    /// A request body came too slowly.
    BodyTimeout,
    /// An upgrade that the backend or protocol cannot do.
    UpgradeRefused,
    /// A filter of the rule does not resolve.
    UnresolvedFilter,
    /// A filter could not run, and is not to be skipped.
    FilterFailed,
    /// A filter answers in the middle of the request's body.
    FilterAnswered,
    /// The backend that was chosen is invalid, or there is none.
    InvalidBackend,
    /// The backend has no endpoint.
    NoEndpoint,
    /// No connection to an endpoint could be made.
    UpstreamConnect,
    /// The connection to the endpoint broke before the response.
    UpstreamReset,
    /// The endpoint took back this one request, on a connection that goes on.
    UpstreamCancelled,
    /// The endpoint's answer breaks the protocol.
    UpstreamProtocol,
    /// One try took too long.
    UpstreamTimeout,
    /// The request as a whole took too long.
    RequestTimeout,
    /// The client went away.
    ClientClosed,
}

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorSource {
    /// The client.
    Client,
    /// The backend.
    Upstream,
    /// A filter.
    Filter,
    /// Configuration.
    Configuration,
}

impl RequestError {
    /// An error with details for the log.
    pub fn new(kind: ErrorKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: Some(detail.to_string().into()) }
    }
}

impl From<ErrorKind> for RequestError {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, detail: None }
    }
}

impl ErrorKind {
    /// The status that the client is sent.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::UpgradeRefused => StatusCode::BAD_REQUEST,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HeadersTooLarge | Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout | Self::ClientClosed => StatusCode::REQUEST_TIMEOUT,
            Self::UnresolvedFilter | Self::InvalidBackend => StatusCode::INTERNAL_SERVER_ERROR,
            Self::FilterAnswered => StatusCode::FORBIDDEN,
            Self::FilterFailed | Self::NoEndpoint | Self::UpstreamConnect => StatusCode::SERVICE_UNAVAILABLE,
            Self::UpstreamReset | Self::UpstreamCancelled | Self::UpstreamProtocol => StatusCode::BAD_GATEWAY,
            Self::UpstreamTimeout | Self::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The gRPC status that a gRPC client is sent (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
    pub fn grpc_status(self) -> u8 {
        match self {
            Self::NotFound | Self::MethodNotAllowed => 12,
            Self::UpstreamTimeout | Self::RequestTimeout | Self::BodyTimeout => 4,
            Self::ClientClosed | Self::UpstreamCancelled => 1,
            Self::FilterAnswered => 7,
            Self::BadRequest | Self::Misdirected | Self::UpgradeRefused => 13,
            Self::HeadersTooLarge | Self::TooManyHeaders | Self::UriTooLong | Self::BodyTooLarge => 8,
            Self::UnresolvedFilter
            | Self::FilterFailed
            | Self::InvalidBackend
            | Self::NoEndpoint
            | Self::UpstreamConnect
            | Self::UpstreamReset
            | Self::UpstreamProtocol => 14,
        }
    }

    /// A stable short name for logs and metrics (`error.type`).
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotFound => "no_route",
            Self::Misdirected => "misdirected",
            Self::HeadersTooLarge => "headers_too_large",
            Self::TooManyHeaders => "too_many_headers",
            Self::UriTooLong => "uri_too_long",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::UpgradeRefused => "upgrade_refused",
            Self::UnresolvedFilter => "unresolved_filter",
            Self::FilterFailed => "filter_failed",
            Self::FilterAnswered => "filter_denied",
            Self::InvalidBackend => "invalid_backend",
            Self::NoEndpoint => "no_endpoint",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamCancelled => "upstream_cancelled",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::ClientClosed => "client_closed",
        }
    }

    /// Who is to blame.
    pub fn source(self) -> ErrorSource {
        match self {
            Self::UnresolvedFilter | Self::InvalidBackend | Self::NotFound => ErrorSource::Configuration,
            Self::FilterFailed | Self::FilterAnswered => ErrorSource::Filter,
            Self::NoEndpoint
            | Self::UpstreamConnect
            | Self::UpstreamReset
            | Self::UpstreamCancelled
            | Self::UpstreamProtocol
            | Self::UpstreamTimeout
            | Self::RequestTimeout => ErrorSource::Upstream,
            _ => ErrorSource::Client,
        }
    }

    /// The client's hint, in the body of the answer: what it is and nothing about the inside.
    pub fn message(self) -> &'static str {
        match self {
            Self::BadRequest => "the request breaks the protocol",
            Self::MethodNotAllowed => "this method is not served",
            Self::NotFound => "no route matches",
            Self::Misdirected => "this host is not served over this connection",
            Self::HeadersTooLarge => "the request's headers are too large",
            Self::TooManyHeaders => "the request has too many headers",
            Self::UriTooLong => "the request's target is too long",
            Self::BodyTooLarge => "the request's body is too large",
            Self::BodyTimeout => "the request's body came too slowly",
            Self::UpgradeRefused => "this upgrade is not served",
            Self::UnresolvedFilter => "a filter of the route does not resolve",
            Self::FilterFailed => "a filter of the route cannot run",
            Self::FilterAnswered => "a filter of the route refused the request",
            Self::InvalidBackend => "the route has no valid backend",
            Self::NoEndpoint => "the backend has no endpoint",
            Self::UpstreamConnect => "the backend cannot be reached",
            Self::UpstreamReset => "the backend closed the connection",
            Self::UpstreamCancelled => "the backend cancelled the request",
            Self::UpstreamProtocol => "the backend's answer breaks the protocol",
            Self::UpstreamTimeout | Self::RequestTimeout => "the backend did not answer in time",
            Self::ClientClosed => "the client went away",
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.message())?;
        self.detail.iter().try_for_each(|detail| write!(f, ": {detail}"))
    }
}

impl std::error::Error for RequestError {}
