//! Opens TCP, TLS, UDP and QUIC towards a target, from the source address asked for. Never speaks a protocol.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::crypto::rustls::{HandshakeData, QuicClientConfig};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use crate::answer::{Link, TlsInfo};
use crate::client::Client;
use crate::directory;
use crate::failure::{Failure, FailureKind};
use crate::target::Target;

/// What a peer that never answers over QUIC usually means.
pub(crate) const NO_QUIC: &str = "nothing answers over QUIC (UDP) there: HTTP/3 needs an HTTPS listener on this port; \
                                  without --http3 the request goes over TCP";

/// A byte stream, inside TLS or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An open stream and what is known of it.
pub(crate) struct Connected {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) link: Link,
}

/// An open QUIC connection, with the endpoint that drives its socket.
pub(crate) struct QuicConnected {
    pub(crate) endpoint: quinn::Endpoint,
    pub(crate) connection: quinn::Connection,
    pub(crate) link: Link,
}

impl Client {
    /// A TCP connection, with TLS inside where the target's scheme asks for it, offering `alpn`.
    pub(crate) async fn stream(&self, target: &Target, alpn: &[&str]) -> Result<Connected, Failure> {
        let (stream, mut link) = self.tcp(target).await?;
        if !target.scheme().is_tls() {
            return Ok(Connected { stream: Box::new(stream), link });
        }
        let attempt = format!("start TLS with {} for {}", link.peer, self.server_name_text(target));
        let name = self.server_name(target)?;
        let connector = TlsConnector::from(Arc::new(self.tls_with(alpn)));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            Failure::from_error(attempt, &error).or_hint(|kind| match kind {
                FailureKind::Closed | FailureKind::Reset => Some(
                    "the peer ended the handshake: no TLS listener for this server name (--sni NAME), or no TLS on \
                     this port"
                        .to_owned(),
                ),
                _ => None,
            })
        })?;
        let (_, session) = stream.get_ref();
        link.tls = Some(TlsInfo {
            version: session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
            alpn: text(session.alpn_protocol()),
            certificates: owned(session.peer_certificates().unwrap_or_default()),
        });
        Ok(Connected { stream: Box::new(stream), link })
    }

    /// A connected UDP socket.
    pub(crate) async fn udp(&self, target: &Target) -> Result<(UdpSocket, Link), Failure> {
        let peer = self.addresses(target).await?[0];
        let attempt = || format!("reach {peer} over UDP");
        let open = async {
            let socket = UdpSocket::bind(self.local(peer)?).await?;
            socket.connect(peer).await?;
            let local = socket.local_addr()?;
            Ok((socket, Link { local, peer, tls: None }))
        };
        open.await.map_err(|error: io::Error| self.explained(Failure::from_error(attempt(), &error), peer))
    }

    /// A QUIC connection that speaks HTTP/3.
    pub(crate) async fn quic(&self, target: &Target) -> Result<QuicConnected, Failure> {
        let peer = self.addresses(target).await?[0];
        let attempt = || format!("connect to {peer} over QUIC for {}", self.server_name_text(target));
        let failed =
            |error: &(dyn std::error::Error + 'static)| self.explained(Failure::from_error(attempt(), error), peer);
        let config = QuicClientConfig::try_from(self.tls_with(&["h3"])).map_err(|error| failed(&error))?;
        let local = self.local(peer).map_err(|error| failed(&error))?;
        let mut endpoint = quinn::Endpoint::client(local).map_err(|error| failed(&error))?;
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(config)));
        let name = self.server_name_text(target);
        let connecting = endpoint.connect(peer, &name).map_err(|error| failed(&error))?;
        let connection = connecting.await.map_err(|error| failed(&error))?;
        let local = endpoint.local_addr().map_err(|error| failed(&error))?;
        let link = Link { local, peer, tls: Some(quic_info(&connection)) };
        Ok(QuicConnected { endpoint, connection, link })
    }

    /// Tries the addresses in turn; the last failure is the one told.
    async fn tcp(&self, target: &Target) -> Result<(TcpStream, Link), Failure> {
        let mut last = None;
        for peer in self.addresses(target).await? {
            match self.tcp_to(peer).await {
                Ok((stream, local)) => return Ok((stream, Link { local, peer, tls: None })),
                Err(error) => {
                    let failure = Failure::from_error(format!("connect to {peer}"), &error);
                    last = Some(self.explained(failure, peer));
                }
            }
        }
        Err(last.expect("a name resolves to one address at least"))
    }

    async fn tcp_to(&self, peer: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
        let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.source.is_some() {
            socket.bind(self.local(peer)?)?;
        }
        let stream = socket.connect(peer).await?;
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok((stream, local))
    }

    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, Failure> {
        let options = &self.options;
        match &options.connect_to {
            None => directory::addresses(&*self.directory, &options.overrides, target).await,
            Some(instead) => directory::addresses(&*self.directory, &options.overrides, instead).await,
        }
    }

    /// The address to bind before going to `peer`.
    fn local(&self, peer: SocketAddr) -> io::Result<SocketAddr> {
        match self.source {
            Some(source) if source.is_ipv4() == peer.is_ipv4() => Ok(SocketAddr::new(source, 0)),
            Some(_) => Err(io::ErrorKind::AddrNotAvailable.into()),
            None if peer.is_ipv4() => Ok(SocketAddr::from(([0; 4], 0))),
            None => Ok(SocketAddr::from(([0u16; 8], 0))),
        }
    }

    /// Names the likely cause and the next step of a connection that did not come about.
    fn explained(&self, failure: Failure, peer: SocketAddr) -> Failure {
        failure.or_hint(|kind| match kind {
            FailureKind::Refused => Some(format!(
                "nothing listens on {peer}: is `portolan dev` running? Its table shows the addresses that it serves"
            )),
            FailureKind::Source => self.source.map(source_hint),
            FailureKind::Unreachable | FailureKind::Timeout => {
                Some(format!("{peer} cannot be reached from here: check the address, or give --connect-to HOST:PORT"))
            }
            _ => None,
        })
    }

    fn tls_with(&self, alpn: &[&str]) -> ClientConfig {
        let mut config = self.tls.clone();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    fn server_name_text(&self, target: &Target) -> String {
        self.options.sni.clone().unwrap_or_else(|| target.host().to_owned())
    }

    fn server_name(&self, target: &Target) -> Result<ServerName<'static>, Failure> {
        let name = self.server_name_text(target);
        ServerName::try_from(name.clone()).map_err(|error| {
            Failure::new(FailureKind::Tls, format!("use `{name}` as a server name"), error.to_string())
                .with_hint("give a host name that TLS can carry: --sni NAME")
        })
    }
}

fn source_hint(source: IpAddr) -> String {
    format!("{source} is not an address of this machine that can reach the target; without --from any is used")
}

fn quic_info(connection: &quinn::Connection) -> TlsInfo {
    let handshake = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let identity = connection.peer_identity().and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    TlsInfo {
        version: "TLSv1_3".to_owned(),
        alpn: text(handshake.and_then(|data| data.protocol).as_deref()),
        certificates: identity.map(|chain| *chain).unwrap_or_default(),
    }
}

fn text(alpn: Option<&[u8]>) -> String {
    String::from_utf8_lossy(alpn.unwrap_or_default()).into_owned()
}

fn owned(chain: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
    chain.iter().map(|certificate| certificate.clone().into_owned()).collect()
}
