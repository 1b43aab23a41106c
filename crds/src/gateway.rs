//! GatewayClass and Gateway.

use crate::{
    Condition, GATEWAY_GROUP,
    common::{
        FromNamespaces, GatewayDefaultScope, NamespaceChoice, ObjectReference, RouteGroupKind, SecretObjectReference,
    },
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

resource!(
    /// A class of Gateways that one controller serves.
    GatewayClass, "gatewayclasses", GATEWAY_GROUP, "v1", ClusterResourceScope, GatewayClassSpec, GatewayClassStatus
);
resource!(
    /// Listeners at addresses, to which routes attach.
    Gateway, "gateways", GATEWAY_GROUP, "v1", NamespaceResourceScope, GatewaySpec, GatewayStatus
);

/// Desired state of a GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// The controller that serves the class.
    pub controller_name: String,
    /// Parameters of the class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ObjectReference>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Observed state of a GatewayClass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassStatus {
    /// Accepted, SupportedVersion.
    pub conditions: Vec<Condition>,
    /// What the implementation supports, sorted by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<SupportedFeature>,
}

/// A feature by its name in the conformance suite.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SupportedFeature {
    /// The name.
    pub name: String,
}

/// Desired state of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Name of the GatewayClass.
    pub gateway_class_name: String,
    /// The listeners.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// Addresses that are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewaySpecAddress>,
    /// Labels, annotations and parameters of what is made for the Gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<GatewayInfrastructure>,
    /// Whose ListenerSets may add listeners; nobody's unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS of the Gateway as a whole: client certificates from and to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTLSConfig>,
    /// Whether routes that ask for the default Gateways attach here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_scope: Option<GatewayDefaultScope>,
}

/// Whose ListenerSets may add listeners to a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllowedListeners {
    /// Their namespaces; `from` is `None` unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceChoice>,
}

/// One listener of a Gateway or of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name, unique within the object.
    pub name: String,
    /// The host names that it serves, all unless it is given; may begin with `*.`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The port that clients use.
    pub port: u16,
    /// HTTP, HTTPS, TLS, TCP, UDP, or a name of another implementation.
    pub protocol: String,
    /// TLS of this listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTLSConfig>,
    /// Which routes may attach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_routes: Option<AllowedRoutes>,
}

/// TLS of a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTLSConfig {
    /// Terminate unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<TLSMode>,
    /// Certificates to present, with `mode: Terminate`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certificate_refs: Vec<SecretObjectReference>,
    /// Options of implementations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// What a listener does with TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TLSMode {
    /// The proxy ends the TLS session.
    #[default]
    Terminate,
    /// The TLS session goes through to the backend.
    Passthrough,
}

/// TLS of a Gateway as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayTLSConfig {
    /// Of connections to backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<GatewayBackendTLS>,
    /// Of connections from clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend: Option<FrontendTLSConfig>,
}

/// TLS of connections to backends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayBackendTLS {
    /// Certificate that the Gateway presents to backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate_ref: Option<SecretObjectReference>,
}

/// TLS of connections from clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTLSConfig {
    /// For every HTTPS port that has no entry of its own.
    pub default: TLSConfig,
    /// For single ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub per_port: Vec<TLSPortConfig>,
}

/// TLS of connections from clients on one port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TLSPortConfig {
    /// The port.
    pub port: u16,
    /// Its TLS.
    pub tls: TLSConfig,
}

/// How clients are authenticated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TLSConfig {
    /// Client certificates; none are asked for unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<FrontendTLSValidation>,
}

/// How client certificates are validated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTLSValidation {
    /// ConfigMaps (or Secrets) with the roots, key `ca.crt`.
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// What happens to clients without a valid certificate; AllowValidOnly unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FrontendValidationMode>,
}

/// What happens to clients without a valid certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FrontendValidationMode {
    /// They are refused.
    #[default]
    AllowValidOnly,
    /// They are served all the same.
    AllowInsecureFallback,
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// Their namespaces; `from` is `Same` unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<NamespaceChoice>,
    /// Their kinds; those that fit the protocol unless it is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<RouteGroupKind>,
}

impl AllowedRoutes {
    /// How namespaces are chosen, with the default.
    pub fn from(&self) -> FromNamespaces {
        self.namespaces.as_ref().and_then(|n| n.from).unwrap_or(FromNamespaces::Same)
    }
}

/// An address that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewaySpecAddress {
    /// IPAddress (unless it is given), Hostname or an implementation's name.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The address; empty asks for any of the type.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
}

/// What is made for a Gateway carries these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayInfrastructure {
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Parameters of the Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<crate::common::LocalObjectReference>,
}

/// Observed state of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayStatus {
    /// Addresses at which it serves.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<GatewayStatusAddress>,
    /// Accepted, Programmed, ResolvedRefs, InsecureFrontendValidationMode.
    pub conditions: Vec<Condition>,
    /// The listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Number of ListenerSets that were accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<i32>,
}

/// An address at which a Gateway serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatusAddress {
    /// IPAddress or Hostname.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The address.
    pub value: String,
}

/// Observed state of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Route kinds that may attach.
    #[serde(default)]
    pub supported_kinds: Vec<RouteGroupKind>,
    /// Number of routes that are attached.
    pub attached_routes: i32,
    /// Accepted, Conflicted, Programmed, ResolvedRefs, OverlappingTLSConfig.
    pub conditions: Vec<Condition>,
}
