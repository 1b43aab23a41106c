//! Secrets and ConfigMaps that each Gateway reads: what translation looked up, permitted references alone. Whoever serves
//! a Gateway needs these and no others.

use crate::{
    gateway::Gateways,
    objects::{ObjectName, Objects},
    policy_status::users,
    refs::policies::Policies,
    route::Outcome,
    wasm_filters::WasmFilters,
};
use portolan_crds::{WasmFilter, wasm_filter::KeySelector};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// An object that is read because another one names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// A Secret.
    Secret(ObjectName),
    /// A ConfigMap.
    ConfigMap(ObjectName),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "Secret {name}"),
            Self::ConfigMap(name) => write!(f, "ConfigMap {name}"),
        }
    }
}

/// What each Gateway reads, whether or not it exists.
pub type References = BTreeMap<ObjectName, BTreeSet<Reference>>;

/// What a WasmFilter names beside Services: where its module and its configuration lie.
pub fn of_filter(name: &ObjectName, filter: &WasmFilter) -> Vec<Reference> {
    let named = |selector: &KeySelector| ObjectName::new(name.namespace.clone(), selector.name.as_str());
    let module = filter.spec.module.config_map.iter().map(|selector| Reference::ConfigMap(named(selector)));
    let configuration = filter.spec.config_from.iter().flat_map(|source| {
        let map = source.config_map.iter().map(|selector| Reference::ConfigMap(named(selector)));
        map.chain(source.secret.iter().map(|selector| Reference::Secret(named(selector))))
    });
    module.chain(configuration).collect()
}

/// What each Gateway reads: for its listeners, for connections to its backends, for the filters of its routes.
pub(crate) fn references(
    objects: &Objects,
    gateways: &Gateways,
    policies: &Policies,
    filters: &WasmFilters,
    outcomes: &[Arc<Outcome>],
) -> References {
    let mut all: Vec<BTreeSet<Reference>> =
        gateways.gateways.iter().map(|gateway| gateway.references.iter().cloned().collect()).collect();
    for listener in &gateways.listeners {
        all[listener.gateway].extend(listener.references.iter().cloned());
    }
    if !policies.is_empty() {
        let users = users(outcomes, gateways);
        for (_, policy) in policies.outcomes() {
            for gateway in policy.services.iter().filter_map(|service| users.get(service)).flatten() {
                all[*gateway].extend(policy.config_maps.iter().cloned().map(Reference::ConfigMap));
            }
        }
    }
    if !objects.wasm_filters.is_empty() {
        for (attachment, filter) in outcomes.iter().flat_map(|outcome| outcome.attachments()).flat_map(|attachment| {
            attachment.compiled.dependencies.filters.iter().map(move |filter| (attachment, filter))
        }) {
            let gateway = gateways.listeners[attachment.listener].gateway;
            all[gateway].extend(filters.get(filter).into_iter().flat_map(|filter| filter.references.iter().cloned()));
        }
    }
    gateways.gateways.iter().map(|gateway| gateway.name.clone()).zip(all).collect()
}
