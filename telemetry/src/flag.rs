//! Who ended a request, and why: the access log's `flag` and the metrics' `error.type`. Names are stable.

use std::fmt;
use std::sync::Arc;

/// The cause that ended a request, without the name of what was involved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FlagKind {
    /// The upstream's answer (or a filter's wish to answer) reached the client in full.
    Ok,
    /// The route answers with a redirect.
    Redirect,
    /// The proxy answered a CORS preflight.
    CorsPreflight,
    /// The client's request was not valid HTTP, or not acceptable.
    BadRequest,
    /// The client went away before the exchange was complete.
    ClientClosed,
    /// No route matched.
    NoRoute,
    /// The rule names no backend, or all its weights are zero.
    NoBackend,
    /// The backend reference does not resolve.
    InvalidBackend,
    /// The backend has no endpoint that may be used.
    NoEndpoint,
    /// No connection to an endpoint could be made.
    UpstreamConnect,
    /// TLS with an endpoint failed, its certificate's validation included.
    UpstreamTls,
    /// The endpoint closed or reset before its answer was complete.
    UpstreamReset,
    /// The endpoint's answer was not valid HTTP.
    UpstreamProtocol,
    /// One try ran into the rule's backend request timeout.
    UpstreamTimeout,
    /// The request as a whole ran into its deadline.
    RequestTimeout,
    /// A filter answered in the backend's place.
    FilterDenied,
    /// A filter trapped, was late or broke a limit, and its failure mode is closed.
    FilterFailed,
    /// A filter reference does not resolve.
    FilterUnresolved,
    /// A named limit was reached.
    Limit,
    /// The proxy is shutting down.
    Shutdown,
    /// A fault of the proxy itself.
    Internal,
}

/// The cause that ended a request and, where there is one, the filter or limit involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseFlag {
    kind: FlagKind,
    subject: Option<Arc<str>>,
}

// === impl FlagKind ===

impl FlagKind {
    /// Every kind, in declaration order.
    pub const ALL: [FlagKind; 21] = [
        FlagKind::Ok,
        FlagKind::Redirect,
        FlagKind::CorsPreflight,
        FlagKind::BadRequest,
        FlagKind::ClientClosed,
        FlagKind::NoRoute,
        FlagKind::NoBackend,
        FlagKind::InvalidBackend,
        FlagKind::NoEndpoint,
        FlagKind::UpstreamConnect,
        FlagKind::UpstreamTls,
        FlagKind::UpstreamReset,
        FlagKind::UpstreamProtocol,
        FlagKind::UpstreamTimeout,
        FlagKind::RequestTimeout,
        FlagKind::FilterDenied,
        FlagKind::FilterFailed,
        FlagKind::FilterUnresolved,
        FlagKind::Limit,
        FlagKind::Shutdown,
        FlagKind::Internal,
    ];

    /// The stable short name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FlagKind::Ok => "ok",
            FlagKind::Redirect => "redirect",
            FlagKind::CorsPreflight => "cors_preflight",
            FlagKind::BadRequest => "bad_request",
            FlagKind::ClientClosed => "client_closed",
            FlagKind::NoRoute => "no_route",
            FlagKind::NoBackend => "no_backend",
            FlagKind::InvalidBackend => "invalid_backend",
            FlagKind::NoEndpoint => "no_endpoint",
            FlagKind::UpstreamConnect => "upstream_connect",
            FlagKind::UpstreamTls => "upstream_tls",
            FlagKind::UpstreamReset => "upstream_reset",
            FlagKind::UpstreamProtocol => "upstream_protocol",
            FlagKind::UpstreamTimeout => "upstream_timeout",
            FlagKind::RequestTimeout => "request_timeout",
            FlagKind::FilterDenied => "filter_denied",
            FlagKind::FilterFailed => "filter_failed",
            FlagKind::FilterUnresolved => "filter_unresolved",
            FlagKind::Limit => "limit",
            FlagKind::Shutdown => "shutdown",
            FlagKind::Internal => "internal",
        }
    }

    /// Whether the exchange failed, as opposed to being answered as configured.
    #[must_use]
    pub fn is_error(self) -> bool {
        !matches!(
            self,
            FlagKind::Ok
                | FlagKind::Redirect
                | FlagKind::CorsPreflight
                | FlagKind::BadRequest
                | FlagKind::NoRoute
                | FlagKind::FilterDenied
        )
    }
}

// === impl ResponseFlag ===

impl ResponseFlag {
    /// The exchange went as it should.
    pub const OK: ResponseFlag = ResponseFlag { kind: FlagKind::Ok, subject: None };

    /// The filter of this name answered in the backend's place.
    pub fn filter_denied(filter: impl Into<Arc<str>>) -> Self {
        ResponseFlag { kind: FlagKind::FilterDenied, subject: Some(filter.into()) }
    }

    /// The filter of this name failed, and its failure mode is closed.
    pub fn filter_failed(filter: impl Into<Arc<str>>) -> Self {
        ResponseFlag { kind: FlagKind::FilterFailed, subject: Some(filter.into()) }
    }

    /// The filter of this name does not resolve.
    pub fn filter_unresolved(filter: impl Into<Arc<str>>) -> Self {
        ResponseFlag { kind: FlagKind::FilterUnresolved, subject: Some(filter.into()) }
    }

    /// The limit of this name was reached.
    pub fn limit(name: impl Into<Arc<str>>) -> Self {
        ResponseFlag { kind: FlagKind::Limit, subject: Some(name.into()) }
    }

    /// The cause alone.
    #[must_use]
    pub fn kind(&self) -> FlagKind {
        self.kind
    }

    /// The filter or limit involved.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

impl From<FlagKind> for ResponseFlag {
    fn from(kind: FlagKind) -> Self {
        ResponseFlag { kind, subject: None }
    }
}

/// `kind` or `kind:subject`, as the access log writes it.
impl fmt::Display for ResponseFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        match &self.subject {
            Some(subject) => write!(f, ":{subject}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_distinct_and_fit_a_label() {
        let names: HashSet<&str> = FlagKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), FlagKind::ALL.len());
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }

    #[test]
    fn a_flag_with_a_subject_names_it() {
        assert_eq!(ResponseFlag::limit("header_bytes").to_string(), "limit:header_bytes");
        assert_eq!(ResponseFlag::OK.to_string(), "ok");
    }
}
