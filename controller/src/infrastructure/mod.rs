//! What runs for each Gateway: which objects there are to be, and that they are.

mod apply;
mod before;
mod manifests;
mod names;
mod owned;

pub use apply::{FIELD_MANAGER, apply};
pub use manifests::{Manifest, READ_ONLY_PORT, Resource, cluster_binding, manifests};
pub use names::{
    CLASS_LABEL, GATEWAY_LABEL, NAMESPACE_LABEL, Names, OWN_LABELS, class_label, gateway_label, own_selector, pods_of,
};
pub use owned::{Desired, GatewayKey};

use portolan_crds::{Gateway, gateway_config::GatewayConfigSpec};
use portolan_translate::{ListenerPort, ObjectName, Reference};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// Group and plural of each kind that runs for a Gateway.
pub fn owned_kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    Resource::ALL.into_iter().map(|resource| {
        let (group, _, _, plural) = resource.api();
        (group, plural)
    })
}

/// What the API server refuses of what is to run for a Gateway, by Gateway.
pub type Refusals = BTreeMap<GatewayKey, String>;

/// What is the same for all Gateways.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image that gateways run.
    pub image: String,
    /// When the image is pulled: IfNotPresent, Always or Never.
    pub image_pull_policy: String,
    /// Secrets by which it is pulled; of each Gateway's own namespace.
    pub image_pull_secrets: Vec<String>,
    /// The ClusterRole of what every gateway watches, and the name of the binding that gives it to them.
    pub cluster_role: String,
}

/// A Gateway, as far as what runs for it depends on it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: ObjectName,
    /// The object.
    pub gateway: Arc<Gateway>,
    /// How it is to be run.
    pub config: GatewayConfigSpec,
    /// The ports of its listeners.
    pub ports: BTreeSet<ListenerPort>,
    /// The Secrets and ConfigMaps that it reads.
    pub references: BTreeSet<Reference>,
}

impl Wanted {
    /// What its Services ask for: each an address of its own, since a Service has one address of a family and its
    /// families cannot be changed; or any (`None`).
    fn addresses(&self) -> BTreeSet<Option<IpAddr>> {
        let wanted = self.gateway.spec.addresses.iter();
        let of_ips = wanted.filter(|wanted| wanted.kind.as_deref().unwrap_or("IPAddress") == "IPAddress");
        let addresses: BTreeSet<_> = of_ips.map(|wanted| wanted.value.parse().ok()).collect();
        if addresses.is_empty() { [None].into() } else { addresses }
    }

    /// The referenced names by namespace: Secrets, then ConfigMaps.
    fn by_namespace(&self) -> BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> {
        let mut all: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<&str>)> = BTreeMap::new();
        for reference in &self.references {
            match reference {
                Reference::Secret(name) => all.entry(&name.namespace).or_default().0.insert(&name.name),
                Reference::ConfigMap(name) => all.entry(&name.namespace).or_default().1.insert(&name.name),
            };
        }
        all
    }
}

#[cfg(test)]
mod tests;
