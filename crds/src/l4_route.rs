//! TLSRoute, TCPRoute and UDPRoute.

use crate::{
    GATEWAY_GROUP,
    common::{BackendRef, GatewayDefaultScope, ParentReference, RouteStatus},
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};

resource!(
    /// Forwards TLS connections by their server name.
    TLSRoute, "tlsroutes", GATEWAY_GROUP, "v1", NamespaceResourceScope, L4RouteSpec, RouteStatus
);
resource!(
    /// Forwards TCP connections.
    TCPRoute, "tcproutes", GATEWAY_GROUP, "v1", NamespaceResourceScope, L4RouteSpec, RouteStatus
);
resource!(
    /// Forwards UDP datagrams.
    UDPRoute, "udproutes", GATEWAY_GROUP, "v1", NamespaceResourceScope, L4RouteSpec, RouteStatus
);

/// Desired state of a route below HTTP. (`hostnames` is TLSRoute's alone; the schemas refuse it elsewhere.)
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4RouteSpec {
    /// Parents to attach to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent_refs: Vec<ParentReference>,
    /// Whether to attach to the default Gateways.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_default_gateways: Option<GatewayDefaultScope>,
    /// Server names (SNI); may begin with `*.`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The one rule.
    pub rules: Vec<L4RouteRule>,
}

/// Where the traffic goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct L4RouteRule {
    /// Name, unique within the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The backends.
    pub backend_refs: Vec<BackendRef>,
}
