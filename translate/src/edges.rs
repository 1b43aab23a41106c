//! What only the edges of the program know, given to `translate` as data: addresses, ports that were bound instead,
//! and what became of Wasm modules.

use crate::{
    objects::ObjectName,
    snapshot::{ModuleDigest, Transport},
};
use k8s_openapi::api::core::v1::Secret;
use std::{
    collections::BTreeMap,
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
    /// Modules of WasmFilters: their digest once loaded and compiled, or what went wrong.
    pub modules: BTreeMap<ObjectName, Result<ModuleDigest, Arc<str>>>,
}

impl Edges {
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
            modules,
        } = self;
        *controller_name == other.controller_name
            && *implicit_class == other.implicit_class
            && *gateways == other.gateways
            && *binds == other.binds
            && *client_port == other.client_port
            && *frontends == other.frontends
            && *last_certificates == other.last_certificates
            && *modules == other.modules
    }
}

/// Addresses of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayAddresses {
    /// Where it is served.
    pub assigned: Vec<IpAddr>,
    /// Addresses of its spec that cannot be used here, with the reason.
    pub unusable: Vec<(String, String)>,
}

/// Which port clients use where the port of the objects could not be bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientPort {
    /// The one that is bound (on a laptop).
    #[default]
    Bound,
    /// The one of the objects (behind a Service that maps it).
    Declared,
}
