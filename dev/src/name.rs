//! Names that the modules share: of a namespaced object, and of a port of a pod.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Namespace and name of an object. Ordered by namespace, then name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QualifiedName {
    /// Namespace; never empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// What carries the bytes of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
}

/// A port as the manifests know it: the number that the pod would listen on in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortKey {
    /// Number in the manifests; the number really bound may differ.
    pub number: u16,
    /// Its transport.
    pub transport: Transport,
}

// === impl QualifiedName ===

impl QualifiedName {
    /// A name from its parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl Transport ===

impl Transport {
    /// As Kubernetes writes it: `TCP` or `UDP`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl PortKey ===

impl PortKey {
    /// A TCP port.
    pub fn tcp(number: u16) -> Self {
        Self { number, transport: Transport::Tcp }
    }

    /// A UDP port.
    pub fn udp(number: u16) -> Self {
        Self { number, transport: Transport::Udp }
    }
}

impl fmt::Display for PortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.transport)
    }
}
