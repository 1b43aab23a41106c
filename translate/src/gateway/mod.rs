//! GatewayClasses, Gateways and ListenerSets: what is listened on and why something is not. Routes attach elsewhere.

mod addresses;
mod class;
mod collect;
mod conflicts;
mod features;
mod listener;
mod parameters;
mod sets;
mod status;
mod tls;

pub(crate) use class::class_statuses;
pub use class::is_supported_bundle;
pub(crate) use collect::collect;
pub(crate) use listener::{ListenerEntry, Protocol};
pub use parameters::gateway_config;
pub(crate) use status::{gateway_status, listener_set_status};
pub(crate) use tls::ListenerTls;

use crate::{
    conditions::Refusal, objects::ObjectName, references::Reference, snapshot::Transport, statuses::Note,
    translation::ListenerPort,
};
use portolan_crds::{Gateway, ListenerSet};
use rustls::sign::CertifiedKey;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// All Gateways of our classes, with their ListenerSets and listeners.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    /// By age, then by name.
    pub(crate) gateways: Vec<GatewayEntry>,
    /// ListenerSets of our Gateways, by age, then by name.
    pub(crate) sets: Vec<SetEntry>,
    /// Listeners of Gateways and ListenerSets that are theirs, in order of precedence within each Gateway.
    pub(crate) listeners: Vec<ListenerEntry>,
    /// Positions in `gateways`.
    pub(crate) gateway_by_name: HashMap<ObjectName, usize>,
    /// Positions in `sets`.
    pub(crate) set_by_name: HashMap<ObjectName, usize>,
    /// What no status can say.
    pub(crate) notes: Vec<Note>,
}

/// One Gateway.
#[derive(Debug)]
pub(crate) struct GatewayEntry {
    pub(crate) name: ObjectName,
    pub(crate) object: Arc<Gateway>,
    /// Why the Gateway as a whole is not served.
    pub(crate) refused: Option<Refusal>,
    /// Why its replicas do not serve it as it is now.
    pub(crate) pending: Option<Refusal>,
    /// Why it is not programmed though it is accepted and its replicas serve it.
    pub(crate) unprogrammed: Option<Refusal>,
    /// The certificate that it presents to backends, if it has one that can be used.
    pub(crate) client_certificate: Option<Arc<CertifiedKey>>,
    /// Why it has none though it asks for one.
    pub(crate) unresolved: Option<Refusal>,
    /// Where it is served.
    pub(crate) addresses: Vec<IpAddr>,
    /// By which names, where it has no addresses.
    pub(crate) hostnames: Vec<String>,
    /// Whether its HTTPS listeners serve HTTP/3 too.
    pub(crate) http3: bool,
    /// Whether clients without a valid certificate are served.
    pub(crate) insecure_fallback: bool,
    /// What is read for the Gateway as a whole.
    pub(crate) references: Vec<Reference>,
    /// Positions of its own listeners, in the order of the object.
    pub(crate) listeners: Vec<usize>,
    /// Positions of its ListenerSets that it allows, in order of precedence.
    pub(crate) sets: Vec<usize>,
}

/// One ListenerSet.
#[derive(Debug)]
pub(crate) struct SetEntry {
    pub(crate) name: ObjectName,
    pub(crate) object: Arc<ListenerSet>,
    /// Position of its Gateway.
    pub(crate) gateway: usize,
    /// Why the set as a whole is not served.
    pub(crate) refused: Option<Refusal>,
    /// Positions of its listeners, in the order of the object; none if it is refused.
    pub(crate) listeners: Vec<usize>,
}

// === impl Gateways ===

impl Gateways {
    /// The ports of each Gateway's listeners that are accepted.
    pub(crate) fn ports(&self) -> BTreeMap<ObjectName, BTreeSet<ListenerPort>> {
        let mut ports: Vec<BTreeSet<ListenerPort>> = vec![BTreeSet::new(); self.gateways.len()];
        for listener in self.listeners.iter().filter(|listener| listener.accepted()) {
            let http3 = listener.protocol == Some(Protocol::Https) && self.gateways[listener.gateway].http3;
            let port = ListenerPort { port: listener.spec.port, transport: listener.transport(), http3 };
            ports[listener.gateway].insert(port);
        }
        self.gateways.iter().map(|gateway| gateway.name.clone()).zip(ports).collect()
    }

    /// Where the engine listens for a listener: declared address, and the address that is bound.
    pub(crate) fn sockets<'a>(
        &'a self,
        edges: &'a crate::Edges,
        listener: &'a ListenerEntry,
    ) -> impl Iterator<Item = (SocketAddr, SocketAddr, Transport)> + 'a {
        let transport = listener.transport();
        self.gateways[listener.gateway].addresses.iter().map(move |ip| {
            let declared = SocketAddr::new(*ip, listener.spec.port);
            (declared, edges.bind(declared, transport), transport)
        })
    }
}
