//! The objects that `translate` reads: typed, by name, each behind an `Arc` so that what did not change is seen.
//! Filled by the sources; holds no positions in files and no clock.

use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    core::v1::{ConfigMap, Namespace, Pod, Secret, Service},
    discovery::v1::EndpointSlice,
};
use portolan_crds::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, GatewayConfig, HTTPRoute, ListenerSet, ReferenceGrant,
    TCPRoute, TLSRoute, UDPRoute, WasmFilter,
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

macro_rules! objects {
    ($($field:ident: $kind:ident,)*) => {
        /// All objects that matter to translation. Objects that failed admission are not among them.
        #[derive(Clone, Debug, Default, PartialEq)]
        #[allow(missing_docs, reason = "each field holds the objects of the kind that it names")]
        pub struct Objects {
            $(pub $field: Store<$kind>,)*
        }

        impl Objects {
            /// Whether all stores are the same maps.
            fn is_same(&self, other: &Self) -> bool {
                true $(&& self.$field.is_same(&other.$field))*
            }
        }
    };
}

objects! {
    gateway_classes: GatewayClass,
    gateways: Gateway,
    listener_sets: ListenerSet,
    http_routes: HTTPRoute,
    grpc_routes: GRPCRoute,
    tls_routes: TLSRoute,
    tcp_routes: TCPRoute,
    udp_routes: UDPRoute,
    reference_grants: ReferenceGrant,
    backend_tls_policies: BackendTLSPolicy,
    wasm_filters: WasmFilter,
    gateway_configs: GatewayConfig,
    services: Service,
    endpoint_slices: EndpointSlice,
    secrets: Secret,
    config_maps: ConfigMap,
    namespaces: Namespace,
    deployments: Deployment,
    stateful_sets: StatefulSet,
    daemon_sets: DaemonSet,
    pods: Pod,
}

// === impl Objects ===

impl Objects {
    /// Whether all is the same but EndpointSlices; told by identity alone.
    pub fn same_but_endpoints(&self, other: &Self) -> bool {
        Self { endpoint_slices: other.endpoint_slices.clone(), ..self.clone() }.is_same(other)
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
