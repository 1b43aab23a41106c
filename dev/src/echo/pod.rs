//! One echo pod: its ports, and what may change while it runs. Ports come and go without touching the others.

use super::{Identity, connection, fail::FailCounters, raw};
use crate::{PortKey, Transport};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpSocket, UdpSocket},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections of one pod at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 16 * 1024;
const BACKLOG: u32 = 1024;

/// A pod to play.
#[derive(Clone, Debug)]
pub struct EchoSpec {
    /// Who it says it is.
    pub identity: Identity,
    /// Where it listens.
    pub address: IpAddr,
    /// What it listens on.
    pub ports: Vec<EchoPort>,
    /// Its certificate, if it shall speak TLS; whether it demands client certificates, and its ALPN, are set here.
    pub tls: Option<Arc<ServerConfig>>,
    /// Counters of `echo-fail`, shared with the other pods that shall count together.
    pub fails: FailCounters,
}

/// One port of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EchoPort {
    /// Port wanted. Where it may not be bound, or is taken, any free port is used instead.
    pub number: u16,
    /// What it speaks.
    pub protocol: EchoProtocol,
    /// Whether to try `number` at all.
    pub binding: Binding,
}

/// Which real port a pod's port gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Binding {
    /// The number in the manifest, if it can be had.
    #[default]
    Wanted,
    /// Any free port: where all pods share one address.
    Any,
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EchoProtocol {
    /// Told by the first bytes: TLS, HTTP, or raw TCP.
    Auto,
    /// HTTP/1.1 and HTTP/2, in TLS too where the pod has a certificate.
    Http,
    /// Raw TCP.
    Tcp,
    /// TLS; what is in it is told by ALPN, then by its first bytes. Without a certificate as [`Self::Auto`].
    Tls,
    /// UDP.
    Udp,
}

/// A pod that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EchoError {
    /// Neither the port wanted nor a free one could be bound.
    #[error("pod {pod}: cannot listen on {address} for port {port}: {source}")]
    Bind {
        /// Name of the pod.
        pod: String,
        /// Address.
        address: IpAddr,
        /// Port in the manifests.
        port: PortKey,
        /// Why.
        source: io::Error,
    },
}

/// A pod that runs until [`EchoPod::stop`]; dropping it ends it at once.
#[derive(Debug)]
pub struct EchoPod {
    address: IpAddr,
    shared: Arc<Shared>,
    ports: BTreeMap<PortKey, Listening>,
    /// Ends every connection when the pod is dropped.
    _kill: tokio_util::sync::DropGuard,
}

#[derive(Debug)]
struct Listening {
    port: EchoPort,
    bound: SocketAddr,
    /// Stops accepting, and lets connections finish.
    drain: CancellationToken,
}

/// What all connections of a pod share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub identity: ArcSwap<Identity>,
    pub tls: ArcSwapOption<ServerConfig>,
    pub fails: FailCounters,
    pub tasks: TaskTracker,
    /// Ends everything, finished or not.
    pub kill: CancellationToken,
    pub connections: Arc<Semaphore>,
}

// === impl EchoPort ===

impl EchoPort {
    /// A port that is bound as the manifest says, if it can be.
    pub fn new(number: u16, protocol: EchoProtocol) -> Self {
        Self { number, protocol, binding: Binding::Wanted }
    }

    /// The port as the manifests know it.
    pub fn key(&self) -> PortKey {
        let transport = if self.protocol == EchoProtocol::Udp { Transport::Udp } else { Transport::Tcp };
        PortKey { number: self.number, transport }
    }
}

// === impl EchoPod ===

impl EchoPod {
    /// Starts the pod. Must be called within a tokio runtime, which serves its connections.
    pub fn start(spec: EchoSpec) -> Result<Self, EchoError> {
        let kill = CancellationToken::new();
        let shared = Arc::new(Shared {
            identity: ArcSwap::from_pointee(spec.identity),
            tls: ArcSwapOption::from(spec.tls),
            fails: spec.fails,
            tasks: TaskTracker::new(),
            kill: kill.clone(),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        });
        let mut pod = Self { address: spec.address, shared, ports: BTreeMap::new(), _kill: kill.drop_guard() };
        pod.set_ports(&spec.ports, Duration::ZERO)?;
        Ok(pod)
    }

    /// Where each port really listens.
    pub fn bound(&self) -> BTreeMap<PortKey, SocketAddr> {
        self.ports.iter().map(|(key, listening)| (*key, listening.bound)).collect()
    }

    /// Requests from now on are answered by this identity.
    pub fn set_identity(&self, identity: Identity) {
        self.shared.identity.store(Arc::new(identity));
    }

    /// Connections from now on use this certificate, or none.
    pub fn set_tls(&self, tls: Option<Arc<ServerConfig>>) {
        self.shared.tls.store(tls);
    }

    /// Opens and closes ports so that these remain. A port that goes is open for `linger` yet, as others may not know,
    /// and its connections are finished gracefully. After an error the ports that could be bound are open.
    pub fn set_ports(&mut self, ports: &[EchoPort], linger: Duration) -> Result<(), EchoError> {
        let wanted: BTreeMap<PortKey, EchoPort> = ports.iter().map(|port| (port.key(), *port)).collect();
        let gone = self.ports.extract_if(.., |key, listening| wanted.get(key) != Some(&listening.port));
        for (_, listening) in gone {
            let kill = self.shared.kill.clone();
            self.shared.tasks.spawn(async move {
                let _ = kill.run_until_cancelled(tokio::time::sleep(linger)).await;
                listening.drain.cancel();
            });
        }
        for (key, port) in wanted {
            if !self.ports.contains_key(&key) {
                let listening = self.listen(port).map_err(|source| EchoError::Bind {
                    pod: self.shared.identity.load().pod.clone(),
                    address: self.address,
                    port: key,
                    source,
                })?;
                self.ports.insert(key, listening);
            }
        }
        Ok(())
    }

    /// Stops accepting, finishes what is under way (GOAWAY, `Connection: close`, WebSocket close 1001), and ends; what
    /// is not finished after `grace` is cut off.
    pub async fn stop(self, grace: Duration) {
        for listening in self.ports.values() {
            listening.drain.cancel();
        }
        self.shared.tasks.close();
        if tokio::time::timeout(grace, self.shared.tasks.wait()).await.is_err() {
            self.shared.kill.cancel();
            self.shared.tasks.wait().await;
        }
    }

    fn listen(&self, port: EchoPort) -> io::Result<Listening> {
        let drain = CancellationToken::new();
        let shared = Arc::clone(&self.shared);
        let number = if port.binding == Binding::Any { 0 } else { port.number };
        let bound = if port.protocol == EchoProtocol::Udp {
            let socket = bind(self.address, number, bind_udp)?;
            let bound = socket.local_addr()?;
            self.shared.tasks.spawn(raw::serve_udp(socket, shared, drain.clone()));
            bound
        } else {
            let listener = bind(self.address, number, bind_tcp)?;
            let bound = listener.local_addr()?;
            self.shared.tasks.spawn(connection::accept(listener, port.protocol, shared, drain.clone()));
            bound
        };
        Ok(Listening { port, bound, drain })
    }
}

/// The port wanted, or any other where that one is taken or not allowed.
fn bind<T>(address: IpAddr, number: u16, try_bind: fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match try_bind(SocketAddr::new(address, number)) {
        Err(error)
            if number != 0 && matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse) =>
        {
            try_bind(SocketAddr::new(address, 0))
        }
        bound => bound,
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<tokio::net::TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A pod that starts again must not wait for its predecessor's connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}
