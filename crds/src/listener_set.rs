//! ListenerSet: listeners that others add to a Gateway.

use crate::{
    Condition, GATEWAY_GROUP,
    gateway::{Listener, ListenerStatus},
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};

resource!(
    /// Listeners that are added to a Gateway.
    ListenerSet, "listenersets", GATEWAY_GROUP, "v1", NamespaceResourceScope, ListenerSetSpec, ListenerSetStatus
);

/// Desired state of a ListenerSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway.
    pub parent_ref: ParentGatewayReference,
    /// The listeners.
    #[serde(default)]
    pub listeners: Vec<Listener>,
}

/// A reference to a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentGatewayReference {
    /// API group; the Gateway API's unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; `Gateway` unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name.
    pub name: String,
    /// Namespace; the ListenerSet's unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Observed state of a ListenerSet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerSetStatus {
    /// Accepted, Programmed.
    pub conditions: Vec<Condition>,
    /// The listeners.
    pub listeners: Vec<ListenerStatus>,
}
