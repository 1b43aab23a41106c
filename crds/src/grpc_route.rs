//! GRPCRoute. Its filters are a part of HTTPRoute's and share their types.

use crate::{
    GATEWAY_GROUP,
    common::{GatewayDefaultScope, ParentReference, RouteStatus, SessionPersistence},
    http_route::{HTTPBackendRef, HTTPHeaderMatch, HTTPRouteFilter, ValueMatchType},
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};

resource!(
    /// Routes gRPC requests.
    GRPCRoute, "grpcroutes", GATEWAY_GROUP, "v1", NamespaceResourceScope, GRPCRouteSpec, RouteStatus
);

/// Desired state of a GRPCRoute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GRPCRouteSpec {
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
    pub rules: Vec<GRPCRouteRule>,
}

/// What is done with requests that match.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GRPCRouteRule {
    /// Name, unique within the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of these must match; an empty list matches all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<GRPCRouteMatch>,
    /// What is done on the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<HTTPRouteFilter>,
    /// Where requests go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<HTTPBackendRef>,
    /// Sticks sessions to backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GRPCRouteMatch {
    /// Service and method; all unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<GRPCMethodMatch>,
    /// Headers; of several entries with one name the first counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HTTPHeaderMatch>,
}

/// A condition on service and method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct GRPCMethodMatch {
    /// Exact unless it is given.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ValueMatchType>,
    /// Service, case-sensitive; all unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Method, case-sensitive; all unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}
