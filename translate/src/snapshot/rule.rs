//! What is done with a request that a rule matched: filters, backends, timeouts, retries. Data alone.

use super::{backend::BackendIndex, wasm::WasmFilter};
use crate::objects::ObjectName;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use std::{fmt, sync::Arc, time::Duration};

/// Which rule of which route: what logs, metrics and `explain` name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId {
    /// Kind of the route.
    pub kind: RouteKind,
    /// The route.
    pub route: ObjectName,
    /// Position of the rule in the route.
    pub rule: u16,
    /// Name of the rule, if it has one.
    pub name: Option<Arc<str>>,
}

/// Kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the kind of its name")]
pub enum RouteKind {
    HTTPRoute,
    GRPCRoute,
    TLSRoute,
    TCPRoute,
    UDPRoute,
    /// Not a route: traffic to a Service that no route changes.
    Service,
}

/// A rule of an HTTPRoute or GRPCRoute.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Which rule this is.
    pub id: RuleId,
    /// Filters, in the order in which the route lists them.
    pub filters: Box<[Filter]>,
    /// Backends with their shares; empty where a filter answers, or where 500 is the answer.
    pub backends: Backends<HttpBackend>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// When a request is tried again.
    pub retry: Option<Retry>,
    /// Sticks sessions to endpoints.
    pub session: Option<SessionPersistence>,
}

/// A rule of a TLSRoute, TCPRoute or UDPRoute.
#[derive(Clone, Debug)]
pub struct L4Rule {
    /// Which rule this is.
    pub id: RuleId,
    /// Backends with their shares.
    pub backends: Backends<Target>,
}

/// Backends with weights. The weights that are zero are left out; none at all means that nothing can serve.
#[derive(Clone, Debug)]
pub struct Backends<T> {
    entries: Box<[(u32, T)]>,
    total: u64,
}

/// Where a share of the traffic goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// To a backend of the snapshot.
    Backend(BackendIndex),
    /// Nowhere: the reference is invalid, which is answered with 500 (or UNAVAILABLE, or a close).
    Invalid {
        /// The reference, for logs.
        reference: Arc<str>,
        /// What is wrong with it.
        reason: Arc<str>,
    },
}

/// A backend of a rule, with filters of its own.
#[derive(Clone, Debug)]
pub struct HttpBackend {
    /// Where to.
    pub target: Target,
    /// Filters for requests that go there.
    pub filters: Box<[Filter]>,
}

/// Timeouts of a rule; `None` means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request to the end of the response, retries included.
    pub request: Option<Duration>,
    /// One try at one backend.
    pub backend_request: Option<Duration>,
}

/// When a request is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Status codes of the backend on which to try again.
    pub codes: Box<[u16]>,
    /// Tries after the first.
    pub attempts: u32,
    /// Least time between tries.
    pub backoff: Duration,
}

/// Sticks sessions to endpoints (GEP-1619).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPersistence {
    /// Name of the cookie or header.
    pub name: Arc<str>,
    /// What carries it.
    pub carrier: SessionCarrier,
    /// The session ends so long after it began.
    pub absolute_timeout: Option<Duration>,
}

/// What carries a session's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCarrier {
    /// A cookie for the rest of the client's life.
    SessionCookie,
    /// A cookie for the absolute timeout.
    PermanentCookie,
    /// A header.
    Header,
}

/// One filter.
#[derive(Clone, Debug)]
pub enum Filter {
    /// Changes headers of the request.
    RequestHeaders(HeaderEdits),
    /// Changes headers of the response.
    ResponseHeaders(HeaderEdits),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Changes path and host.
    Rewrite(Rewrite),
    /// Sends a copy elsewhere.
    Mirror(Mirror),
    /// Cross-origin resource sharing.
    Cors(Box<Cors>),
    /// Asks a service whether the request may go on.
    ExternalAuth(Box<ExternalAuth>),
    /// Runs a Wasm module.
    Wasm(Arc<WasmFilter>),
    /// A filter that does not resolve: its requests are answered with 500.
    Unresolved {
        /// What the route names.
        reference: Arc<str>,
        /// Why it does not resolve.
        reason: Arc<str>,
    },
}

