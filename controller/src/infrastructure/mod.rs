//! What runs for each Gateway: which objects there are to be, and that they are.

mod apply;
mod manifests;
mod names;
mod owned;

pub use apply::apply;
pub use manifests::{Manifest, READ_ONLY_PORT, Resource, manifests};
pub use names::{CLASS_LABEL, GATEWAY_LABEL, MANAGED_BY, NAMESPACE_LABEL, Names};
pub use owned::Desired;

use portolan_crds::Gateway;
use portolan_translate::{ListenerPort, ObjectName, Reference};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// What is the same for all Gateways.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The image that gateways run.
    pub image: String,
    /// When the image is pulled: IfNotPresent, Always or Never.
    pub image_pull_policy: String,
}

/// A Gateway, as far as what runs for it depends on it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub name: ObjectName,
    /// The object.
    pub gateway: Arc<Gateway>,
    /// The ports of its listeners.
    pub ports: BTreeSet<ListenerPort>,
    /// The Secrets and ConfigMaps that it reads.
    pub references: BTreeSet<Reference>,
}

impl Wanted {
    /// The IP addresses that it asks for; an empty value asks for any.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let wanted = self.gateway.spec.addresses.iter();
        let of_ips = wanted.filter(|wanted| wanted.kind.as_deref().unwrap_or("IPAddress") == "IPAddress");
        of_ips.filter_map(|wanted| wanted.value.parse().ok())
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
