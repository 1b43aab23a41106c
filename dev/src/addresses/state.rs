//! What was given out, as JSON that a person can read. Knows no process and no socket.

use super::{AddressError, Layout, Owner};
use crate::{Transport, files};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

const VERSION: u32 = 1;
/// Addresses given out lie from 127.1.0.0 to 127.254.255.255: below is what people use by hand, above is broadcast.
const FIRST_BLOCK: u8 = 1;
const LAST_BLOCK: u8 = 254;
/// Where ports of a single address are given out from: below the ports that Linux gives to clients.
const SINGLE_PORTS: std::ops::Range<u16> = 20_000..32_000;

/// The state file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    /// How addresses were spread last.
    pub(super) layout: Layout,
    /// Where the search for a free address begins; differs from one state directory to another.
    base: Ipv4Addr,
    /// Address by owner.
    addresses: BTreeMap<String, Ipv4Addr>,
    /// Services whose manifest asks for their address.
    #[serde(default)]
    asked_for: BTreeMap<String, Ipv4Addr>,
    /// Real port by `address:port/transport`, where it was moved.
    ports: BTreeMap<String, u16>,
    /// Port on the single address by `owner:port/transport`.
    single_address: BTreeMap<String, u16>,
    #[serde(skip)]
    holders: HashMap<Ipv4Addr, String>,
    #[serde(skip)]
    next: u32,
    #[serde(skip)]
    is_dirty: bool,
}

// === impl State ===

impl State {
    /// The state in `path`, or a new one whose base follows from where the state directory lies.
    pub(super) fn load(path: &Path, state_dir: &Path, layout: Layout) -> Result<Self, AddressError> {
        let mut state = Self::read(path)?.unwrap_or_else(|| Self::new(base(state_dir), layout));
        if state.layout != layout {
            state.layout = layout;
            state.is_dirty = true;
        }
        Ok(state)
    }

