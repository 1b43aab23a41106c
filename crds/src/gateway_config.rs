//! GatewayConfig (portolan.dev/v1alpha1): how the gateways of a class, or one gateway, are run in a cluster.

use crate::{
    PORTOLAN_GROUP,
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

resource!(
    /// How gateways are run: those of a class, whose GatewayClass names it in `spec.parametersRef`, or one, whose
    /// Gateway names it in `spec.infrastructure.parametersRef`.
    GatewayConfig, "gatewayconfigs", PORTOLAN_GROUP, "v1alpha1", NamespaceResourceScope, GatewayConfigSpec, NoStatus
);

/// How gateways are run. What a Gateway's own GatewayConfig gives stands in place of what its class's gives, field by
/// field of the first level; `replicas` and `autoscaling` count as one field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayConfigSpec {
    /// Pods of each gateway; 2 unless it is given, or as `autoscaling` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Pods by load, in place of `replicas`: a HorizontalPodAutoscaler for each gateway. The cluster must measure the
    /// use of CPU, and `resources` must ask for cpu.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// What each pod asks for and may use, in Kubernetes' own words: the API server judges them. Requests of 100m cpu
    /// and 64Mi memory unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    /// Labels of the nodes that pods may run on; all nodes unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// Taints of nodes that pods tolerate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Value>>,
    /// Where pods run, in Kubernetes' own words. Besides it, pods are spread over nodes as far as that goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    /// The Service that gives the Gateway its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceConfig>,
    /// Whether HTTPS listeners serve HTTP/3 too, at the UDP port of the same number; Enabled unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http3: Option<Http3>,
    /// What the gateway logs about itself: this level, and worse; Info unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// What the gateway tells about requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
}

/// Pods by load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// Fewest pods; 2 unless it is given, or `max_replicas` if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<u32>,
    /// Most pods.
    pub max_replicas: u32,
    /// The use of CPU that is aimed at, in percent of what pods ask for; 80 unless it is given.
    #[serde(rename = "targetCPUUtilizationPercentage", default, skip_serializing_if = "Option::is_none")]
    pub target_cpu_utilization_percentage: Option<u32>,
}

/// The Service that gives a Gateway its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceConfig {
    /// What gives the address; LoadBalancer unless it is given.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceType>,
    /// Annotations of the Service, for whoever gives the address.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Which of several load balancers gives the address; for type LoadBalancer alone. Kubernetes does not let it be
    /// changed while the Service is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_class: Option<String>,
    /// Which nodes take traffic; not for type ClusterIP. Cluster (unless it is given): every node, and clients'
    /// addresses are lost; Local: nodes with a pod, and clients' addresses are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<ExternalTrafficPolicy>,
}

/// Types of Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// With an address that a load balancer gives.
    #[default]
    LoadBalancer,
    /// At a port of every node.
    NodePort,
    /// At an address inside the cluster.
    ClusterIP,
}

/// Which nodes take traffic from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExternalTrafficPolicy {
    /// All.
    #[default]
    Cluster,
    /// Those with a pod.
    Local,
}

/// Whether HTTP/3 is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Http3 {
    /// It is, and HTTPS clients are told so.
    #[default]
    Enabled,
    /// It is not, and the Service has no UDP port for it.
    Disabled,
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each level is the one of its name, and worse")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// What a gateway tells about requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Telemetry {
    /// Where traces and metrics are sent: the URL (http or https) of an OTLP receiver over gRPC. Nowhere unless it is
    /// given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Percent of the requests that are traced, where the client does not say; 0 unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_sampling_percentage: Option<u32>,
    /// Where requests are logged; nowhere unless it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
}

/// Where requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessLog {
    /// Nowhere.
    #[default]
    Disabled,
    /// To standard output, a JSON line each.
    Stdout,
}

/// The kind has no status: whether a configuration can be used is said by who uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoStatus {}

// === impl GatewayConfigSpec ===

impl GatewayConfigSpec {
    /// This configuration, and for what it does not give, `class`.
    #[must_use]
    pub fn over(self, class: Self) -> Self {
        // Both say how many pods there are: only together can one of them stand in place of the other.
        let (replicas, autoscaling) = match self.replicas.is_some() || self.autoscaling.is_some() {
            true => (self.replicas, self.autoscaling),
            false => (class.replicas, class.autoscaling),
        };
        Self {
            replicas,
            autoscaling,
            resources: self.resources.or(class.resources),
            node_selector: self.node_selector.or(class.node_selector),
            tolerations: self.tolerations.or(class.tolerations),
            affinity: self.affinity.or(class.affinity),
            service: self.service.or(class.service),
            http3: self.http3.or(class.http3),
            log_level: self.log_level.or(class.log_level),
            telemetry: self.telemetry.or(class.telemetry),
        }
    }

    /// Whether pods are to be counted by their use of cpu though they ask for none.
    pub fn autoscales_without_cpu(&self) -> bool {
        let asks = |resources: &Value| ["requests", "limits"].iter().any(|of| !resources[of]["cpu"].is_null());
        self.autoscaling.is_some() && self.resources.as_ref().is_some_and(|resources| !asks(resources))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_own_configuration_stands_in_place_of_its_classs_field_by_field() {
        let class = GatewayConfigSpec { replicas: Some(3), log_level: Some(LogLevel::Debug), ..Default::default() };
        let autoscaling = Autoscaling { min_replicas: None, max_replicas: 9, target_cpu_utilization_percentage: None };
        let own = GatewayConfigSpec { autoscaling: Some(autoscaling.clone()), ..Default::default() };
        let merged = own.over(class);
        assert_eq!((merged.replicas, merged.autoscaling), (None, Some(autoscaling)));
        assert_eq!(merged.log_level, Some(LogLevel::Debug));
    }
}
