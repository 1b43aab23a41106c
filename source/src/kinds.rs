//! The kinds that Portolan reads: one table, from which the typed object, its store and its scope follow.

use k8s_openapi::{
    Metadata, Resource,
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        core::v1::{ConfigMap, Namespace, Pod, Secret, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use portolan_crds::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, GatewayConfig, HTTPRoute, ListenerSet, ReferenceGrant,
    TCPRoute, TLSRoute, UDPRoute, WasmFilter,
};
use portolan_translate::objects::{ObjectName, Objects};
use std::sync::Arc;

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They do not.
    Cluster,
}

macro_rules! kinds {
    ($($kind:ident $store:ident $scope:ident),* $(,)?) => {
        /// A kind that Portolan reads.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant is the kind of its name")]
        pub enum Kind { $($kind),* }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The kind's name in manifests.
            pub fn name(self) -> &'static str {
                match self { $(Kind::$kind => <$kind as Resource>::KIND),* }
            }

            /// The API group, empty for the core group.
            pub fn group(self) -> &'static str {
                match self { $(Kind::$kind => <$kind as Resource>::GROUP),* }
            }

            /// `group/version` (or `version`) of the types that hold the kind.
            pub fn api_version(self) -> &'static str {
                match self { $(Kind::$kind => <$kind as Resource>::API_VERSION),* }
            }

            /// The kind's name in the paths of the API.
            pub fn plural(self) -> &'static str {
                match self { $(Kind::$kind => <$kind as Resource>::URL_PATH_SEGMENT),* }
            }

            /// Whether its objects live in a namespace.
            pub fn scope(self) -> Scope {
                match self { $(Kind::$kind => Scope::$scope),* }
            }
        }

        /// An object of any kind that Portolan reads.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "each variant holds an object of the kind of its name")]
        pub enum Object { $($kind(Arc<$kind>)),* }

        impl Object {
            /// The object's kind.
            pub fn kind(&self) -> Kind {
                match self { $(Object::$kind(_) => Kind::$kind),* }
            }

            /// The object's metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Object::$kind(object) => object.metadata()),* }
            }

            /// Whether both are the same allocation.
            pub(crate) fn is_same(&self, other: &Object) -> bool {
                match (self, other) {
                    $((Object::$kind(one), Object::$kind(two)) => Arc::ptr_eq(one, two),)*
                    _ => false,
                }
            }

            /// The object with another generation.
            #[must_use]
            pub(crate) fn at_generation(mut self, generation: i64) -> Object {
                if self.metadata().generation != Some(generation) {
                    match &mut self {
                        $(Object::$kind(object) => Arc::make_mut(object).metadata_mut().generation = Some(generation)),*
                    }
                }
                self
            }

            /// Whether both say the same in all but their metadata.
            pub(crate) fn differs_in_metadata_alone(&self, other: &Object) -> bool {
                match (self, other) {
                    $((Object::$kind(one), Object::$kind(two)) => {
                        let mut one = $kind::clone(one);
                        one.metadata_mut().clone_from(two.metadata());
                        one == **two
                    })*
                    _ => false,
                }
            }

            /// Puts the object where objects of its kind belong.
            pub(crate) fn store(self, name: ObjectName, objects: &mut Objects) {
                match self { $(Object::$kind(object) => { objects.$store.insert(name, object); })* }
            }

            /// The object of this name and kind.
            pub(crate) fn stored(kind: Kind, name: &ObjectName, objects: &Objects) -> Option<Object> {
                match kind { $(Kind::$kind => objects.$store.get(name).map(|object| Object::$kind(object.clone()))),* }
            }

            /// The object with other metadata.
            #[must_use]
            pub(crate) fn with_metadata(mut self, metadata: ObjectMeta) -> Object {
                match &mut self {
                    $(Object::$kind(object) => *Arc::make_mut(object).metadata_mut() = metadata),*
                }
                self
            }

            /// Takes away the object of this name and kind.
            pub(crate) fn remove(&self, name: &ObjectName, objects: &mut Objects) {
                match self { $(Object::$kind(_) => { objects.$store.remove(name); })* }
            }

            pub(crate) fn deserialize(kind: Kind, reader: impl Reader) -> Option<Object> {
                match kind { $(Kind::$kind => reader.read::<$kind>().map(|object| Object::$kind(Arc::new(object)))),* }
            }
        }
    };
}

/// Something that reads an object of whatever type it is asked for.
pub(crate) trait Reader {
    /// The object, unless it is no such object; the reader keeps what is wrong with it.
    fn read<T: serde::de::DeserializeOwned>(self) -> Option<T>;
}

kinds! {
    GatewayClass gateway_classes Cluster,
    Gateway gateways Namespaced,
    ListenerSet listener_sets Namespaced,
    HTTPRoute http_routes Namespaced,
    GRPCRoute grpc_routes Namespaced,
    TLSRoute tls_routes Namespaced,
    TCPRoute tcp_routes Namespaced,
    UDPRoute udp_routes Namespaced,
    ReferenceGrant reference_grants Namespaced,
    BackendTLSPolicy backend_tls_policies Namespaced,
    WasmFilter wasm_filters Namespaced,
    GatewayConfig gateway_configs Namespaced,
    Service services Namespaced,
    EndpointSlice endpoint_slices Namespaced,
    Secret secrets Namespaced,
    ConfigMap config_maps Namespaced,
    Namespace namespaces Cluster,
    Deployment deployments Namespaced,
    StatefulSet stateful_sets Namespaced,
    DaemonSet daemon_sets Namespaced,
    Pod pods Namespaced,
}

impl Kind {
    /// The kind of that group and name.
    pub fn find(group: &str, name: &str) -> Option<Kind> {
        Self::ALL.iter().copied().find(|kind| kind.group() == group && kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_found_by_group_and_name() {
        assert_eq!(Kind::find("", "Service"), Some(Kind::Service));
        assert_eq!(Kind::find("apps", "Service"), None);
        assert_eq!(Kind::find("gateway.networking.k8s.io", "TCPRoute"), Some(Kind::TCPRoute));
        assert_eq!(Kind::WasmFilter.api_version(), "portolan.dev/v1alpha1");
        assert_eq!(Kind::Namespace.scope(), Scope::Cluster);
    }

    #[test]
    fn a_changed_label_is_no_change_of_the_spec() {
        let service = |label: &str, address: &str| {
            let mut service = Service::default();
            service.metadata.labels = Some([("l".to_owned(), label.to_owned())].into());
            service.spec.get_or_insert_default().cluster_ip = Some(address.to_owned());
            Object::Service(Arc::new(service))
        };
        assert!(service("a", "1").differs_in_metadata_alone(&service("b", "1")));
        assert!(!service("a", "1").differs_in_metadata_alone(&service("a", "2")));
    }
}
