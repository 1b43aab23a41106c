//! Which real port a wanted port gets. Decides; what can be bound is the kernel's word, by trying.

use super::{AddressError, BoundPort};
use crate::Transport;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
};

/// How far a port below 1024 moves where it may not be bound: 80 becomes 8080, 443 becomes 8443.
const MOVE_UP: u16 = 8000;
/// Addresses tried for an owner whose port is another process's everywhere.
pub(super) const ADDRESSES_TRIED: usize = 64;

/// What the kernel says to an address and port.
pub(super) trait Probe: Send + Sync {
    /// Binds and closes again.
    fn bind(&self, address: SocketAddr, transport: Transport) -> io::Result<()>;

    fn is_taken(&self, address: IpAddr, port: u16, transport: Transport) -> bool {
        let bound = self.bind(SocketAddr::new(address, port), transport);
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }
}

/// The real one.
pub(super) struct Kernel;

impl Probe for Kernel {
    fn bind(&self, address: SocketAddr, transport: Transport) -> io::Result<()> {
        let (kind, protocol) = match transport {
            Transport::Tcp => (Type::STREAM, Protocol::TCP),
            Transport::Udp => (Type::DGRAM, Protocol::UDP),
        };
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if transport == Transport::Tcp {
            // As servers bind: connections in TIME_WAIT do not make a port taken, a listener does.
            socket.set_reuse_address(true)?;
        }
        socket.bind(&address.into())?;
        match transport {
            // macOS lets a second socket bind beside a listener, but not listen.
            Transport::Tcp => socket.listen(1),
            Transport::Udp => Ok(()),
        }
    }
}

/// The real one, where sockets come from a process before: what they are bound to can be bound.
pub(super) struct Inheriting(pub(super) BTreeSet<(SocketAddr, Transport)>);

impl Probe for Inheriting {
    fn bind(&self, address: SocketAddr, transport: Transport) -> io::Result<()> {
        if self.0.contains(&(address, transport)) { Ok(()) } else { Kernel.bind(address, transport) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotAllowed,
    Taken,
}

/// The first of these that can be bound: the port remembered, or else the one wanted; where it may not be bound, the
/// port moved up; and those that follow. `held` are ports that this process has given out.
pub(super) fn choose(
    probe: &dyn Probe,
    address: IpAddr,
    wanted: u16,
    transport: Transport,
    remembered: Option<u16>,
    held: &[u16],
) -> Result<BoundPort, AddressError> {
    let first = remembered.unwrap_or(wanted);
    let Some(refusal) = attempt(probe, address, first, transport, held)? else {
        return Ok(BoundPort { port: first, note: remembered_note(address, wanted, first, transport) });
    };
    let from = match refusal {
        Refusal::NotAllowed => first.saturating_add(MOVE_UP),
        Refusal::Taken => first.saturating_add(1),
    };
    for port in from..=u16::MAX {
        if attempt(probe, address, port, transport, held)?.is_none() {
            return Ok(BoundPort { port, note: Some(moved_note(address, wanted, port, transport, refusal)) });
        }
    }
    Err(AddressError::NoPort { address, port: wanted, transport })
}

/// Why the port cannot be bound, or `None` if it can.
fn attempt(
    probe: &dyn Probe,
    address: IpAddr,
    port: u16,
    transport: Transport,
    held: &[u16],
) -> Result<Option<Refusal>, AddressError> {
    if held.contains(&port) {
        return Ok(Some(Refusal::Taken));
    }
    let Err(error) = probe.bind(SocketAddr::new(address, port), transport) else { return Ok(None) };
    match error.kind() {
        io::ErrorKind::PermissionDenied => Ok(Some(Refusal::NotAllowed)),
        io::ErrorKind::AddrInUse => Ok(Some(Refusal::Taken)),
        _ => Err(AddressError::NotLocal { address, reason: error.to_string() }),
    }
}

fn remembered_note(address: IpAddr, wanted: u16, port: u16, transport: Transport) -> Option<String> {
    (port != wanted).then(|| format!("port {wanted}/{transport} of {address} is on port {port}, as before"))
}

fn moved_note(address: IpAddr, wanted: u16, port: u16, transport: Transport, refusal: Refusal) -> String {
    let reason = match refusal {
        Refusal::NotAllowed => "this user may not bind it",
        Refusal::Taken => "another process or listener has it",
    };
    format!("port {wanted}/{transport} of {address} is on port {port}: {reason}")
}
