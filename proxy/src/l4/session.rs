//! One client of a UDP port: a socket of its own towards one endpoint, and the task that sends back what comes from
//! there.

use super::{
    buffers::Buffer,
    udp::{BATCH, UdpCounters},
};
use socket2::SockRef;
use std::{
    cell::Cell,
    io,
    net::{self, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
};
use tokio::{io::Interest, net::UdpSocket, task::JoinHandle};

/// A session; its task ends with it.
#[derive(Debug)]
pub(super) struct Session {
    shared: Rc<Shared>,
    answers: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    client: SocketAddr,
    endpoint: SocketAddr,
    upstream: UdpSocket,
    counters: Arc<UdpCounters>,
    /// Whether a datagram moved since this was last looked at.
    moved: Cell<bool>,
    quiet: Cell<u32>,
    broken: Cell<bool>,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was sent, or dropped and counted.
    Done,
    /// It was not sent, for the endpoint refused an earlier one.
    Refused,
}

// === impl Session ===

impl Session {
    /// Must be called where `spawn_local` works.
    pub(super) fn open(
        client: SocketAddr,
        endpoint: SocketAddr,
        listening: Rc<UdpSocket>,
        counters: Arc<UdpCounters>,
    ) -> io::Result<Self> {
        let local: IpAddr =
            if endpoint.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = net::UdpSocket::bind((local, 0))?;
        socket.connect(endpoint)?;
        socket.set_nonblocking(true)?;
        let upstream = UdpSocket::from_std(socket)?;
        let (moved, quiet, broken) = (Cell::new(true), Cell::new(0), Cell::new(false));
        let shared = Rc::new(Shared { client, endpoint, upstream, counters, moved, quiet, broken });
        let answers = tokio::task::spawn_local(shared.clone().answer(listening));
        Ok(Self { shared, answers })
    }

    pub(super) fn endpoint(&self) -> SocketAddr {
        self.shared.endpoint
    }

    pub(super) fn send(&self, datagram: &[u8]) -> Sent {
        let Shared { upstream, counters, moved, broken, .. } = &*self.shared;
        if broken.get() {
            return Sent::Refused;
        }
        moved.set(true);
        // Past the runtime, which believes that a new socket cannot be written until it has been told otherwise: the
        // first datagram of each session would be dropped.
        match SockRef::from(upstream).send(datagram) {
            Ok(_) => {
                counters.datagrams_to_upstream.add(1);
                counters.bytes_to_upstream.add(datagram.len() as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                counters.refused.add(1);
                return Sent::Refused;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => counters.dropped_busy.add(1),
            Err(_) => counters.dropped_failed.add(1),
        }
        Sent::Done
    }

    /// Counts one more look without a datagram in between; any datagram begins anew.
    pub(super) fn quiet_periods(&self) -> u32 {
        let quiet = if self.shared.moved.take() { 0 } else { self.shared.quiet.get() + 1 };
        self.shared.quiet.set(quiet);
        quiet
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.answers.abort();
    }
}

// === impl Shared ===

impl Shared {
    /// An error (an endpoint that refuses) is an event of its own: waiting to read alone would not see it.
    async fn answer(self: Rc<Self>, listening: Rc<UdpSocket>) {
        while !self.broken.get() {
            match self.upstream.ready(Interest::READABLE | Interest::ERROR).await {
                Ok(ready) => {
                    if ready.is_readable() {
                        self.answer_batch(&listening);
                    }
                    if ready.is_error() {
                        self.fail(self.upstream.take_error().ok().flatten());
                    }
                }
                Err(error) => self.fail(Some(error)),
            }
            tokio::task::yield_now().await;
        }
    }

    /// The client's next datagram begins a new session.
    fn fail(&self, error: Option<io::Error>) {
        self.broken.set(true);
        if error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            self.counters.refused.add(1);
        }
    }

    fn answer_batch(&self, listening: &UdpSocket) {
        let mut buffer = Buffer::take();
        for _ in 0..BATCH {
            match self.upstream.try_recv(&mut buffer) {
                Ok(length) => self.send_back(listening, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.fail(Some(error)),
            }
        }
    }

    fn send_back(&self, listening: &UdpSocket, datagram: &[u8]) {
        self.moved.set(true);
        match listening.try_send_to(datagram, self.client) {
            Ok(_) => {
                self.counters.datagrams_to_client.add(1);
                self.counters.bytes_to_client.add(datagram.len() as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.counters.dropped_busy.add(1),
            Err(_) => self.counters.dropped_failed.add(1),
        }
    }
}
