//! Binds addresses and keeps track of what is bound. One instance per process, used by whoever applies snapshots;
//! workers hold what they listen on and never come here.

use super::{retire, takeover::Inherited};
use portolan_translate::snapshot::Transport;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

/// Connections that wait to be accepted; the kernel lowers it to its own limit (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// What is asked for as buffers of UDP sockets; the kernel lowers it to its own limit (`net.core.rmem_max`).
const UDP_BUFFER_BYTES: usize = 4 << 20;

/// A socket of ours that is just being closed by a worker keeps its address for a moment.
const CLOSING_TRIES: u32 = 20;
const CLOSING_WAIT: Duration = Duration::from_millis(1);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has it.
    #[error(
        "address in use: another process listens on {address}/{} (is another portolan running? one address serves \
         one process)", protocol(*transport)
    )]
    InUse {
        /// The address.
        address: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
    },
    /// A port below 1024, usually.
    #[error("not permitted to listen on {address}: ports below 1024 need root or the capability NET_BIND_SERVICE")]
    Forbidden {
        /// The address.
        address: SocketAddr,
    },
    /// No interface has the address.
    #[error("cannot listen on {address}: this machine does not have that address")]
    NotLocal {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// All sockets that the process listens on.
#[derive(Debug, Default)]
pub struct Listeners {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Weak, so that a socket is closed when the last worker is done with it.
    bound: BTreeMap<Key, Weak<BoundSocket>>,
    /// From the process before, until somebody binds them.
    inherited: BTreeMap<Key, Inherited>,
}

type Key = (SocketAddr, Transport);

/// A socket that is bound (and, for TCP, listens). Clones are the same socket; it closes with the last of them and of
/// the workers' duplicates.
#[derive(Clone, Debug)]
pub struct Bound(Arc<BoundSocket>);

#[derive(Debug)]
struct BoundSocket {
    address: SocketAddr,
    transport: Transport,
    socket: Socket,
    phase: AtomicU8,
}

/// Where in its life a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Connections are accepted.
    Open,
    /// No connection begins any more; those that did are still accepted.
    Retiring,
    /// Another process accepts on the same socket.
    HandedOver,
}

// === impl Listeners ===

impl Listeners {
    /// Nothing is bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes sockets of the process before; [`Self::bind`] uses them instead of new ones.
    pub fn adopt(&self, sockets: impl IntoIterator<Item = Inherited>) {
        let inherited = sockets.into_iter().map(|socket| ((socket.address, socket.transport), socket));
        self.lock().inherited.extend(inherited);
    }

