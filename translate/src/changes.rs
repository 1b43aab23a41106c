//! What changed between two translations, object by object and by identity alone: what kept its `Arc` did not change.

use crate::{
    edges::Edges,
    objects::{ObjectName, Objects, Store},
    references::Reference,
};
use std::{cmp::Ordering, collections::HashSet, sync::Arc};

/// Names of the objects of one kind that came, went or changed.
#[derive(Clone, Debug)]
pub(crate) enum Changed {
    /// There is nothing to compare with.
    All,
    /// These; often none.
    Some(HashSet<ObjectName>),
}

macro_rules! kinds {
    ($($field:ident: $kind:ident),* $(,)?) => {
        /// The objects of the last translation, kept to compare with.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Retained {
            $($field: Store<kinds::$kind>,)*
        }

        /// What changed, by kind.
        #[derive(Clone, Debug)]
        pub(crate) struct Changes {
            $(pub(crate) $field: Changed,)*
        }

        impl Changes {
            /// Compares with the last translation.
            pub(crate) fn since(last: Option<&Retained>, objects: &Objects) -> Self {
                Self { $($field: Changed::between(last.map(|last| &last.$field), &objects.$field),)* }
            }
        }

        impl From<&Objects> for Retained {
            fn from(objects: &Objects) -> Self {
                Self { $($field: objects.$field.clone(),)* }
            }
        }

        mod kinds {
            pub(super) use k8s_openapi::api::{
                core::v1::{ConfigMap, Namespace, Secret, Service},
                discovery::v1::EndpointSlice,
            };
            pub(super) use portolan_crds::{
                BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, GatewayConfig, HTTPRoute, ListenerSet, ReferenceGrant, TCPRoute,
                TLSRoute, UDPRoute, WasmFilter,
            };
        }
    };
}

kinds! {
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
}

// === impl Changes ===

impl Changes {
    /// Counts as changed what may be read now and might not before, or the other way round: what is said of it differs.
    pub(crate) fn add_rights(&mut self, before: &Edges, now: &Edges) {
        for reference in before.forbidden.symmetric_difference(&now.forbidden) {
            match reference {
                Reference::Secret(name) => self.secrets.add(name.clone()),
                Reference::ConfigMap(name) => self.config_maps.add(name.clone()),
            }
        }
    }

    /// Whether all that changed, if anything, is EndpointSlices.
    pub(crate) fn only_endpoints(&self) -> bool {
        let routes = [&self.http_routes, &self.grpc_routes, &self.tls_routes, &self.tcp_routes, &self.udp_routes];
        let others = [&self.wasm_filters, &self.services];
        !self.gateway_inputs() && !routes.into_iter().chain(others).any(Changed::any)
    }

    /// Whether anything changed on which listeners depend.
    pub(crate) fn gateway_inputs(&self) -> bool {
        let kinds = [
            &self.gateway_classes,
            &self.gateways,
            &self.gateway_configs,
            &self.listener_sets,
            &self.reference_grants,
            &self.backend_tls_policies,
            &self.secrets,
            &self.config_maps,
            &self.namespaces,
        ];
        kinds.into_iter().any(Changed::any)
    }
}

// === impl Changed ===

impl Changed {
    fn between<T>(old: Option<&Store<T>>, new: &Store<T>) -> Self {
        let Some(old) = old else { return Self::All };
        let mut names = HashSet::new();
        if old.is_same(new) {
            return Self::Some(names);
        }
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Self::Some(names),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                // One object never stands under two names, so the names need no comparison where it is the same.
                (Some((_, a)), Some((_, b))) if Arc::ptr_eq(a, b) => {
                    old.next();
                    new.next();
                    continue;
                }
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let changed = if order.is_le() { old.next() } else { None };
            let changed = if order.is_ge() { new.next() } else { None }.or(changed);
            names.extend(changed.map(|(name, _)| name.clone()));
        }
    }

    /// Whether anything changed.
    pub(crate) fn any(&self) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => !names.is_empty(),
        }
    }

    /// Whether this object changed.
    pub(crate) fn has(&self, name: &ObjectName) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => !names.is_empty() && names.contains(name),
        }
    }

    /// Counts another object as changed.
    pub(crate) fn add(&mut self, name: ObjectName) {
        if let Self::Some(names) = self {
            names.insert(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(entries: &[(&str, &Arc<u8>)]) -> Store<u8> {
        let entry = |(name, value): &(&str, &Arc<u8>)| (ObjectName::new("n", *name), (*value).clone());
        entries.iter().map(entry).collect()
    }

    #[test]
    fn what_came_went_or_changed_is_seen_by_identity() {
        let (a, b, c, c2, d) = (Arc::new(1), Arc::new(2), Arc::new(3), Arc::new(3), Arc::new(4));
        let old = store(&[("a", &a), ("b", &b), ("c", &c)]);
        let new = store(&[("a", &a), ("c", &c2), ("d", &d)]);
        let Changed::Some(names) = Changed::between(Some(&old), &new) else { panic!("there is something to compare") };
        let mut names: Vec<_> = names.iter().map(|name| &*name.name).collect();
        names.sort_unstable();
        assert_eq!(names, ["b", "c", "d"]);
        assert!(!Changed::between(Some(&old), &old.clone()).any());
        assert!(Changed::between(None, &new).has(&ObjectName::new("n", "zzz")));
    }
}
