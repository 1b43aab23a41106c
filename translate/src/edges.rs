//! What only the edges of the program know, given to `translate` as data: addresses, ports that were bound instead,
//! and what became of Wasm modules.

use crate::{
    objects::ObjectName,
    references::Reference,
    snapshot::{ModuleDigest, Transport},
};
use k8s_openapi::api::core::v1::Secret;
use portolan_crds::WasmFilter;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// What the edges know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edges {
    /// Our name in `GatewayClass.spec.controllerName` and in statuses.
    pub controller_name: Arc<str>,
    /// The class that exists without being written, if there is one.
    pub implicit_class: Option<Arc<str>>,
    /// Addresses of Gateways: assigned, or asked for and usable.
    pub gateways: BTreeMap<ObjectName, GatewayAddresses>,
    /// Where the engine listens for an address and port of the objects, if not there.
    pub binds: BTreeMap<(SocketAddr, Transport), SocketAddr>,
    /// Which port clients use.
    pub client_port: ClientPort,
    /// Whether ports of Services are listened on (GAMMA).
    pub frontends: bool,
    /// Namespaces of clients by their address.
    pub clients: BTreeMap<IpAddr, Arc<str>>,
    /// Secrets that hold no valid certificate now, as they were when they last did: what a listener had is served on.
    pub last_certificates: BTreeMap<ObjectName, Arc<Secret>>,
    /// Secrets and ConfigMaps that may not be read, so that nobody knows whether they exist.
    pub forbidden: BTreeSet<Reference>,
    /// The versions of the Gateway API's CRDs by their names, where there are CRDs; empty where one does not say.
    pub bundles: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// Whether those versions may not be seen.
    pub bundles_unseen: bool,
    /// What became of the modules of WasmFilters.
    pub modules: ModuleOutcomes,
}

/// What became of the module of each WasmFilter: its digest once loaded and compiled, or what went wrong.
pub type ModuleOutcomes = BTreeMap<ObjectName, Result<ModuleDigest, ModuleFailure>>;

/// Why a WasmFilter has not the module that it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleFailure {
    /// What went wrong, for people.
    pub why: Arc<str>,
    /// The filter as it was when it last had a module, where that version may be run on.
    pub last: Option<LastModule>,
}

/// A version of a WasmFilter that had its module.
#[derive(Clone, Debug, PartialEq)]
pub struct LastModule {
    /// The module.
    pub digest: ModuleDigest,
    /// The object; its configuration comes from where the present object's does.
    pub filter: Arc<WasmFilter>,
}

/// What is said of a Secret or ConfigMap that is not among the objects, where these may not be read.
pub fn absence(forbidden: &BTreeSet<Reference>, reference: &Reference) -> String {
    format!("{reference} {}", if forbidden.contains(reference) { "may not be read" } else { "does not exist" })
}

impl fmt::Display for ModuleFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let note = if self.last.is_some() { " (the version before is run on)" } else { "" };
        write!(f, "{}{note}", self.why)
    }
}

impl Edges {
    /// What is said of a Secret or ConfigMap that is not among the objects.
    pub(crate) fn absence(&self, reference: &Reference) -> String {
        absence(&self.forbidden, reference)
    }

    /// Where the engine listens for an address and port of the objects.
    pub(crate) fn bind(&self, declared: SocketAddr, transport: Transport) -> SocketAddr {
        match self.binds.get(&(declared, transport)) {
            Some(bound) => *bound,
            None if self.client_port == ClientPort::Declared => {
                SocketAddr::new(declared.ip(), pod_port(declared.port()))
            }
            None => declared,
        }
    }

    /// Whether all is the same but the namespaces of clients, which nothing but the snapshot's own map depends on.
    pub(crate) fn same_but_clients(&self, other: &Self) -> bool {
        // Named one by one, so that a new field is not forgotten.
        let Self {
            controller_name,
            implicit_class,
            gateways,
            binds,
            client_port,
            frontends,
            clients: _,
            last_certificates,
            forbidden,
            bundles,
            bundles_unseen,
            modules,
        } = self;
        *controller_name == other.controller_name
            && *implicit_class == other.implicit_class
            && *gateways == other.gateways
            && *binds == other.binds
            && *client_port == other.client_port
            && *frontends == other.frontends
            && *last_certificates == other.last_certificates
            && *forbidden == other.forbidden
            && *bundles == other.bundles
            && *bundles_unseen == other.bundles_unseen
            && *modules == other.modules
    }
}

/// Addresses of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayAddresses {
    /// Where it is served.
    pub assigned: Vec<IpAddr>,
    /// Names at which it is served, where a load balancer gives names and no addresses.
    pub hostnames: Vec<String>,
    /// Addresses of its spec that it does not have yet and may still be given.
    pub awaited: Vec<String>,
    /// Addresses of its spec that cannot be used here, with the reason.
    pub unusable: Vec<(String, String)>,
    /// Why what is to serve the Gateway cannot be run, in the words of who refused it.
    pub refused: Option<String>,
    /// Whether those who serve it serve what it asks for now.
    pub replicas: Replicas,
    /// Whether it is being served already, so that it is served on though nobody knows any longer how it is to be run.
    pub running: bool,
}

/// Whether the replicas that serve a Gateway have loaded it as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Replicas {
    /// They have; or whoever translates serves it himself.
    #[default]
    Current,
    /// They have not: why, for people.
    Behind(String),
}

/// Which port clients use where the port of the objects could not be bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientPort {
    /// The one that is bound (on a laptop).
    #[default]
    Bound,
    /// The one of the objects (behind a Service that maps it to [`pod_port`]).
    Declared,
}

/// First of the ports that stand in for those which a pod without privileges cannot bind.
const POD_PORTS: u16 = 64_000;
/// Ports that every pod of ours uses itself, and the one that stands in for each.
const OWN_PORTS: [(u16, u16); 3] = [(15_000, 65_100), (15_008, 65_108), (15_020, 65_120)];

/// The port that a pod binds for a listener's port: the same, unless that needs a privilege or is one of our own. A
/// function of the port alone, so that a Service and the pods behind it agree without a word. Nothing hands out the ports
/// from 64000 on by itself; a listener that asks for one of them is refused beside the listener that it stands in for.
pub fn pod_port(port: u16) -> u16 {
    match OWN_PORTS.into_iter().find(|(own, _)| *own == port) {
        Some((_, other)) => other,
        None if port < 1024 => POD_PORTS + port,
        None => port,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_binds_no_port_that_needs_a_privilege_and_none_of_its_own() {
        assert_eq!([80, 443, 8080, 15_020].map(pod_port), [64_080, 64_443, 8080, 65_120]);
        let own: Vec<_> = OWN_PORTS.iter().map(|(own, _)| *own).collect();
        assert!((1..=u16::MAX).map(pod_port).all(|port| port >= 1024 && !own.contains(&port)));
    }
}
