//! HTTPRoute.

use crate::{
    Duration, GATEWAY_GROUP,
    common::{
        BackendObjectReference, BackendRef, Fraction, GatewayDefaultScope, LocalObjectReference, ParentReference,
        RouteStatus, SessionPersistence,
    },
    resource::{constcat, resource},
    saturating,
};
use serde::{Deserialize, Serialize};

resource!(
    /// Routes HTTP requests.
    HTTPRoute, "httproutes", GATEWAY_GROUP, "v1", NamespaceResourceScope, HTTPRouteSpec, RouteStatus
);

/// Desired state of an HTTPRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteSpec {
    /// Parents to attach to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Whether to attach to the default Gateways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
    /// Host names; may begin with `*.`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<HTTPRouteRule>,
}

/// What is done with requests that match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteRule {
    /// Name, unique within the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of these must match; an empty list matches all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<HTTPRouteMatch>,
    /// What is done on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
    /// Where requests go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<HTTPBackendRef>,
    /// Timeouts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<HTTPRouteTimeouts>,
    /// When a request is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<HTTPRouteRetry>,
    /// Sticks sessions to backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// Timeouts of a rule; zero disables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteTimeouts {
    /// From the request to the end of the response, retries included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Duration>,
    /// One try at one backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<Duration>,
}

/// When a request is tried again (GEP-1731).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HTTPRouteRetry {
    /// Status codes on which to try again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<u16>,
    /// Number of tries after the first.
    #[serde(deserialize_with = "saturating::option", skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Least time between tries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteMatch {
    /// Path; the prefix `/` unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HTTPPathMatch>,
    /// Headers; of several entries with one name the first counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HTTPHeaderMatch>,
    /// Query parameters; of several entries with one name the first counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<HTTPHeaderMatch>,
    /// Method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// A condition on the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HTTPPathMatch {
    /// PathPrefix unless it is given.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<PathMatchType>,
    /// `/` unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathMatchType {
    /// The whole path, case-sensitive.
    Exact,
    /// Path elements from the start, case-sensitive.
    #[default]
    PathPrefix,
    /// A regular expression for the whole path.
    RegularExpression,
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HTTPHeaderMatch {
    /// Exact unless it is given.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ValueMatchType>,
    /// Name.
    pub name: String,
    /// Value, or a regular expression for the whole value.
    pub value: String,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ValueMatchType {
    /// Equal.
    #[default]
    Exact,
    /// A regular expression for the whole value.
    RegularExpression,
}

/// One filter: `type` names the one field that is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRouteFilter {
    /// What the filter does.
    #[serde(rename = "type")]
    pub kind: HTTPRouteFilterType,
    /// Changes headers of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HTTPHeaderFilter>,
    /// Changes headers of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HTTPHeaderFilter>,
    /// Sends a copy elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_mirror: Option<HTTPRequestMirrorFilter>,
    /// Answers with a redirect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<HTTPRequestRedirectFilter>,
    /// Changes path and host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<HTTPURLRewriteFilter>,
    /// Cross-origin resource sharing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<HTTPCORSFilter>,
    /// Asks a service whether the request may go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_auth: Option<HTTPExternalAuthFilter>,
    /// An implementation's filter: here a WasmFilter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension_ref: Option<LocalObjectReference>,
}

/// What a filter does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HTTPRouteFilterType {
    /// Changes headers of the request.
    #[default]
    RequestHeaderModifier,
    /// Changes headers of the response.
    ResponseHeaderModifier,
    /// Answers with a redirect.
    RequestRedirect,
    /// Changes path and host.
    URLRewrite,
    /// Sends a copy elsewhere.
    RequestMirror,
    /// Cross-origin resource sharing.
    CORS,
    /// Asks a service whether the request may go on.
    ExternalAuth,
    /// An implementation's filter.
    ExtensionRef,
}

/// A header with a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HTTPHeader {
    /// Name, in any case.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Changes of headers: set, then add, then remove.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HTTPHeaderFilter {
    /// Replaced, or added where absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HTTPHeader>,
    /// Added to what is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HTTPHeader>,
    /// Removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A new path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPPathModifier {
    /// Which of the two is meant.
    #[serde(rename = "type")]
    pub kind: HTTPPathModifierType,
    /// The whole path is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_full_path: Option<String>,
    /// The prefix that matched is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_prefix_match: Option<String>,
}

/// What of the path is replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HTTPPathModifierType {
    /// All of it.
    #[default]
    ReplaceFullPath,
    /// The prefix that matched.
    ReplacePrefixMatch,
}

/// A redirect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRequestRedirectFilter {
    /// Scheme; the request's unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Host; the request's unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path; the request's unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HTTPPathModifier>,
    /// Port; the scheme's if a scheme is given, else the listener's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// 301, 302 (unless it is given), 303, 307 or 308.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
}

/// Changes of path and host before the request goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct HTTPURLRewriteFilter {
    /// Host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HTTPPathModifier>,
}

/// Sends a copy of the request elsewhere and drops the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPRequestMirrorFilter {
    /// Where to.
    pub backend_ref: BackendObjectReference,
    /// Share of the requests in percent; all unless one of the two is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// Share of the requests as a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<Fraction>,
}

/// Cross-origin resource sharing (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPCORSFilter {
    /// Origins: `*`, a whole origin, or one with a wildcard label.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// Whether credentials are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Methods, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<String>,
    /// Headers of requests, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Headers of responses that scripts may read, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Seconds for which a preflight's answer holds; 5 unless it is given.
    #[serde(deserialize_with = "saturating::option", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

/// Asks a service whether the request may go on (GEP-1494).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPExternalAuthFilter {
    /// How the service is asked.
    pub protocol: ExternalAuthProtocol,
    /// The service.
    pub backend_ref: BackendObjectReference,
    /// Details, with `protocol: GRPC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc: Option<GRPCAuthConfig>,
    /// Details, with `protocol: HTTP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HTTPAuthConfig>,
    /// Whether the body is sent too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_body: Option<ForwardBodyConfig>,
}

/// How an auth service is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ExternalAuthProtocol {
    /// Envoy's `envoy.service.auth.v3.Authorization`.
    GRPC,
    /// A request; 200 allows.
    #[default]
    HTTP,
}

/// Details of asking by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GRPCAuthConfig {
    /// Headers that the service sees; all unless it is given.
    #[serde(rename = "allowedHeaders", skip_serializing_if = "Vec::is_empty")]
    pub allowed_headers: Vec<String>,
}

/// Details of asking by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HTTPAuthConfig {
    /// Prefix of the request's path.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Headers that the service sees beside the standard ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_headers: Vec<String>,
    /// Headers of its answer that go on to the backend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_response_headers: Vec<String>,
}

/// Whether the body is sent to the auth service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardBodyConfig {
    /// At most so many bytes of it; 0 sends none.
    #[serde(deserialize_with = "saturating::number")]
    pub max_size: u32,
}

/// A backend with its share of the traffic and its own filters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HTTPBackendRef {
    /// The backend.
    #[serde(flatten)]
    pub backend: BackendRef,
    /// Filters of this backend alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
}
