//! Servers and a directory for the tests.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use portolan_client::{Client, Directory, Options, Request as ClientRequest};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

#[derive(Clone, Default)]
pub struct Names {
    pub addresses: HashMap<(String, u16), SocketAddr>,
    pub sources: HashMap<String, IpAddr>,
    pub ca: Option<String>,
}

impl Names {
    pub fn one(name: &str, port: u16, address: SocketAddr) -> Self {
        Self { addresses: [((name.to_owned(), port), address)].into(), ..Self::default() }
    }

    pub fn with_ca(mut self, ca: &str) -> Self {
        self.ca = Some(ca.to_owned());
        self
    }

    pub fn client(self) -> Client {
        self.client_with(Options::default())
    }

    pub fn client_with(self, options: Options) -> Client {
        Client::new(Arc::new(self), options).unwrap()
    }
}

impl Directory for Names {
    fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr> {
        self.addresses.get(&(host.to_owned(), port)).copied()
    }

    fn source(&self, namespace: &str) -> Option<IpAddr> {
        self.sources.get(namespace).copied()
    }

    fn ca(&self) -> Option<String> {
        self.ca.clone()
    }
}

pub fn request(url: &str) -> ClientRequest {
    ClientRequest::new(url.parse().unwrap())
}

pub async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address on which nothing listens: its port is held, but not listened on, until the socket is dropped.
pub fn nobody() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A server of HTTP/1.1 and HTTP/2, inside TLS where a configuration is given.
pub async fn serve<F, R>(tls: Option<ServerConfig>, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, SocketAddr) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let (listener, address) = listener().await;
    let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let (tls, answer) = (tls.clone(), answer.clone());
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, peer, answer).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            connection(stream, peer, answer).await;
                        }
                    }
                }
            });
        }
    });
    address
}

async fn connection<S, F, R>(stream: S, peer: SocketAddr, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>, SocketAddr) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(request, peer);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

/// Answers like an echo pod: who it is and what it received.
pub async fn echo(request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let host = head.headers.get("host").map(|host| host.to_str().unwrap().to_owned());
    let answer = serde_json::json!({
        "pod": "echo-0",
        "service": "echo",
        "namespace": "shop",
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map(|path| path.as_str()),
        "host": host.or_else(|| head.uri.authority().map(ToString::to_string)),
        "version": format!("{:?}", head.version),
        "client": peer.ip().to_string(),
        "body": String::from_utf8_lossy(&body),
    });
    Response::builder().header("x-echo", "yes").body(full(answer.to_string())).unwrap()
}
