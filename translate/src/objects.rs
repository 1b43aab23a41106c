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
use std::{
    collections::{BTreeMap, btree_map},
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

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

/// All objects of one kind. A clone is the same map until one of the two changes, so that a kind in which nothing
/// changed is known by identity.
pub struct Store<T>(Arc<BTreeMap<ObjectName, Arc<T>>>);

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

// === impl Objects ===

impl Objects {
    /// Whether all is the same but EndpointSlices; told by identity alone.
    pub fn same_but_endpoints(&self, other: &Self) -> bool {
        // Named one by one, so that a new field is not forgotten.
        let Self {
            gateway_classes,
            gateways,
            listener_sets,
            http_routes,
            grpc_routes,
            tls_routes,
            tcp_routes,
            udp_routes,
            reference_grants,
            backend_tls_policies,
            wasm_filters,
            services,
            endpoint_slices: _,
            secrets,
            config_maps,
            namespaces,
            deployments,
            stateful_sets,
            daemon_sets,
            pods,
        } = self;
        gateway_classes.is_same(&other.gateway_classes)
            && gateways.is_same(&other.gateways)
            && listener_sets.is_same(&other.listener_sets)
            && http_routes.is_same(&other.http_routes)
            && grpc_routes.is_same(&other.grpc_routes)
            && tls_routes.is_same(&other.tls_routes)
            && tcp_routes.is_same(&other.tcp_routes)
            && udp_routes.is_same(&other.udp_routes)
            && reference_grants.is_same(&other.reference_grants)
            && backend_tls_policies.is_same(&other.backend_tls_policies)
            && wasm_filters.is_same(&other.wasm_filters)
            && services.is_same(&other.services)
            && secrets.is_same(&other.secrets)
            && config_maps.is_same(&other.config_maps)
            && namespaces.is_same(&other.namespaces)
            && deployments.is_same(&other.deployments)
            && stateful_sets.is_same(&other.stateful_sets)
            && daemon_sets.is_same(&other.daemon_sets)
            && pods.is_same(&other.pods)
    }
}

// === impl Store ===

impl<T> Store<T> {
    /// Whether both are one map.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Store<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl<T> Deref for Store<T> {
    type Target = BTreeMap<ObjectName, Arc<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The map becomes this store's own.
impl<T> DerefMut for Store<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl<'a, T> IntoIterator for &'a Store<T> {
    type Item = (&'a ObjectName, &'a Arc<T>);
    type IntoIter = btree_map::Iter<'a, ObjectName, Arc<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> FromIterator<(ObjectName, Arc<T>)> for Store<T> {
    fn from_iter<I: IntoIterator<Item = (ObjectName, Arc<T>)>>(objects: I) -> Self {
        Self(Arc::new(objects.into_iter().collect()))
    }
}
