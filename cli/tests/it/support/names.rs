//! What a running `dev` says of its names, as the test client wants to know it.

use portolan_client::Directory;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// The answer of `/names`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Names {
    pub services: BTreeMap<String, IpAddr>,
    pub moved: Vec<(SocketAddr, SocketAddr)>,
    pub clients: BTreeMap<String, IpAddr>,
    pub ca: Option<PathBuf>,
    /// Where hosts that are no Service's live: the test's Gateway.
    #[serde(skip)]
    pub gateway: Option<IpAddr>,
}

impl Names {
    /// Where an address and port of the manifests is bound.
    pub fn bound(&self, declared: SocketAddr) -> SocketAddr {
        self.moved.iter().find(|(from, _)| *from == declared).map_or(declared, |(_, to)| *to)
    }
}

impl Directory for Names {
    fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr> {
        let written = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let address = written.or_else(|| self.services.get(host).copied()).or(self.gateway)?;
        Some(self.bound(SocketAddr::new(address, port)))
    }

    fn source(&self, namespace: &str) -> Option<IpAddr> {
        self.clients.get(namespace).copied()
    }

    fn ca(&self) -> Option<String> {
        std::fs::read_to_string(self.ca.as_ref()?).ok()
    }
}
