//! A backend that echoes, waits, sends without end, or breaks off.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use portolan_translate::snapshot::BackendProtocol;
use std::{
    cell::Cell,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::Notify};

type Body = Pin<Box<dyn http_body::Body<Data = Bytes, Error = std::io::Error>>>;

/// What the backend was asked.
#[derive(Default)]
pub struct BackendServer {
    pub arrived: Notify,
    pub go_on: Notify,
    pub given_up: Notify,
    pub sent: Cell<usize>,
}

// === impl BackendServer ===

impl BackendServer {
    /// Listens for one version of HTTP.
    pub async fn listen(self: Rc<Self>, protocol: BackendProtocol) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, stream) = (self.clone(), TokioIo::new(stream));
                tokio::task::spawn_local(async move {
                    let service = service_fn(|request| server.clone().answer(request));
                    let _ = match protocol {
                        BackendProtocol::Http2 => http2::Builder::new(Local).serve_connection(stream, service).await,
                        _ => http1::Builder::new().serve_connection(stream, service).await,
                    };
                    server.given_up.notify_one();
                });
            }
        });
        address
    }

    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        self.arrived.notify_one();
        let response = match request.uri().path() {
            "/slow" => {
                self.go_on.notified().await;
                Response::new(whole("at last"))
            }
            "/endless" => Response::new(self.endless()),
            "/broken" => Response::builder().header("content-length", 8).body(self.broken()).unwrap(),
            _ => echo(request).await,
        };
        Ok(response)
    }

    /// Sends a half, and when told to go on, no other.
    fn broken(self: Rc<Self>) -> Body {
        let half = stream::once(async { Ok(Frame::data(Bytes::from_static(b"half"))) });
        let server = self.clone();
        let end = stream::once(async move {
            server.go_on.notified().await;
            Err(std::io::Error::other("broken"))
        });
        Box::pin(StreamBody::new(half.chain(end)))
    }

    /// Sends for as long as somebody takes it.
    fn endless(self: Rc<Self>) -> Body {
        let sent = Arc::new(AtomicUsize::new(0));
        let counted = sent.clone();
        tokio::task::spawn_local(async move {
            loop {
                self.sent.set(counted.load(Relaxed));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        let pieces = stream::repeat_with(move || {
            sent.fetch_add(16 << 10, Relaxed);
            Ok(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))
        });
        Box::pin(StreamBody::new(pieces))
    }
}

/// Runs tasks on the test's own thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

fn whole(text: &'static str) -> Body {
    Box::pin(http_body_util::Full::from(text).map_err(|never| match never {}))
}

/// Sends back what it received, and tells what it saw in headers.
async fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        let mut response = Response::new(whole("cut off"));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let mut response = Response::builder().header("trailer", "x-sum").header("x-path", head.uri.path());
    for name in ["via", "x-forwarded-proto", "host", "cookie", "content-length", "transfer-encoding"] {
        if let Some(value) = head.headers.get(name) {
            response = response.header(format!("x-saw-{name}"), value);
        }
    }
    if let Some(value) = body.trailers().and_then(|trailers| trailers.get("x-checksum")) {
        response = response.header("x-saw-trailer", value);
    }
    let bytes = body.to_bytes();
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), sum.into())]);
    let pieces: Vec<_> = bytes.chunks(10_000).map(|piece| Ok(Frame::data(bytes.slice_ref(piece)))).collect();
    let frames = stream::iter(pieces.into_iter().chain([Ok(Frame::trailers(trailers))]));
    response.body(Box::pin(StreamBody::new(frames)) as Body).unwrap()
}
