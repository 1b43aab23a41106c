//! Tests of the echo servers over real sockets, with clients that are not our own.

mod grpc;
mod http;
mod stop;
mod streams;
mod tls;

use super::*;
use crate::PortKey;
use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{net::Ipv4Addr, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

const LONG: Duration = Duration::from_secs(30);
const PORT: u16 = 8080;

type Body = BoxBody<Bytes, std::convert::Infallible>;

/// A client of one connection.
enum Client {
    H1(hyper::client::conn::http1::SendRequest<Body>),
    H2(hyper::client::conn::http2::SendRequest<Body>),
}

impl Client {
    async fn h1(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self::H1(sender)
    }

    async fn h2(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io));
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        Self::H2(sender)
    }

    async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::H1(client) => {
                client.ready().await?;
                client.send_request(request).await
            }
            Self::H2(client) => {
                client.ready().await?;
                client.send_request(request).await
            }
        }
    }

    async fn get(&mut self, path: &str) -> hyper::Result<Response<Incoming>> {
        self.send(request(path).body(body("")).unwrap()).await
    }
}

fn request(path: &str) -> ::http::request::Builder {
    // HTTP/2 takes the authority from the URI; HTTP/1.1 sends it whole, which servers must accept.
    Request::builder().uri(format!("http://echo.test{path}")).header("host", "echo.test")
}

fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

async fn json(response: Response<Incoming>) -> HttpAnswer {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

async fn bytes(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn spec(protocol: EchoProtocol) -> EchoSpec {
    let port = EchoPort { binding: Binding::Any, ..EchoPort::new(PORT, protocol) };
    EchoSpec {
        identity: Identity::new("cart-0", "shop", vec!["cart-canary".into(), "cart".into()]),
        address: Ipv4Addr::LOCALHOST.into(),
        ports: vec![port],
        tls: None,
        fails: FailCounters::default(),
    }
}

fn start(protocol: EchoProtocol) -> (EchoPod, SocketAddr) {
    let pod = EchoPod::start(spec(protocol)).unwrap();
    let key = if protocol == EchoProtocol::Udp { PortKey::udp(PORT) } else { PortKey::tcp(PORT) };
    let address = pod.bound()[&key];
    (pod, address)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}
