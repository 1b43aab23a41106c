//! Addresses from 127.0.0.0/8 for Gateways, Services, pods and namespaces, and the ports that they get on this
//! machine: chosen once, remembered in the state directory, never moved. Binds only to find out; listens on nothing.

mod known;
mod ports;
mod state;

#[cfg(test)]
mod tests;

use crate::{
    FileError, QualifiedName, Transport,
    files::{lock_file, private_directory},
};
pub use known::Known;
use ports::{Kernel, Probe};
use serde::{Deserialize, Serialize};
use state::State;
use std::{
    collections::HashMap,
    fmt,
    fs::{File, TryLockError},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

const STATE_FILE: &str = "addresses.json";

/// How addresses are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    /// Each owner has an address of its own in 127.0.0.0/8.
    Loopback,
    /// Everything is on 127.0.0.1, each address and port pair of a cluster on a port of its own.
    SingleAddress,
}

/// Whose address it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A Gateway.
    Gateway(QualifiedName),
    /// A Service.
    Service(QualifiedName),
    /// A pod.
    Pod(QualifiedName),
    /// A namespace, as the client of consumer routes.
    Namespace(String),
}

/// Where something listens on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Address and port to bind.
    pub address: SocketAddr,
    /// What to tell the user, if it is not what the manifest says.
    pub note: Option<String>,
}

/// A port that can be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPort {
    /// The port to bind.
    pub port: u16,
    /// What to tell the user, if it is not the port wanted.
    pub note: Option<String>,
}

/// Why no address or port can be had.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// A file cannot be read or written.
    #[error("addresses: {0}")]
    File(#[from] FileError),
    /// The state file cannot be understood.
    #[error("addresses: {} is damaged ({reason}); delete it to have new addresses given out", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process uses the state directory.
    #[error(
        "addresses: another portolan uses the state directory {}; stop it, or choose another with --state-dir",
        path.display()
    )]
    InUse {
        /// The state directory.
        path: PathBuf,
    },
    /// The clusterIP wanted is another's.
    #[error("addresses: {address} is wanted by {owner}, but belongs to {holder}")]
    Taken {
        /// The address.
        address: Ipv4Addr,
        /// Who wants it.
        owner: String,
        /// Who has it.
        holder: String,
    },
    /// All addresses are given out.
    #[error("addresses: 127.0.0.0/8 is given out; delete {} to start again", path.display())]
    Exhausted {
        /// The state file.
        path: PathBuf,
    },
    /// The address is not on this machine.
    #[error(
        "addresses: {address} cannot be bound on this machine ({reason}); with --single-address everything is on 127.0.0.1"
    )]
    NotLocal {
        /// The address.
        address: IpAddr,
        /// What the system says.
        reason: String,
    },
    /// No port is left.
    #[error("addresses: {address} has no free {transport} port from {port} on")]
    NoPort {
        /// The address.
        address: IpAddr,
        /// The port wanted.
        port: u16,
        /// Its transport.
        transport: Transport,
    },
}

/// Gives out addresses and ports. One process at a time may have a state directory open; what was given out is on
/// disk after [`Allocator::save`], and at the latest when the allocator is dropped.
pub struct Allocator {
    layout: Layout,
    path: PathBuf,
    inner: Mutex<Inner>,
    probe: Box<dyn Probe>,
    /// Held as long as the allocator lives.
    _lock: File,
}

struct Inner {
    state: State,
    /// Ports given out by this process, which it may have bound since.
    held: HashMap<(IpAddr, u16, Transport), BoundPort>,
}

// === impl Layout ===

impl Layout {
    /// What this machine can do: macOS has no address but 127.0.0.1 until one is configured.
    pub fn detect() -> Self {
        match std::net::UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 2), 0)) {
            Ok(_) => Self::Loopback,
            Err(_) => Self::SingleAddress,
        }
    }
}

// === impl Owner ===

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(name) => write!(f, "Gateway {name}"),
            Self::Service(name) => write!(f, "Service {name}"),
            Self::Pod(name) => write!(f, "Pod {name}"),
            Self::Namespace(name) => write!(f, "Namespace {name}"),
        }
    }
}

