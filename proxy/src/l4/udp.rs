//! A UDP port: datagrams of one client go to one endpoint for as long as they keep coming, and the answers come from
//! the address that the client wrote to. It never waits with a datagram: what cannot be sent is dropped and counted.

use super::{
    buffers::Buffer,
    count::Count,
    session::{Sent, Session},
};
use hashbrown::HashMap;
use std::{
    cell::Cell,
    io,
    net::{self, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::Notify,
    time::{Instant, MissedTickBehavior},
};

/// Datagrams that are read at once before others have their turn.
pub(super) const BATCH: usize = 64;

/// Looks at each session per idle time; a session ends after the idle time and at most one part of it more.
const IDLE_CHECKS: u32 = 4;

/// After a stop, sessions go on to answer until none did for this time.
const DRAIN_QUIET: Duration = Duration::from_secs(1);

/// Where datagrams go.
pub trait PickEndpoint {
    /// The endpoint for a client's new session; `None` drops the datagram.
    fn pick(&self, client: SocketAddr) -> Option<SocketAddr>;

    /// Whether sessions may stay with an endpoint; asked when endpoints have changed.
    fn may_stay(&self, endpoint: SocketAddr) -> bool;
}

/// Limits of a port.
#[derive(Clone, Copy, Debug)]
pub struct UdpSettings {
    /// Time without a datagram in either direction after which a session ends.
    pub idle: Duration,
    /// Sessions at once; a datagram that would need one more is dropped.
    pub sessions_max: usize,
    /// Time that sessions have to answer after a stop.
    pub drain: Duration,
}

/// What a port has done.
#[derive(Debug, Default)]
pub struct UdpCounters {
    /// Sessions that are open.
    pub sessions: Count,
    /// Sessions that were opened.
    pub sessions_opened: Count,
    /// Datagrams from clients that were sent to an endpoint.
    pub datagrams_to_upstream: Count,
    /// Their bytes.
    pub bytes_to_upstream: Count,
    /// Datagrams from endpoints that were sent to a client.
    pub datagrams_to_client: Count,
    /// Their bytes.
    pub bytes_to_client: Count,
    /// Datagrams without an endpoint.
    pub dropped_no_endpoint: Count,
    /// Datagrams beyond `sessions_max`.
    pub dropped_sessions_max: Count,
    /// Datagrams that the kernel did not take at once, in either direction.
    pub dropped_busy: Count,
    /// Datagrams that could not be sent for other reasons, in either direction.
    pub dropped_failed: Count,
    /// Endpoints that said that nobody listens (ICMP); their session ends.
    pub refused: Count,
}

/// A port that is served by one worker.
#[derive(Debug)]
pub struct UdpPort<P> {
    socket: Rc<UdpSocket>,
    picker: P,
    settings: UdpSettings,
    sessions: HashMap<SocketAddr, Session>,
    counters: Arc<UdpCounters>,
    control: UdpControl,
}

/// Steers a port that runs, on the same thread.
#[derive(Clone, Debug, Default)]
pub struct UdpControl(Rc<Signals>);

#[derive(Debug, Default)]
struct Signals {
    notify: Notify,
    changed: Cell<bool>,
    stopped: Cell<bool>,
}

// === impl UdpControl ===

impl UdpControl {
    /// Sessions whose endpoint may not keep them end; their clients' next datagrams are picked an endpoint anew.
    pub fn endpoints_changed(&self) {
        self.0.changed.set(true);
        self.0.notify.notify_one();
    }

    /// Reads no datagram from clients any more, lets sessions answer until they fall silent, then ends.
    pub fn stop(&self) {
        self.0.stopped.set(true);
        self.0.notify.notify_one();
    }
}

// === impl UdpPort ===

impl<P: PickEndpoint> UdpPort<P> {
    /// A port on a socket that is bound. Must be called within a runtime.
    ///
    /// # Errors
    /// If the runtime cannot watch the socket.
    pub fn new(
        socket: net::UdpSocket,
        picker: P,
        settings: UdpSettings,
        counters: Arc<UdpCounters>,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Rc::new(UdpSocket::from_std(socket)?);
        Ok(Self { socket, picker, settings, sessions: HashMap::new(), counters, control: UdpControl::default() })
    }

    /// To steer it while it runs.
    pub fn control(&self) -> UdpControl {
        self.control.clone()
    }

    /// Serves until stopped. Must be called where `spawn_local` works: each session answers in a task of its own.
    pub async fn run(mut self) {
        let mut sweep = tokio::time::interval(self.settings.idle / IDLE_CHECKS);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (socket, signals) = (self.socket.clone(), self.control.0.clone());
        while !signals.stopped.get() {
            tokio::select! {
                () = signals.notify.notified() => {
                    if signals.changed.take() {
                        self.sessions.retain(|_, session| self.picker.may_stay(session.endpoint()));
                    }
                }
                _ = sweep.tick() => self.sessions.retain(|_, session| session.quiet_periods() <= IDLE_CHECKS),
                _ = socket.readable() => self.read_batch().await,
            }
            self.counters.sessions.set(self.sessions.len() as u64);
        }
        self.drain().await;
        self.counters.sessions.set(0);
    }

    async fn read_batch(&mut self) {
        let mut buffer = Buffer::take();
        for _ in 0..BATCH {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((length, client)) => self.forward(client, &buffer[..length]),
                // Errors are those of answers to clients that are gone; the next call is past them.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
        drop(buffer);
        tokio::task::yield_now().await;
    }

    fn forward(&mut self, client: SocketAddr, datagram: &[u8]) {
        if let Some(session) = self.sessions.get(&client) {
            match session.send(datagram) {
                Sent::Done => return,
                // The endpoint is gone, it seems: this datagram begins a new session.
                Sent::Refused => drop(self.sessions.remove(&client)),
            }
        }
        if let Some(session) = self.open_session(client) {
            session.send(datagram);
            self.sessions.insert(client, session);
        }
    }

    fn open_session(&self, client: SocketAddr) -> Option<Session> {
        if self.sessions.len() >= self.settings.sessions_max {
            self.counters.dropped_sessions_max.add(1);
            return None;
        }
        let Some(endpoint) = self.picker.pick(client) else {
            self.counters.dropped_no_endpoint.add(1);
            return None;
        };
        match Session::open(client, endpoint, self.socket.clone(), self.counters.clone()) {
            Ok(session) => {
                self.counters.sessions_opened.add(1);
                Some(session)
            }
            Err(error) => {
                tracing::debug!(%client, %endpoint, %error, "no UDP session");
                self.counters.dropped_failed.add(1);
                None
            }
        }
    }

    async fn drain(&mut self) {
        let deadline = Instant::now() + self.settings.drain;
        while !self.sessions.is_empty() && Instant::now() < deadline {
            tokio::time::sleep_until(deadline.min(Instant::now() + DRAIN_QUIET)).await;
            self.sessions.retain(|_, session| session.quiet_periods() == 0);
        }
    }
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
