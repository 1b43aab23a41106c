//! What a state directory remembers, for those who only ask: while another process has it open, or none has. Gives
//! out nothing, locks nothing.

use super::{AddressError, Layout, Owner, STATE_FILE, state::State};
use crate::Transport;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

/// The addresses and ports that were given out, as of the moment when they were read.
#[derive(Debug)]
pub struct Known(State);

// === impl Known ===

impl Known {
    /// What was saved in the state directory; `None` if nothing ever was.
    pub fn read(state_dir: &Path) -> Result<Option<Self>, AddressError> {
        Ok(State::read(&state_dir.join(STATE_FILE))?.map(Self))
    }

    /// How addresses were spread last.
    pub fn layout(&self) -> Layout {
        self.0.layout
    }

    /// The owner's address. On a single address a namespace has none, as for the allocator.
    pub fn address(&self, owner: &Owner) -> Option<Ipv4Addr> {
        match (self.0.layout, owner) {
            (Layout::Loopback, _) => self.0.known_address(owner),
            (Layout::SingleAddress, Owner::Namespace(_)) => None,
            (Layout::SingleAddress, _) => Some(Ipv4Addr::LOCALHOST),
        }
    }

    /// Where the owner listens for `port`; `None` if it was never given a place. Whether it listens now is not known.
    pub fn placement(&self, owner: &Owner, port: u16, transport: Transport) -> Option<SocketAddr> {
        let address = IpAddr::V4(self.address(owner)?);
        let wanted = match self.0.layout {
            Layout::Loopback => port,
            Layout::SingleAddress => self.0.known_single_port(owner, port, transport)?,
        };
        let real = self.0.port(address, wanted, transport).unwrap_or(wanted);
        Some(SocketAddr::new(address, real))
    }
}