    /// Listens on an address. What is bound already, even if it is being retired, is given once more, so that a port
    /// that goes and comes back loses no connection.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(&self, address: SocketAddr, transport: Transport) -> Result<Bound, BindError> {
        let key = (address, transport);
        let mut state = self.lock();
        let known = state.bound.get(&key);
        if let Some(socket) = known.and_then(Weak::upgrade) {
            let bound = Bound(socket);
            bound.reopen().map_err(|source| BindError::Other { address, source })?;
            return Ok(bound);
        }
        let closing = known.is_some();
        let socket = match state.inherited.remove(&key) {
            Some(inherited) => inherited.socket,
            None => open(address, transport, closing)?,
        };
        let bound = Bound::new(socket, address, transport)?;
        state.bound.retain(|_, socket| socket.strong_count() > 0);
        state.bound.insert((bound.address(), transport), Arc::downgrade(&bound.0));
        Ok(bound)
    }

    /// Lets no connection begin any more. The workers' [`Listener::retire`](super::Listener::retire) then serve what
    /// waits, and the last of them closes the socket. To be called before them.
    ///
    /// # Errors
    /// If the kernel refuses the filter; the socket then accepts until it is closed.
    pub fn retire(&self, bound: Bound) -> io::Result<()> {
        let _serialised = self.lock();
        bound.0.retire()
    }

    /// Drops what was inherited and bound by nobody, and tells whether an address is bound.
    #[cfg_attr(not(unix), expect(dead_code, reason = "sockets are handed over on Unix alone"))]
    pub(super) fn settle(&self) -> impl Fn(&Key) -> bool {
        let mut state = self.lock();
        state.inherited.clear();
        let bound = state.bound.clone();
        move |key| bound.get(key).is_some_and(|socket| socket.strong_count() > 0)
    }

    /// All sockets that are open.
    pub(super) fn open_sockets(&self) -> Vec<Bound> {
        let state = self.lock();
        let alive = state.bound.values().filter_map(Weak::upgrade).map(Bound);
        alive.filter(|bound| bound.phase() == Phase::Open).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the maps is one call, so they are whole even after a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Bound ===

impl Bound {
    fn new(socket: Socket, address: SocketAddr, transport: Transport) -> Result<Self, BindError> {
        let local = socket.local_addr().map_err(|source| BindError::Other { address, source })?;
        let address = local.as_socket().unwrap_or(address);
        let phase = AtomicU8::new(Phase::Open as u8);
        Ok(Self(Arc::new(BoundSocket { address, transport, socket, phase })))
    }

    /// Where it listens; the port is the one that the kernel chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// TCP or UDP.
    pub fn transport(&self) -> Transport {
        self.0.transport
    }

    /// A duplicate for one worker, within whose runtime this must be called.
    ///
    /// # Errors
    /// For UDP, or without a file descriptor left.
    pub fn listener(&self) -> io::Result<super::Listener> {
        match self.transport() {
            Transport::Tcp => super::Listener::new(self.clone()),
            Transport::Udp => Err(io::Error::new(io::ErrorKind::Unsupported, "a UDP socket accepts no connection")),
        }
    }

    /// A duplicate for UDP. All duplicates read from one queue: what arrives is read by one of them.
    ///
    /// # Errors
    /// For TCP, or without a file descriptor left.
    pub fn udp(&self) -> io::Result<UdpSocket> {
        match self.transport() {
            Transport::Udp => Ok(self.0.socket.try_clone()?.into()),
            Transport::Tcp => Err(io::Error::new(io::ErrorKind::Unsupported, "a TCP socket has no datagrams")),
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.0.socket
    }

    pub(super) fn phase(&self) -> Phase {
        match self.0.phase.load(Ordering::Acquire) {
            phase if phase == Phase::Open as u8 => Phase::Open,
            phase if phase == Phase::Retiring as u8 => Phase::Retiring,
            _ => Phase::HandedOver,
        }
    }

    /// Another process accepts on this socket from now on.
    pub(super) fn hand_over(&self) {
        self.0.phase.store(Phase::HandedOver as u8, Ordering::Release);
    }

    fn reopen(&self) -> io::Result<()> {
        if self.phase() == Phase::Retiring && self.transport() == Transport::Tcp {
            retire::admit_connections(&self.0.socket)?;
        }
        self.0.phase.store(Phase::Open as u8, Ordering::Release);
        Ok(())
    }
}

// === impl BoundSocket ===

impl BoundSocket {
    fn retire(&self) -> io::Result<()> {
        // What another process listens on must stay open for connections.
        let open = Phase::Open as u8;
        let retiring = Phase::Retiring as u8;
        let was_open = self.phase.compare_exchange(open, retiring, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if was_open && self.transport == Transport::Tcp { retire::refuse_connections(&self.socket) } else { Ok(()) }
    }
}

fn open(address: SocketAddr, transport: Transport, closing: bool) -> Result<Socket, BindError> {
    let mut tries = if closing { CLOSING_TRIES } else { 1 };
    loop {
        tries -= 1;
        match open_once(address, transport) {
            Ok(socket) => return Ok(socket),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => thread::sleep(CLOSING_WAIT),
            Err(source) => return Err(BindError::new(address, transport, source)),
        }
    }
}

fn open_once(address: SocketAddr, transport: Transport) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    match transport {
        Transport::Tcp => {
            // Allows to bind while old connections are in TIME_WAIT. On Windows it would share the address.
            #[cfg(not(windows))]
            socket.set_reuse_address(true)?;
            socket.bind(&SockAddr::from(address))?;
            socket.listen(BACKLOG)?;
        }
        Transport::Udp => {
            // Small buffers lose datagrams, nothing else: what the kernel grants must do.
            let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
            let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
            socket.bind(&SockAddr::from(address))?;
        }
    }
    Ok(socket)
}

// === impl BindError ===

impl BindError {
    fn new(address: SocketAddr, transport: Transport, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address, transport },
            io::ErrorKind::PermissionDenied => Self::Forbidden { address },
            io::ErrorKind::AddrNotAvailable => Self::NotLocal { address },
            _ => Self::Other { address, source },
        }
    }
}

fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[test]
    fn a_second_process_on_an_address_is_refused_with_a_clear_message() {
        for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Udp, "udp")] {
            let first = Listeners::new().bind(any_port(), transport).unwrap();
            let error = Listeners::new().bind(first.address(), transport).unwrap_err();
            let expected = format!("address in use: another process listens on {}/{name}", first.address());
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn an_address_of_another_machine_is_refused_with_a_clear_message() {
        let error = Listeners::new().bind("192.0.2.1:0".parse().unwrap(), Transport::Tcp).unwrap_err();
        assert!(matches!(error, BindError::NotLocal { .. }), "{error}");
    }

    #[test]
    fn what_is_bound_is_given_again_and_what_is_dropped_can_be_bound_anew() {
        let listeners = Listeners::new();
        for transport in [Transport::Tcp, Transport::Udp] {
            let first = listeners.bind(any_port(), transport).unwrap();
            let address = first.address();
            let again = listeners.bind(address, transport).unwrap();
            assert!(Arc::ptr_eq(&first.0, &again.0));
            drop((first, again));
            let anew = listeners.bind(address, transport).unwrap();
            assert_eq!(anew.address(), address);
        }
    }

    #[test]
    fn a_socket_serves_its_own_transport_alone() {
        let listeners = Listeners::new();
        let (tcp, udp) = [Transport::Tcp, Transport::Udp].map(|one| listeners.bind(any_port(), one).unwrap()).into();
        assert!(tcp.udp().is_err() && udp.listener().is_err());
        assert!(udp.udp().is_ok());
    }
}
