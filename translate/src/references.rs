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

impl Reference {
    /// Whether there can be an object of this name: a DNS subdomain in a namespace that is a DNS label. Of others the API
    /// server cannot be asked.
    pub fn can_exist(&self) -> bool {
        let (Self::Secret(name) | Self::ConfigMap(name)) = self;
        let part = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            let ends = |byte: Option<&u8>| byte.is_some_and(|byte| plain(*byte));
            let bytes = part.as_bytes();
            ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
        };
        part(&name.namespace) && name.name.len() <= 253 && name.name.split('.').all(part)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_dns_subdomain_can_exist() {
        let can = |name: &str| Reference::Secret(ObjectName::new("n", name)).can_exist();
        assert!(["a", "a.b-c.1", "0"].into_iter().all(can));
        assert!(!["", "a,b", "a=b", "A", "a..b", "-a", "a-", ".a", "a\\b", &"a".repeat(254)].into_iter().any(can));
        assert!(!Reference::ConfigMap(ObjectName::new("", "a")).can_exist());
    }
}
