//! ReferenceGrant: what other namespaces may refer to.

use crate::{
    GATEWAY_GROUP,
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};

resource!(
    /// Allows objects of other namespaces to refer to objects of this one.
    ReferenceGrant, "referencegrants", GATEWAY_GROUP, "v1", NamespaceResourceScope, ReferenceGrantSpec, NoStatus
);

/// Who may refer to what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReferenceGrantSpec {
    /// Who.
    pub from: Vec<ReferenceGrantFrom>,
    /// To what.
    pub to: Vec<ReferenceGrantTo>,
}

/// Objects that may refer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceGrantFrom {
    /// Their group.
    pub group: String,
    /// Their kind.
    pub kind: String,
    /// Their namespace.
    pub namespace: String,
}

/// Objects that may be referred to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceGrantTo {
    /// Their group.
    pub group: String,
    /// Their kind.
    pub kind: String,
    /// The one object; all of the kind unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The kind has no status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoStatus {}
