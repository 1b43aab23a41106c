//! From manifests to the pods to play and the endpoints that they give. Pure: starts nothing, knows no address but
//! those it is told.

mod plan;
mod slices;
mod templates;

#[cfg(test)]
mod tests;

use crate::{PortKey, QualifiedName, Transport, echo::EchoProtocol};
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{Pod, Service},
};
pub use plan::plan;
pub use slices::{MANAGED_BY, PlayedPod, PodCondition, slices};
use std::{collections::BTreeMap, fmt};

/// The annotation of a pod template that names the command to run instead of an echo server.
pub const DEV_COMMAND: &str = "portolan.dev/dev-command";

/// The objects that decide which pods there are.
#[derive(Clone, Debug, Default)]
pub struct Workloads<'a> {
    /// Deployments.
    pub deployments: Vec<&'a Deployment>,
    /// StatefulSets.
    pub stateful_sets: Vec<&'a StatefulSet>,
    /// DaemonSets; a laptop is one node.
    pub daemon_sets: Vec<&'a DaemonSet>,
    /// Pods that belong to no workload.
    pub pods: Vec<&'a Pod>,
    /// Services, which select pods.
    pub services: Vec<&'a Service>,
}

/// The pods to play, and what the user should know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of their names.
    pub pods: Vec<PodPlan>,
    /// What cannot be played as it is written.
    pub notes: Vec<Note>,
}

/// Something in a manifest that cannot be played as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Kind of the object.
    pub kind: &'static str,
    /// Its name.
    pub name: QualifiedName,
    /// Where in it, such as `spec.replicas`.
    pub field: String,
    /// What about it.
    pub message: String,
}

/// A pod to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlan {
    /// Name: of the workload and a number, or of the bare Pod.
    pub name: QualifiedName,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it listens on, by number: its containers' ports and those that Services send to.
    pub ports: Vec<PodPort>,
    /// What plays it.
    pub player: Player,
    /// The Services that select it, by name.
    pub memberships: Vec<Membership>,
}

/// What plays a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Player {
    /// A built-in echo server.
    Echo,
    /// The user's own command.
    Command {
        /// For `sh -c`.
        command: String,
        /// The first container's variables that have a value of their own.
        env: Vec<(String, String)>,
    },
}

/// A port that a pod listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPort {
    /// As the manifests know it.
    pub key: PortKey,
    /// Name of the container's port.
    pub name: Option<String>,
    /// What an echo server speaks on it.
    pub protocol: EchoProtocol,
}

/// That a Service selects a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Name of the Service, in the pod's namespace.
    pub service: String,
    /// Whether the pod counts as ready before it is.
    pub publishes_not_ready: bool,
    /// The Service's ports that this pod has.
    pub ports: Vec<MembershipPort>,
}

/// A port of a Service, as one pod serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipPort {
    /// Name of the Service's port.
    pub name: Option<String>,
    /// Its appProtocol.
    pub app_protocol: Option<String>,
    /// The port of the pod that `targetPort` means.
    pub target: PortKey,
}

// === impl PodPlan ===

impl PodPlan {
    /// The Services that select the pod.
    pub fn services(&self) -> Vec<String> {
        self.memberships.iter().map(|membership| membership.service.clone()).collect()
    }

    /// The DNS names by which a cluster knows the pod's Services: what a certificate of the pod should hold.
    pub fn host_names(&self) -> Vec<String> {
        let namespace = &self.name.namespace;
        let of = |membership: &Membership| {
            let service = &membership.service;
            ["", ".svc", ".svc.cluster.local"].map(|suffix| format!("{service}.{namespace}{suffix}"))
        };
        self.memberships.iter().flat_map(of).collect()
    }
}

// === impl Note ===

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}: {}", self.kind, self.name, self.field, self.message)
    }
}

/// The transport of a `protocol` field; `None` for those that cannot be played.
fn transport(protocol: Option<&str>) -> Option<Transport> {
    match protocol {
        None | Some("TCP") => Some(Transport::Tcp),
        Some("UDP") => Some(Transport::Udp),
        Some(_) => None,
    }
}

/// What an echo server speaks on a port, by the Service's `appProtocol`.
fn echo_protocol(transport: Transport, app_protocol: Option<&str>) -> EchoProtocol {
    match (transport, app_protocol.map(str::to_ascii_lowercase).as_deref()) {
        (Transport::Udp, _) => EchoProtocol::Udp,
        (Transport::Tcp, Some("tcp")) => EchoProtocol::Tcp,
        (Transport::Tcp, Some("tls")) => EchoProtocol::Tls,
        (
            Transport::Tcp,
            Some("http" | "https" | "http2" | "grpc" | "kubernetes.io/h2c" | "kubernetes.io/ws" | "kubernetes.io/wss"),
        ) => EchoProtocol::Http,
        (Transport::Tcp, _) => EchoProtocol::Auto,
    }
}