// === impl Allocator ===

impl Allocator {
    /// Opens the state directory, and keeps other processes out of it.
    pub fn open(state_dir: &Path, layout: Layout) -> Result<Self, AddressError> {
        Self::open_with(state_dir, layout, Box::new(Kernel))
    }

    /// Opens a state directory that another process still has open, and whose sockets are handed to this one: what they
    /// are bound to counts as free.
    pub fn open_beside(
        state_dir: &Path,
        layout: Layout,
        inherited: impl IntoIterator<Item = (SocketAddr, Transport)>,
    ) -> Result<Self, AddressError> {
        let probe = Box::new(ports::Inheriting(inherited.into_iter().collect()));
        match Self::claim_directory(state_dir) {
            Err(AddressError::InUse { .. }) => {}
            other => return Self::open_locked(state_dir, layout, probe, other?),
        }
        // The other process gives the lock up when it ends; until then neither writes what the other does not know.
        let lock = lock_file(&state_dir.join("addresses.lock"))?;
        Self::open_locked(state_dir, layout, probe, lock)
    }

    fn open_with(state_dir: &Path, layout: Layout, probe: Box<dyn Probe>) -> Result<Self, AddressError> {
        let lock = Self::claim_directory(state_dir)?;
        Self::open_locked(state_dir, layout, probe, lock)
    }

