//! A new process takes the listening sockets of the old over a Unix socket in the state directory: it asks, gets the
//! sockets, begins to serve, says that it is ready, and only then does the old one drain. At no moment is an address
//! not listened on. If either dies before, the old one serves on. Where there are no Unix sockets, it is refused.

#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod take;
#[cfg(unix)]
mod wire;

#[cfg(not(unix))]
pub use elsewhere::{Takeover, TakeoverServer};
#[cfg(unix)]
pub use serve::TakeoverServer;
#[cfg(unix)]
pub use take::Takeover;

use portolan_translate::snapshot::Transport;
use socket2::{Socket, Type};
use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

/// Sockets that are handed over at most.
const SOCKETS_MAX: usize = 4096;

/// Time for each message but the one that says "ready".
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(5);

/// Time that a new process has between the sockets and "ready": it reads its configuration and compiles filters.
const READY_TIME_MAX: Duration = Duration::from_secs(60);

/// Why sockets were not handed over.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// Another process hands over at that path.
    #[error("another portolan runs with this state directory ({path}): take over from it, or give this one its own")]
    AnotherRuns {
        /// The path of the Unix socket.
        path: PathBuf,
    },
    /// The Unix socket cannot be made or reached.
    #[error("{path}: {source}")]
    Path {
        /// The path of the Unix socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The process at the other end belongs to somebody else.
    #[error("the process at the other end runs as user {uid}: sockets are handed to one's own processes alone")]
    Stranger {
        /// The user.
        uid: u32,
    },
    /// The process at the other end speaks another version.
    #[error("the process at the other end speaks version {theirs} of the takeover protocol, this one {ours}")]
    Version {
        /// Of the other.
        theirs: u8,
        /// Of this process.
        ours: u8,
    },
    /// The process at the other end broke the protocol.
    #[error("the process at the other end broke the takeover protocol: {0}")]
    Protocol(&'static str),
    /// The process at the other end is silent.
    #[error("the process at the other end did not {0} in time")]
    Late(&'static str),
    /// More sockets than a takeover can carry.
    #[error("{count} sockets are open, of which a takeover carries {SOCKETS_MAX} at most")]
    TooMany {
        /// Sockets that are open.
        count: usize,
    },
    /// The system has no way to hand sockets over.
    #[error("listening sockets cannot be handed to another process on this system")]
    Unsupported,
    /// Reading or writing failed.
    #[error("handing sockets over failed: {0}")]
    Io(#[from] io::Error),
}

/// A socket of the process before.
#[derive(Debug)]
pub struct Inherited {
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    pub(super) socket: Socket,
}

// === impl Inherited ===

impl Inherited {
    /// A socket that is bound to an address; it tells itself to which, and what it is for.
    ///
    /// # Errors
    /// If it is no such socket.
    pub fn new(socket: Socket) -> io::Result<Self> {
        let address = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::InvalidInput)?;
        let transport = match socket.r#type()? {
            Type::STREAM => Transport::Tcp,
            Type::DGRAM => Transport::Udp,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        socket.set_nonblocking(true)?;
        Ok(Self { address, transport, socket })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it listens for.
    pub fn transport(&self) -> Transport {
        self.transport
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