    /// The state in `path`, if there is one.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, AddressError> {
        let corrupt = |reason: String| AddressError::Corrupt { path: path.to_owned(), reason };
        let Some(text) = files::read(path)? else { return Ok(None) };
        let mut state: Self = serde_json::from_str(&text).map_err(|error| corrupt(error.to_string()))?;
        if state.version != VERSION {
            return Err(corrupt(format!("its version is {}, not {VERSION}", state.version)));
        }
        for (owner, address) in &state.addresses {
            if !address.is_loopback() {
                return Err(corrupt(format!("{owner} has {address}, which is not in 127.0.0.0/8")));
            }
            if let Some(other) = state.holders.insert(*address, owner.clone()) {
                return Err(corrupt(format!("{owner} and {other} both have {address}")));
            }
        }
        state.next = index_of(state.base);
        Ok(Some(state))
    }

    fn new(base: Ipv4Addr, layout: Layout) -> Self {
        Self {
            version: VERSION,
            layout,
            base,
            addresses: BTreeMap::new(),
            asked_for: BTreeMap::new(),
            ports: BTreeMap::new(),
            single_address: BTreeMap::new(),
            holders: HashMap::new(),
            next: index_of(base),
            is_dirty: true,
        }
    }

    pub(super) fn save(&mut self, path: &Path) -> Result<(), AddressError> {
        if self.is_dirty {
            let mut text = serde_json::to_string_pretty(self).expect("maps keyed by text always serialise");
            text.push('\n');
            files::replace(path, &text)?;
            self.is_dirty = false;
        }
        Ok(())
    }

    /// The owner's address; `None` once all are given out.
    pub(super) fn address(&mut self, owner: &Owner) -> Option<Ipv4Addr> {
        let key = owner.to_string();
        if let Some(address) = self.addresses.get(&key) {
            return Some(*address);
        }
        let is_gateway = matches!(owner, Owner::Gateway(_));
        let address = if is_gateway && !self.holders.contains_key(&Ipv4Addr::LOCALHOST) {
            Ipv4Addr::LOCALHOST
        } else {
            self.next_free()?
        };
        self.give(key, address);
        Some(address)
    }

    /// The owner's address, if it has one.
    pub(super) fn known_address(&self, owner: &Owner) -> Option<Ipv4Addr> {
        self.addresses.get(&owner.to_string()).copied()
    }

    /// The owner's port on the single address, if it has one.
    pub(super) fn known_single_port(&self, owner: &Owner, port: u16, transport: Transport) -> Option<u16> {
        if self.known_address(owner) == Some(Ipv4Addr::LOCALHOST) {
            return Some(port);
        }
        self.single_address.get(&format!("{owner}:{port}/{transport}")).copied()
    }

    /// Gives the owner the address that it asks for.
    pub(super) fn claim(&mut self, owner: &Owner, wanted: Ipv4Addr) -> Result<(), AddressError> {
        let key = owner.to_string();
        match self.holders.get(&wanted) {
            Some(holder) if *holder != key => {
                Err(AddressError::Taken { address: wanted, owner: key, holder: holder.clone() })
            }
            _ => {
                if self.asked_for.insert(key.clone(), wanted) != Some(wanted) {
                    self.is_dirty = true;
                }
                self.give(key, wanted);
                Ok(())
            }
        }
    }

    /// Whether the address was our choice.
    pub(super) fn may_move(&self, owner: &Owner) -> bool {
        let key = owner.to_string();
        self.asked_for.get(&key).is_none_or(|asked| self.addresses.get(&key) != Some(asked))
    }

    /// Gives the owner another address.
    pub(super) fn move_on(&mut self, owner: &Owner) -> Option<Ipv4Addr> {
        let address = self.next_free()?;
        self.give(owner.to_string(), address);
        Some(address)
    }

    pub(super) fn port(&self, address: IpAddr, port: u16, transport: Transport) -> Option<u16> {
        self.ports.get(&port_key(address, port, transport)).copied()
    }

    pub(super) fn remember_port(&mut self, address: IpAddr, port: u16, transport: Transport, real: u16) {
        let key = port_key(address, port, transport);
        // What is where it should be needs no memory.
        if (real != port || self.ports.contains_key(&key)) && self.ports.insert(key, real) != Some(real) {
            self.is_dirty = true;
        }
    }

    /// Whether the owner is the first Gateway ever seen; a Gateway that asks when there is none becomes it.
    pub(super) fn is_first_gateway(&mut self, owner: &Owner) -> bool {
        if !matches!(owner, Owner::Gateway(_)) {
            return false;
        }
        let key = owner.to_string();
        if !self.holders.contains_key(&Ipv4Addr::LOCALHOST) {
            self.give(key.clone(), Ipv4Addr::LOCALHOST);
        }
        self.holders.get(&Ipv4Addr::LOCALHOST) == Some(&key)
    }

    /// The owner's port on the single address.
    pub(super) fn single_port(&mut self, owner: &Owner, port: u16, transport: Transport) -> u16 {
        let key = format!("{owner}:{port}/{transport}");
        if let Some(port) = self.single_address.get(&key) {
            return *port;
        }
        let count = u32::from(SINGLE_PORTS.end - SINGLE_PORTS.start);
        let start = (index_of(self.base) + u32::try_from(self.single_address.len()).unwrap_or(0)) % count;
        let mut real = SINGLE_PORTS.start + u16::try_from(start).unwrap_or(0);
        // At most one round; with more ports than the range holds, the binding finds the next free one.
        for _ in SINGLE_PORTS {
            if !self.single_address.values().any(|used| *used == real) {
                break;
            }
            real = if real + 1 < SINGLE_PORTS.end { real + 1 } else { SINGLE_PORTS.start };
        }
        self.single_address.insert(key, real);
        self.is_dirty = true;
        real
    }

    fn give(&mut self, key: String, address: Ipv4Addr) {
        let before = self.addresses.insert(key.clone(), address);
        if before == Some(address) {
            return;
        }
        if let Some(before) = before {
            self.holders.remove(&before);
        }
        self.holders.insert(address, key);
        self.is_dirty = true;
    }

    fn next_free(&mut self) -> Option<Ipv4Addr> {
        for _ in 0..address_count() {
            let address = address_at(self.next);
            self.next = (self.next + 1) % address_count();
            // .0 and .255 look like networks to people and to some tools.
            if !matches!(address.octets()[3], 0 | 255) && !self.holders.contains_key(&address) {
                return Some(address);
            }
        }
        None
    }
}

fn port_key(address: IpAddr, port: u16, transport: Transport) -> String {
    format!("{}/{transport}", std::net::SocketAddr::new(address, port))
}

fn address_count() -> u32 {
    u32::from(LAST_BLOCK - FIRST_BLOCK + 1) << 16
}

fn address_at(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, FIRST_BLOCK, 0, 0)) + index)
}

fn index_of(address: Ipv4Addr) -> u32 {
    u32::from(address).saturating_sub(u32::from(Ipv4Addr::new(127, FIRST_BLOCK, 0, 0))) % address_count()
}

/// A /24 that follows from where the state directory lies, so that two of them seldom meet.
fn base(state_dir: &Path) -> Ipv4Addr {
    let path = state_dir.canonicalize().unwrap_or_else(|_| state_dir.to_owned());
    let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let block = FIRST_BLOCK + hash[0] % (LAST_BLOCK - FIRST_BLOCK + 1);
    Ipv4Addr::new(127, block, hash[1], 0)
}
