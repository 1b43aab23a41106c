//! A backend in the test's own process: keeps what it was sent, and answers or is silent. Judges nothing.

use super::eventually;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
    /// What TLS was told of the server's name.
    pub server_name: Option<String>,
    /// Whether the client showed a certificate.
    pub client_certificate: bool,
}

/// A backend that runs as long as the test's runtime.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// What it does with requests.
#[derive(Clone)]
struct Manner {
    tls: Option<Arc<ServerConfig>>,
    silent: bool,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Backend {
    /// Answers `ok`.
    pub async fn start() -> Self {
        Self::run(None, false).await
    }

    /// Keeps requests and never answers.
    pub async fn silent() -> Self {
        Self::run(None, true).await
    }

    /// Answers `ok` over TLS.
    pub async fn tls(config: Arc<ServerConfig>) -> Self {
        Self::run(Some(config), false).await
    }

    async fn run(tls: Option<Arc<ServerConfig>>, silent: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let manner = Manner { tls, silent, seen: seen.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(manner.clone().connection(stream));
            }
        });
        Self { address, seen }
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many requests came.
    pub async fn received(&self, count: usize) {
        eventually("requests at the backend", || async { (self.seen().len() >= count).then_some(()) }).await;
    }
}

impl Manner {
    async fn connection(self, stream: TcpStream) {
        let Some(tls) = self.tls.clone() else { return self.http(stream, None, false).await };
        let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await else { return };
        let session = stream.get_ref().1;
        let (name, certificate) = (session.server_name().map(str::to_owned), session.peer_certificates().is_some());
        self.http(stream, name, certificate).await;
    }

    async fn http<S>(self, stream: S, server_name: Option<String>, client_certificate: bool)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(move |request| self.clone().answer(request, server_name.clone(), client_certificate));
        // The proxy may close whenever it likes.
        let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        server_name: Option<String>,
        client_certificate: bool,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let seen = Seen {
            method: head.method,
            target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            server_name,
            client_certificate,
        };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        if self.silent {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(Full::new(Bytes::from_static(b"ok"))))
    }
}