/// Changes of headers: set, then add, then remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Replaced, or added where absent.
    pub set: Box<[(HeaderName, HeaderValue)]>,
    /// Added to what is there.
    pub add: Box<[(HeaderName, HeaderValue)]>,
    /// Removed.
    pub remove: Box<[HeaderName]>,
}

/// A redirect. What is `None` is taken from the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// Host.
    pub hostname: Option<Arc<str>>,
    /// Path.
    pub path: Option<PathModifier>,
    /// Port; otherwise the well-known one of `scheme` if that is given, else the one that the client used.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// Changes of path and host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Host.
    pub hostname: Option<Arc<str>>,
    /// Path.
    pub path: Option<PathModifier>,
}

/// A new path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathModifier {
    /// The whole path is replaced.
    Full(Arc<str>),
    /// The prefix that matched is replaced.
    Prefix(Arc<str>),
}

/// Sends a copy of the request elsewhere and drops the answer.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Where to.
    pub target: Target,
    /// Numerator of the share.
    pub numerator: u32,
    /// Denominator of the share, not zero.
    pub denominator: u32,
}

/// Cross-origin resource sharing (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Origins.
    pub allow_origins: Box<[OriginMatch]>,
    /// Whether credentials are allowed.
    pub allow_credentials: bool,
    /// Methods; `None` is `*`.
    pub allow_methods: Option<Box<[Method]>>,
    /// Headers of requests; `None` is `*`.
    pub allow_headers: Option<Box<[HeaderName]>>,
    /// Headers of responses that scripts may read; `None` is `*`.
    pub expose_headers: Option<Box<[HeaderName]>>,
    /// How long a preflight's answer holds.
    pub max_age: Duration,
}

/// An origin that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginMatch {
    /// Every origin.
    Any,
    /// This one, lower-case.
    Exact(Arc<str>),
    /// `scheme://*.suffix[:port]`: what stands before and after the `*`.
    Wildcard {
        /// `scheme://`.
        prefix: Arc<str>,
        /// `.example.com:8443`.
        suffix: Arc<str>,
    },
}

/// Asks a service whether the request may go on (GEP-1494).
#[derive(Clone, Debug)]
pub struct ExternalAuth {
    /// The service.
    pub target: Target,
    /// How it is asked.
    pub protocol: ExternalAuthProtocol,
    /// Bytes of the body that are sent at most; 0 sends none.
    pub body_bytes_max: u16,
}

/// How an auth service is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalAuthProtocol {
    /// Envoy's `envoy.service.auth.v3.Authorization`.
    Grpc {
        /// Headers that the service sees; empty means all.
        allowed_headers: Box<[HeaderName]>,
    },
    /// A request of the same method; 200 allows.
    Http {
        /// Prefix of the path.
        path: Arc<str>,
        /// Headers that the service sees beside the standard ones.
        allowed_headers: Box<[HeaderName]>,
        /// Headers of its answer that go on to the backend; empty means all.
        allowed_response_headers: Box<[HeaderName]>,
    },
}

// === impl Backends ===

impl<T> Backends<T> {
    /// Backends with their weights.
    pub fn new(entries: impl IntoIterator<Item = (u32, T)>) -> Self {
        let entries: Box<[_]> = entries.into_iter().filter(|(weight, _)| *weight > 0).collect();
        let total = entries.iter().map(|(weight, _)| u64::from(*weight)).sum();
        Self { entries, total }
    }

    /// The sum of the weights.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The backend at `ticket`, a number below [`Self::total`]: every ticket is as likely as any other.
    pub fn at(&self, ticket: u64) -> Option<&T> {
        let mut rest = ticket;
        self.entries.iter().find_map(|(weight, entry)| match rest.checked_sub(u64::from(*weight)) {
            Some(left) => {
                rest = left;
                None
            }
            None => Some(entry),
        })
    }

    /// The backends with their weights, in the order of the route.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(u32, T)> {
        self.entries.iter()
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} rule {}", self.kind, self.route, self.rule)?;
        self.name.iter().try_for_each(|name| write!(f, " ({name})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_follow_the_weights_exactly() {
        let backends = Backends::new([(3, 'a'), (0, 'b'), (2, 'c')]);
        let picked: String = (0..backends.total()).filter_map(|ticket| backends.at(ticket)).collect();
        assert_eq!(picked, "aaacc");
        assert_eq!(backends.at(5), None);
    }
}
