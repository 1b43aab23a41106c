//! The EndpointSlices that Kubernetes would write for the pods that are played. One a Service and pod, as each pod
//! may have other real ports.

use super::{Membership, MembershipPort, PodPlan};
use crate::PortKey;
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// Value of the label `endpointslice.kubernetes.io/managed-by` on the slices made here.
pub const MANAGED_BY: &str = "dev.portolan.dev";
const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Where a pod is, and whether it may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedPod {
    /// Its address.
    pub address: IpAddr,
    /// Real port by the manifest's port; a port that is absent is not in the slices.
    pub ports: BTreeMap<PortKey, u16>,
    /// Its condition.
    pub condition: PodCondition,
}

/// A pod's condition, as endpoints tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodCondition {
    /// Runs, but does not listen yet.
    Starting,
    /// Serves.
    Ready,
    /// Serves what is under way, and is to get nothing new.
    Terminating,
}

// === impl PlayedPod ===

impl PlayedPod {
    /// An echo pod, which serves as soon as it is bound.
    pub fn ready(address: IpAddr, bound: &BTreeMap<PortKey, SocketAddr>) -> Self {
        let ports = bound.iter().map(|(key, bound)| (*key, bound.port())).collect();
        Self { address, ports, condition: PodCondition::Ready }
    }
}

/// The slices of one pod, in the order of its Services' names.
pub fn slices(pod: &PodPlan, played: &PlayedPod) -> Vec<EndpointSlice> {
    pod.memberships.iter().map(|membership| slice(pod, membership, played)).collect()
}

fn slice(pod: &PodPlan, membership: &Membership, played: &PlayedPod) -> EndpointSlice {
    let labels = [(SERVICE_LABEL, membership.service.as_str()), (MANAGED_BY_LABEL, MANAGED_BY)];
    let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    EndpointSlice {
        address_type: if played.address.is_ipv4() { "IPv4" } else { "IPv6" }.to_owned(),
        endpoints: vec![Endpoint {
            addresses: vec![played.address.to_string()],
            conditions: Some(conditions(membership, played.condition)),
            target_ref: Some(ObjectReference {
                kind: Some("Pod".to_owned()),
                name: Some(pod.name.name.clone()),
                namespace: Some(pod.name.namespace.clone()),
                ..ObjectReference::default()
            }),
            ..Endpoint::default()
        }],
        metadata: ObjectMeta {
            // A dot keeps apart what no dash can: a Service's name has none.
            name: Some(format!("{}.{}", membership.service, pod.name.name)),
            namespace: Some(pod.name.namespace.clone()),
            labels: Some(labels.collect()),
            ..ObjectMeta::default()
        },
        ports: Some(membership.ports.iter().filter_map(|port| endpoint_port(port, played)).collect()),
    }
}

fn conditions(membership: &Membership, condition: PodCondition) -> EndpointConditions {
    let serving = condition != PodCondition::Starting;
    let ready = membership.publishes_not_ready || condition == PodCondition::Ready;
    EndpointConditions {
        ready: Some(ready),
        serving: Some(serving || membership.publishes_not_ready),
        terminating: Some(condition == PodCondition::Terminating),
    }
}

fn endpoint_port(port: &MembershipPort, played: &PlayedPod) -> Option<EndpointPort> {
    let real = played.ports.get(&port.target)?;
    Some(EndpointPort {
        app_protocol: port.app_protocol.clone(),
        // As the endpoint controller writes it: the one port of a Service may have no name, which is "".
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(i32::from(*real)),
        protocol: Some(port.target.transport.as_str().to_owned()),
    })
}
