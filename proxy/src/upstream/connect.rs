//! Connecting to an endpoint: TCP, then TLS where the backend speaks it, within one time-out.

use super::{
    BackendState, EndpointState, h1,
    io::{Io, Stream},
};
use crate::{
    error::{ErrorKind, RequestError},
    limits::Limits,
};
use portolan_telemetry::FlagKind;
use std::{future::Future, net::SocketAddr, pin::Pin};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// TCP.
    #[error("cannot connect to {address}: {source}")]
    Tcp {
        /// The endpoint.
        address: SocketAddr,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// TLS.
    #[error("TLS with {address} failed: {reason}")]
    Tls {
        /// The endpoint.
        address: SocketAddr,
        /// What is wrong.
        reason: String,
    },
    /// It took too long.
    #[error("connecting to {address} took longer than {limit_ms} ms (connect_timeout)")]
    Timeout {
        /// The endpoint.
        address: SocketAddr,
        /// The limit.
        limit_ms: u128,
    },
}

impl ConnectError {
    fn flag(&self) -> FlagKind {
        match self {
            Self::Tcp { .. } | Self::Timeout { .. } => FlagKind::UpstreamConnect,
            Self::Tls { .. } => FlagKind::UpstreamTls,
        }
    }
}

/// An idle connection to an endpoint that speaks HTTP/1.1, else a new one. `fresh` asks for a new one.
pub async fn http1(
    backend: &BackendState,
    endpoint: &EndpointState,
    limits: &Limits,
    fresh: bool,
) -> Result<h1::Connection, RequestError> {
    if let Some(connection) = endpoint.take_idle().filter(|_| !fresh) {
        return Ok(connection);
    }
    match connect(backend, endpoint.endpoint.address, limits).await {
        Ok(io) => Ok(h1::Connection::new(io)),
        Err(error) => Err(RequestError::new(ErrorKind::UpstreamConnect, error)),
    }
}

/// Connects to an endpoint. Boxed, since it is rare and its state would make every request's future larger.
pub fn connect<'a>(
    backend: &'a BackendState,
    address: SocketAddr,
    limits: &'a Limits,
) -> Pin<Box<dyn Future<Output = Result<Io, ConnectError>> + 'a>> {
    Box::pin(async move {
        let limit = limits.connect_timeout;
        let connected = match tokio::time::timeout(limit, connect_unlimited(backend, address)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::Timeout { address, limit_ms: limit.as_millis() }),
        };
        match connected {
            Ok(stream) => Ok(Io::new(stream, backend.metrics.connected())),
            Err(error) => {
                backend.metrics.connect_failed(error.flag());
                Err(error)
            }
        }
    })
}

async fn connect_unlimited(backend: &BackendState, address: SocketAddr) -> Result<Stream, ConnectError> {
    let tcp_error = |source| ConnectError::Tcp { address, source };
    let stream = TcpStream::connect(address).await.map_err(tcp_error)?;
    stream.set_nodelay(true).map_err(tcp_error)?;
    let Some(tls) = &backend.backend.tls else { return Ok(Stream::Tcp(stream)) };
    let tls_error = |reason: String| ConnectError::Tls { address, reason };
    let config = match backend.tls() {
        Some(Ok(config)) => config,
        Some(Err(reason)) => return Err(tls_error(reason.to_owned())),
        None => return Ok(Stream::Tcp(stream)),
    };
    let connected = TlsConnector::from(config).connect(tls.server_name.clone(), stream).await;
    connected.map(|stream| Stream::Tls(Box::new(stream))).map_err(|error| tls_error(error.to_string()))
}