    fn claim_directory(state_dir: &Path) -> Result<File, AddressError> {
        private_directory(state_dir)?;
        let lock = lock_file(&state_dir.join("addresses.lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AddressError::InUse { path: state_dir.to_owned() }),
            // A file system without locks (some network mounts): work on, as its owner chose it.
            Err(TryLockError::Error(error)) => tracing::warn!(%error, "the state directory cannot be locked"),
        }
        Ok(lock)
    }

    fn open_locked(state_dir: &Path, layout: Layout, probe: Box<dyn Probe>, lock: File) -> Result<Self, AddressError> {
        let path = state_dir.join("addresses.json");
        let state = State::load(&path, state_dir, layout)?;
        let inner = Mutex::new(Inner { state, held: HashMap::new() });
        Ok(Self { layout, path, inner, probe, _lock: lock })
    }

    /// How addresses are spread.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// A Gateway's address; 127.0.0.1 for the first one ever seen.
    pub fn gateway(&self, name: &QualifiedName) -> Result<Ipv4Addr, AddressError> {
        self.address(&Owner::Gateway(name.clone()))
    }

    /// A Service's address. A clusterIP in 127.0.0.0/8 is honoured, even where another was remembered; one outside of
    /// it cannot be had on this machine and is not looked at.
    pub fn service(&self, name: &QualifiedName, cluster_ip: Option<IpAddr>) -> Result<Ipv4Addr, AddressError> {
        let owner = Owner::Service(name.clone());
        match cluster_ip {
            Some(IpAddr::V4(wanted)) if wanted.is_loopback() && self.layout == Layout::Loopback => {
                self.lock().state.claim(&owner, wanted)?;
                Ok(wanted)
            }
            _ => self.address(&owner),
        }
    }

    /// A pod's address.
    pub fn pod(&self, name: &QualifiedName) -> Result<Ipv4Addr, AddressError> {
        self.address(&Owner::Pod(name.clone()))
    }

    /// The address that clients of a namespace connect from; `None` where all addresses are one, and clients of
    /// different namespaces cannot be told apart.
    pub fn namespace(&self, name: &str) -> Result<Option<Ipv4Addr>, AddressError> {
        match self.layout {
            Layout::Loopback => self.address(&Owner::Namespace(name.to_owned())).map(Some),
            Layout::SingleAddress => Ok(None),
        }
    }

    /// Where `owner` listens for `port`; ask for its address afterwards. Where another process has that very address and port, an owner whose
    /// address nobody has seen yet moves to another, which is remembered; any other moves the port.
    pub fn listen(&self, owner: &Owner, port: u16, transport: Transport) -> Result<Placement, AddressError> {
        if self.layout == Layout::SingleAddress {
            return self.listen_on_single_address(owner, port, transport);
        }
        let mut address = self.address(owner)?;
        let seen = self.lock().held.keys().any(|(ip, ..)| *ip == IpAddr::V4(address));
        if !seen && address != Ipv4Addr::LOCALHOST && self.lock().state.may_move(owner) {
            address = self.unused_address(owner, address, port, transport)?;
        }
        let bound = self.bind_port(address.into(), port, transport)?;
        Ok(Placement { address: SocketAddr::new(address.into(), bound.port), note: bound.note })
    }

    /// The port to bind for `port` of `address`: the one remembered, the port itself, or, where it may not be bound,
    /// the port 8000 above it, or the next one free. Once given out it stays until [`Allocator::release_port`], bound
    /// or not.
    pub fn bind_port(&self, address: IpAddr, port: u16, transport: Transport) -> Result<BoundPort, AddressError> {
        let mut inner = self.lock();
        if let Some(bound) = inner.held.get(&(address, port, transport)) {
            return Ok(bound.clone());
        }
        let remembered = inner.state.port(address, port, transport);
        let taken: Vec<u16> = inner.ports_held(address, transport);
        let bound = ports::choose(&*self.probe, address, port, transport, remembered, &taken)?;
        inner.state.remember_port(address, port, transport, bound.port);
        inner.held.insert((address, port, transport), bound.clone());
        Ok(bound)
    }

    /// The port is not bound any more, or could not be after all: it is tried afresh when it is wanted again.
    pub fn release_port(&self, address: IpAddr, port: u16, transport: Transport) {
        self.lock().held.remove(&(address, port, transport));
    }

    /// Writes what was given out since the last time. Call it before addresses are shown to anybody.
    pub fn save(&self) -> Result<(), AddressError> {
        self.lock().state.save(&self.path)
    }

    fn address(&self, owner: &Owner) -> Result<Ipv4Addr, AddressError> {
        if self.layout == Layout::SingleAddress {
            return Ok(Ipv4Addr::LOCALHOST);
        }
        self.lock().state.address(owner).ok_or_else(|| AddressError::Exhausted { path: self.path.clone() })
    }

    /// The owner's address, or another where this port is another process's.
    fn unused_address(
        &self,
        owner: &Owner,
        mut address: Ipv4Addr,
        port: u16,
        transport: Transport,
    ) -> Result<Ipv4Addr, AddressError> {
        for _ in 0..ports::ADDRESSES_TRIED {
            if !self.probe.is_taken(address.into(), port, transport) {
                break;
            }
            let moved = self.lock().state.move_on(owner);
            address = moved.ok_or_else(|| AddressError::Exhausted { path: self.path.clone() })?;
        }
        Ok(address)
    }

    fn listen_on_single_address(
        &self,
        owner: &Owner,
        port: u16,
        transport: Transport,
    ) -> Result<Placement, AddressError> {
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (wanted, is_first_gateway) = {
            let mut inner = self.lock();
            let first = inner.state.is_first_gateway(owner);
            // The first Gateway has its own ports, as it has 127.0.0.1 where there are more addresses.
            (if first { port } else { inner.state.single_port(owner, port, transport) }, first)
        };
        let mut bound = self.bind_port(address, wanted, transport)?;
        if !is_first_gateway || bound.port != port {
            bound.note = Some(format!("{owner} port {port}/{transport} is on {address}:{}", bound.port));
        }
        Ok(Placement { address: SocketAddr::new(address, bound.port), note: bound.note })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Allocator {
    fn drop(&mut self) {
        if let Err(error) = self.save() {
            tracing::warn!(%error, "addresses given out last are not remembered");
        }
    }
}

impl fmt::Debug for Allocator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocator").field("path", &self.path).field("layout", &self.layout).finish_non_exhaustive()
    }
}

// === impl Inner ===

impl Inner {
    fn ports_held(&self, address: IpAddr, transport: Transport) -> Vec<u16> {
        let held = self.held.iter().filter(|((ip, _, held), _)| *ip == address && *held == transport);
        held.map(|(_, bound)| bound.port).collect()
    }
}
