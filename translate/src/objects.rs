//! The objects that `translate` reads: typed, by name, each behind an `Arc` so that what did not change is seen.
//! Filled by the sources; holds no positions in files and no clock.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Namespace, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use portolan_crds::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ListenerSet, ReferenceGrant, TCPRoute, TLSRoute,
    UDPRoute, WasmFilter,
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Namespace and name; the namespace of a cluster-scoped object is empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Namespace, or `""`.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl ObjectName {
    /// A name from its parts.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

impl serde::Serialize for ObjectName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// All objects of one kind.
pub type Store<T> = BTreeMap<ObjectName, Arc<T>>;

/// All objects that matter to translation. Objects that failed admission are not among them.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field holds the objects of the kind that it names")]
pub struct Objects {
    pub gateway_classes: Store<GatewayClass>,
    pub gateways: Store<Gateway>,
    pub listener_sets: Store<ListenerSet>,
    pub http_routes: Store<HTTPRoute>,
    pub grpc_routes: Store<GRPCRoute>,
    pub tls_routes: Store<TLSRoute>,
    pub tcp_routes: Store<TCPRoute>,
    pub udp_routes: Store<UDPRoute>,
    pub reference_grants: Store<ReferenceGrant>,
    pub backend_tls_policies: Store<BackendTLSPolicy>,
    pub wasm_filters: Store<WasmFilter>,
    pub services: Store<Service>,
    pub endpoint_slices: Store<EndpointSlice>,
    pub secrets: Store<Secret>,
    pub config_maps: Store<ConfigMap>,
    pub namespaces: Store<Namespace>,
    pub deployments: Store<Deployment>,
    pub stateful_sets: Store<StatefulSet>,
    pub daemon_sets: Store<DaemonSet>,
    pub pods: Store<Pod>,
}
