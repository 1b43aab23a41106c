//! Names that clients may use, for `portolan request`: made when they are asked for, of what is served then.

use portolan_proxy::explain;
use portolan_translate::{
    Edges, Snapshot,
    snapshot::{ParentId, Port, PortKind},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

/// What names are made of, beside the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Addresses of Services by name.
    pub services: Arc<BTreeMap<String, IpAddr>>,
    /// Where ports were bound, and whose the addresses of clients are.
    pub edges: Arc<Edges>,
    /// The local CA.
    pub ca: Option<PathBuf>,
}

/// Names that clients may use, and where they are served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Names {
    /// Addresses of Services by name.
    pub services: Arc<BTreeMap<String, IpAddr>>,
    /// Listeners by host name (`*.` for wildcards, `""` for any): declared port → where it is bound.
    pub listeners: Vec<ListenerName>,
    /// Declared addresses that are bound elsewhere.
    pub moved: Vec<(SocketAddr, SocketAddr)>,
    /// Addresses from which clients of namespaces connect.
    pub clients: BTreeMap<String, IpAddr>,
    /// The local CA.
    pub ca: Option<PathBuf>,
}

/// A listener as clients look for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListenerName {
    /// Its host name; empty for any.
    pub hostname: String,
    /// The port of the manifest.
    pub port: u16,
    /// Where it is bound.
    pub bind: SocketAddr,
}

impl Names {
    /// The names of what a snapshot serves.
    pub fn new(snapshot: &Snapshot, known: &Known) -> Self {
        let Known { services, edges, ca } = known;
        let gateways = snapshot.ports.iter().filter(|port| matches!(port.parent, ParentId::Gateway(_)));
        let listeners = gateways.flat_map(|port| {
            hostnames(port).into_iter().map(|name| ListenerName {
                hostname: if name == "*" { String::new() } else { name },
                port: port.declared.port(),
                bind: port.bind,
            })
        });
        Self {
            services: services.clone(),
            listeners: listeners.collect(),
            moved: edges.binds.iter().map(|((declared, _), bound)| (*declared, *bound)).collect(),
            clients: edges.clients.iter().map(|(address, namespace)| (namespace.to_string(), *address)).collect(),
            ca: ca.clone(),
        }
    }
}

/// Host names under which a port serves something.
fn hostnames(port: &Port) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = explain::rules(port).map(|(_, hostname, ..)| hostname).collect();
    match &port.kind {
        PortKind::Http(http) => names.extend(http.listeners.iter().filter_map(|(name, _)| Some(name?.to_string()))),
        PortKind::Tls(tls) => names.extend(tls.listeners.iter().filter_map(|(name, _)| Some(name?.to_string()))),
        _ => {}
    }
    names
}
