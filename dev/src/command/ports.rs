//! Real ports for a command, and whether it listens.

use crate::{PortKey, Transport};
use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

const ATTEMPTS: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Between attempts to connect; the later ones are for commands that compile first.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_millis(300);
const SOON_ATTEMPTS: usize = 100;

/// Ports that commands of this process were told, which they may not have bound yet.
static TOLD: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// The real ports of one run of a command.
pub(super) struct Ports {
    /// `PORT`.
    pub(super) first: u16,
    pub(super) real: BTreeMap<PortKey, u16>,
    /// Whether `PORT` is one that can be connected to.
    is_tcp: bool,
}

// === impl Ports ===

impl Ports {
    pub(super) fn choose(address: IpAddr, wanted: &[PortKey]) -> io::Result<Self> {
        let mut ports = Self { first: 0, real: BTreeMap::new(), is_tcp: true };
        for key in wanted {
            ports.real.insert(*key, free(address)?);
        }
        match wanted.first() {
            Some(first) => {
                ports.first = ports.real[first];
                ports.is_tcp = first.transport == Transport::Tcp;
            }
            None => ports.first = free(address)?,
        }
        Ok(ports)
    }

    pub(super) fn variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![("PORT".to_owned(), self.first.to_string())];
        for (key, real) in &self.real {
            let suffix = if key.transport == Transport::Udp { "_UDP" } else { "" };
            variables.push((format!("PORT_{}{suffix}", key.number), real.to_string()));
        }
        variables
    }

    /// Waits until something accepts connections to `PORT`, and tells on which address.
    pub(super) async fn accepting(&self, pod: IpAddr) -> IpAddr {
        if !self.is_tcp {
            // Nothing tells whether a UDP port is served.
            return pod;
        }
        for attempt in 0_usize.. {
            for address in candidates(pod) {
                let connect = TcpStream::connect(SocketAddr::new(address, self.first));
                if matches!(timeout(CONNECT_TIMEOUT, connect).await, Ok(Ok(_))) {
                    return address;
                }
            }
            sleep(if attempt < SOON_ATTEMPTS { SOON } else { LATER }).await;
        }
        pod
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        told.remove(&self.first);
        for port in self.real.values() {
            told.remove(port);
        }
    }
}

/// Where a command may listen: many tools know only localhost.
fn candidates(pod: IpAddr) -> [IpAddr; 3] {
    [pod, Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

/// A port that is free on every address that the command may listen on, for TCP and UDP.
fn free(pod: IpAddr) -> io::Result<u16> {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..ATTEMPTS {
        // Both are closed again when the port is chosen; nothing was connected, so it can be bound at once.
        let tcp = std::net::TcpListener::bind((pod, 0))?;
        let port = tcp.local_addr()?.port();
        let others = candidates(pod).into_iter().filter(|address| *address != pod);
        let is_free = !told.contains(&port)
            && std::net::UdpSocket::bind((pod, port)).is_ok()
            && others.into_iter().all(|address| !is_taken(address, port));
        if is_free {
            told.insert(port);
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no port is free on {pod} and localhost")))
}

/// A machine without IPv6 has nobody there.
fn is_taken(address: IpAddr, port: u16) -> bool {
    std::net::TcpListener::bind((address, port)).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}
