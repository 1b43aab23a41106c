//! The client: settings shared by all its requests, and one connection at a time per session. Never prints.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use crate::answer::{Answer, Observer};
use crate::directory::{Directory, Override};
use crate::failure::{Failure, FailureKind};
use crate::http_over_tcp::HttpConnection;
use crate::http3::Http3Connection;
use crate::request::{HttpVersion, Protocol, Request};
use crate::target::{Scheme, Target};
use crate::tls::{self, ClientIdentity, TlsSetupError, Trust};
use crate::{grpc, raw, websocket};

/// A request, from connecting to the last byte, may take this long unless told otherwise.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose certificates are accepted.
    pub trust: Trust,
    /// The certificate that we present, where a server asks for one.
    pub identity: Option<ClientIdentity>,
    /// The server name to ask for, instead of the URL's host.
    pub sni: Option<String>,
    /// Where to connect, whatever the URL says.
    pub connect_to: Option<Target>,
    /// Addresses for some of the names.
    pub overrides: Vec<Override>,
    /// The namespace whose client address is used.
    pub from: Option<String>,
    /// How long one request may take, connecting included.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            identity: None,
            sni: None,
            connect_to: None,
            overrides: Vec::new(),
            from: None,
            timeout: TIMEOUT_DEFAULT,
        }
    }
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
    /// The namespace has no client address.
    #[error("no client address for namespace `{namespace}`: `portolan dev` is not running, or does not know it")]
    Namespace {
        /// The namespace as given.
        namespace: String,
    },
}

/// A client, cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) options: Arc<Options>,
    pub(crate) tls: ClientConfig,
    pub(crate) source: Option<IpAddr>,
}

// === impl Client ===

impl Client {
    /// Reads the files that `options` name, and asks the directory for CA and source address.
    pub fn new(directory: Arc<dyn Directory>, options: Options) -> Result<Self, SetupError> {
        let source = match &options.from {
            None => None,
            Some(namespace) => {
                let unknown = || SetupError::Namespace { namespace: namespace.clone() };
                Some(directory.source(namespace).ok_or_else(unknown)?)
            }
        };
        let tls = tls::config(&options.trust, directory.ca().as_deref(), options.identity.as_ref())?;
        Ok(Self { directory, options: Arc::new(options), tls, source })
    }

    /// Sends one request on a connection of its own.
    pub async fn send(&self, request: &Request) -> Result<Answer, Failure> {
        self.send_observed(request, &mut ()).await
    }

    /// Sends one request on a connection of its own, and shows the answer while it arrives.
    pub async fn send_observed(&self, request: &Request, observer: &mut dyn Observer) -> Result<Answer, Failure> {
        let mut session = self.session();
        let outcome = session.send(request, observer).await;
        session.close().await;
        outcome
    }

    /// A session: requests one after the other, on one connection as long as it lasts.
    pub fn session(&self) -> Session {
        Session { client: self.clone(), held: None, purpose: None, connections: 0 }
    }
}

/// Requests one after the other, reusing the connection where the protocol allows it.
pub struct Session {
    client: Client,
    held: Option<Held>,
    /// What `held` was opened for.
    purpose: Option<Purpose>,
    connections: u64,
}

/// What decides whether a connection can serve a request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Purpose {
    scheme: Scheme,
    host: String,
    port: u16,
    protocol: Protocol,
}

/// A connection that may serve another request.
enum Held {
    Http(HttpConnection),
    Http3(Http3Connection),
}

// === impl Session ===

