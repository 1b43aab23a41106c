//! Ends a listening socket without resetting anybody. Closing one resets every connection that waits to be accepted,
//! and every handshake under way; so on Linux a filter first drops new SYNs, whose clients try again and are refused,
//! then what waits is accepted, and then the socket is closed.

use super::bind::{Bound, Phase};
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::Instant,
};

/// A handshake that began before the filter and has not come to its end after this time is given up.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(1);

/// Time between two looks at the queue of a socket that is being retired.
const RETIRE_POLL: Duration = Duration::from_millis(10);

/// A worker's duplicate of a listening socket.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    bound: Bound,
}

/// What emptying a queue came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    WasEmpty,
    HadConnections,
}

// === impl Listener ===

impl Listener {
    pub(super) fn new(bound: Bound) -> io::Result<Self> {
        let listener = TcpListener::from_std(bound.socket().try_clone()?.into())?;
        Ok(Self { listener, bound })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// The next connection.
    ///
    /// # Errors
    /// As `accept(2)`: most concern one connection, some the process (no file descriptor left); none ends the socket.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept().await
    }

    /// The next connection, if there is one.
    ///
    /// # Errors
    /// See [`Self::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        self.listener.poll_accept(cx)
    }

    /// Serves what is queued and what is still in its handshake, then closes the duplicate. To be called after
    /// [`Listeners::retire`](super::Listeners::retire). Ends at once when another process accepts on the socket, or
    /// when it was bound again meanwhile.
    pub async fn retire(self, mut serve: impl FnMut(TcpStream, SocketAddr)) {
        let deadline = Instant::now() + HANDSHAKE_TIME_MAX;
        while self.bound.phase() == Phase::Retiring {
            // Asked before the queue is emptied: a handshake that ends in between is in the queue by then.
            let under_way = handshakes_under_way(self.address());
            let queue = self.empty_queue(&mut serve);
            if queue == Queue::WasEmpty && (!under_way || Instant::now() >= deadline) {
                return;
            }
            tokio::time::sleep(RETIRE_POLL).await;
        }
    }

    /// Asks the kernel itself: tokio says "nothing" too when a task's budget is used up.
    fn empty_queue(&self, serve: &mut impl FnMut(TcpStream, SocketAddr)) -> Queue {
        let mut queue = Queue::WasEmpty;
        loop {
            match self.accept_queued() {
                Ok((stream, peer)) => serve(stream, peer),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return queue,
                Err(error) if is_of_one_connection(&error) => {}
                // No file descriptor is left, for instance: later there may be.
                Err(_) => return Queue::HadConnections,
            }
            queue = Queue::HadConnections;
        }
    }

    fn accept_queued(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, peer) = self.bound.socket().accept()?;
        socket.set_nonblocking(true)?;
        let peer = peer.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok((TcpStream::from_std(socket.into())?, peer))
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, InvalidData};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | InvalidData)
}

/// Whether connections to an address are in their handshake. Where the kernel does not tell, they are believed to be.
/// Those that the kernel keeps in cookies alone (in a SYN flood) are not seen.
#[cfg(target_os = "linux")]
fn handshakes_under_way(address: SocketAddr) -> bool {
    super::handshakes::count(address).map_or(true, |count| count > 0)
}

/// There is no filter here: connections would begin for as long as one waited.
#[cfg(not(target_os = "linux"))]
fn handshakes_under_way(_address: SocketAddr) -> bool {
    false
}

/// Lets no connection begin. Sockets accepted from now on inherit the filter, which passes all that they ever get.
#[cfg(target_os = "linux")]
pub(super) fn refuse_connections(socket: &socket2::Socket) -> io::Result<()> {
    use socket2::SockFilter;
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_OR_ACK: u32 = 0x12;
    // Classic BPF; a socket filter of TCP sees the packet from its TCP header on.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    socket.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(AND, 0, 0, SYN_OR_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Lets connections begin again.
#[cfg(target_os = "linux")]
pub(super) fn admit_connections(socket: &socket2::Socket) -> io::Result<()> {
    match socket.detach_filter() {
        // The kernel had refused the filter.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Without filters: what arrives while the queue is emptied is served too.
#[cfg(not(target_os = "linux"))]
pub(super) fn refuse_connections(_socket: &socket2::Socket) -> io::Result<()> {
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn admit_connections(_socket: &socket2::Socket) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
#[path = "retire_tests.rs"]
mod tests;