impl Session {
    /// Connections opened, or tried to open, so far.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Sends one request, on the connection kept where it goes the same way. After a failure the connection is given up,
    /// and the next request opens another.
    pub async fn send(&mut self, request: &Request, observer: &mut dyn Observer) -> Result<Answer, Failure> {
        let begun = Instant::now();
        if self.purpose.as_ref().is_none_or(|purpose| !purpose.covers(request)) {
            self.close().await;
            self.purpose = Some(Purpose::of(request));
        }
        let timeout = self.client.options.timeout;
        // Taken out, so that a request that fails or is late leaves no connection behind.
        let held = self.held.take();
        let exchange = self.exchange(held, request, observer);
        match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok((mut answer, held))) => {
                self.held = held;
                answer.latency = begun.elapsed();
                Ok(answer)
            }
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(late(request, timeout)),
        }
    }

    /// Ends the connection in good order.
    pub async fn close(&mut self) {
        if let Some(Held::Http3(connection)) = self.held.take() {
            connection.close().await;
        }
    }

    async fn exchange(
        &mut self,
        held: Option<Held>,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<(Answer, Option<Held>), Failure> {
        match &request.protocol {
            Protocol::Http(HttpVersion::Http3) => {
                let mut connection = self.http3(held, request).await?;
                let answer = connection.exchange(request, observer).await?;
                Ok((answer, Some(Held::Http3(connection))))
            }
            Protocol::Http(version) => {
                let mut connection = self.http(held, request, *version).await?;
                let answer = connection.exchange(request, observer).await?;
                Ok((answer, Some(Held::Http(connection))))
            }
            Protocol::Grpc(method) => {
                let mut connection = self.http(held, request, HttpVersion::Http2).await?;
                let answer = grpc::exchange(&mut connection, request, method, observer).await?;
                Ok((answer, Some(Held::Http(connection))))
            }
            Protocol::WebSocket => self.once(websocket::exchange(&self.client.clone(), request, observer)).await,
            Protocol::Stream => self.once(raw::stream(&self.client.clone(), request, observer)).await,
            Protocol::Datagram => self.once(raw::datagram(&self.client.clone(), request, observer)).await,
        }
    }

    /// A conversation that uses up its connection.
    async fn once(
        &mut self,
        conversation: impl Future<Output = Result<Answer, Failure>>,
    ) -> Result<(Answer, Option<Held>), Failure> {
        self.connections += 1;
        Ok((conversation.await?, None))
    }

    async fn http(
        &mut self,
        held: Option<Held>,
        request: &Request,
        version: HttpVersion,
    ) -> Result<HttpConnection, Failure> {
        if let Some(Held::Http(mut connection)) = held
            && connection.is_reusable().await
        {
            return Ok(connection);
        }
        self.connections += 1;
        HttpConnection::open(&self.client, &request.target, version).await
    }

    async fn http3(&mut self, held: Option<Held>, request: &Request) -> Result<Http3Connection, Failure> {
        if let Some(Held::Http3(connection)) = held
            && connection.is_reusable()
        {
            return Ok(connection);
        }
        self.connections += 1;
        Http3Connection::open(&self.client, &request.target).await
    }
}

// === impl Purpose ===

impl Purpose {
    fn of(request: &Request) -> Self {
        let target = &request.target;
        Self {
            scheme: target.scheme(),
            host: target.host().to_owned(),
            port: target.port(),
            protocol: request.protocol.clone(),
        }
    }

    fn covers(&self, request: &Request) -> bool {
        let target = &request.target;
        self.host == target.host()
            && (self.scheme, self.port) == (target.scheme(), target.port())
            && self.protocol == request.protocol
    }
}

fn late(request: &Request, timeout: Duration) -> Failure {
    let attempt = format!("get an answer from {}", request.target);
    let failure = Failure::new(FailureKind::Timeout, attempt, format!("nothing complete within {timeout:?}"));
    match request.protocol {
        Protocol::Http(HttpVersion::Http3) => failure.with_hint(crate::connect::NO_QUIC),
        Protocol::Datagram => failure.with_hint("UDP tells nobody when nothing listens: check address and port"),
        _ => failure.with_hint("a backend may hang: `portolan explain METHOD URL` names it; --timeout waits longer"),
    }
}
