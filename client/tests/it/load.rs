//! Many requests: each is counted once, as what became of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Response;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portolan_client::{FailureKind, HttpVersion, Load, Options, Protocol, Request, run_load};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::servers::{Names, echo, full, listener, nobody, request, serve};

/// What a scripted server does with a request.
enum Act {
    Answer(&'static str),
    AnswerAndClose,
    Close,
    Reset,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\nx-config: 1\r\n\r\n{\"pod\":\"one-0\"}";
const NEWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\nx-config: 2\r\n\r\n{\"pod\":\"two-0\"}";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
const LAST: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Numbers all requests of all connections, and does with each what `script` says.
async fn scripted(script: fn(u64) -> Act) -> SocketAddr {
    let (listener, address) = listener().await;
    let next = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(play(stream, next.clone(), script));
        }
    });
    address
}

async fn play(mut stream: TcpStream, next: Arc<AtomicU64>, script: fn(u64) -> Act) {
    let mut buffer = Vec::new();
    loop {
        while !buffer.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        buffer.clear();
        match script(next.fetch_add(1, Ordering::Relaxed)) {
            Act::Answer(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
            Act::AnswerAndClose => return stream.write_all(LAST.as_bytes()).await.unwrap(),
            Act::Close => return,
            Act::Reset => {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
        }
    }
}

fn to(address: SocketAddr) -> Request {
    request(&format!("http://{address}/"))
}

#[tokio::test]
async fn every_request_is_counted_once_whatever_becomes_of_it() {
    let address = scripted(|n| match n % 10 {
        1 => Act::Answer(BUSY),
        3 => Act::Reset,
        5 => Act::Close,
        7 => Act::Answer(NEWER),
        _ => Act::Answer(OK),
    })
    .await;
    let load = Load::new(to(address), 1000, 8).by_header("x-config".parse().unwrap());
    let tally = run_load(&Names::default().client(), &load).await;
    assert_eq!((tally.requests, tally.answers, tally.failed()), (1000, 800, 200), "{tally:?}");
    assert_eq!(tally.failed_by(FailureKind::Reset), 100, "{tally:?}");
    assert_eq!(tally.failed_by(FailureKind::Closed), 100, "{tally:?}");
    assert_eq!((tally.status(200), tally.status(503), tally.unsuccessful, tally.errors), (700, 100, 100, 100));
    assert_eq!((tally.pod("one-0"), tally.pod("two-0")), (600, 100));
    assert_eq!((tally.header("1"), tally.header("2"), tally.headers[&None]), (600, 100, 100));
    assert_eq!(tally.bytes, 700 * 15);
    assert_eq!(tally.resent, 0);
    assert!(tally.connections >= 200 && tally.connections <= 208, "{}", tally.connections);
    assert_eq!(load.progress.finished(), 1000);
}

#[tokio::test]
async fn an_announced_close_costs_a_connection_and_no_request() {
    let address = scripted(|n| if n % 5 == 4 { Act::AnswerAndClose } else { Act::Answer(OK) }).await;
    let tally = run_load(&Names::default().client(), &Load::new(to(address), 500, 4)).await;
    assert_eq!((tally.failed(), tally.status(200)), (0, 500), "{tally:?}");
    assert!(tally.connections >= 100 && tally.connections <= 104, "{}", tally.connections);
}

#[tokio::test]
async fn refused_connections_are_counted_one_by_one() {
    let (_held, address) = nobody();
    let tally = run_load(&Names::default().client(), &Load::new(to(address), 300, 16)).await;
    assert_eq!((tally.answers, tally.failed_by(FailureKind::Refused)), (0, 300), "{tally:?}");
    assert!(tally.examples[&FailureKind::Refused].hint().is_some());
}

#[tokio::test]
async fn answers_that_never_come_are_counted_as_timeouts() {
    let (_silent, address) = listener().await;
    let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
    let tally = run_load(&Names::default().client_with(options), &Load::new(to(address), 20, 10)).await;
    assert_eq!((tally.answers, tally.failed_by(FailureKind::Timeout)), (0, 20), "{tally:?}");
}

/// Drains each connection after a few requests, as a server that reloads does.
async fn draining() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let served = Arc::new(AtomicU64::new(0));
                let (drain, drained) = tokio::sync::oneshot::channel();
                let drain = Arc::new(std::sync::Mutex::new(Some(drain)));
                let service = service_fn(move |_request| {
                    if served.fetch_add(1, Ordering::Relaxed) == 5 {
                        drain.lock().unwrap().take().map(|drain| drain.send(()));
                    }
                    async { Ok::<_, std::convert::Infallible>(Response::new(full("ok"))) }
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
                tokio::select! {
                    _ended = connection.as_mut() => return,
                    _ = drained => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            });
        }
    });
    address
}

#[tokio::test]
async fn http2_connections_that_drain_lose_no_request() {
    let mut asked = to(draining().await);
    asked.protocol = Protocol::Http(HttpVersion::Http2);
    let tally = run_load(&Names::default().client(), &Load::new(asked, 400, 4)).await;
    assert_eq!((tally.failed(), tally.status(200)), (0, 400), "{tally:?}");
    assert!(tally.connections > 4, "{}", tally.connections);
}

/// Refuses each stream, as a server does that has too many.
async fn refusing() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_request, mut respond))) = connection.accept().await {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn refused_streams_are_sent_again_a_bounded_number_of_times() {
    let mut asked = to(refusing().await);
    asked.protocol = Protocol::Http(HttpVersion::Http2);
    let tally = run_load(&Names::default().client(), &Load::new(asked, 1, 1)).await;
    assert_eq!((tally.failed_by(FailureKind::Reset), tally.resent, tally.connections), (1, 3, 4), "{tally:?}");
}

#[tokio::test]
async fn a_session_asked_for_another_way_opens_another_connection() {
    let address = serve(None, echo).await;
    let mut session = Names::default().client().session();
    let mut asked = to(address);
    for version in [HttpVersion::Http1, HttpVersion::Http1, HttpVersion::Http2, HttpVersion::Http2] {
        asked.protocol = Protocol::Http(version);
        session.send(&asked, &mut ()).await.unwrap();
    }
    assert_eq!(session.connections(), 2);
    asked.target = format!("http://localhost:{}/", address.port()).parse().unwrap();
    session.send(&asked, &mut ()).await.unwrap();
    assert_eq!(session.connections(), 3);
}

#[tokio::test]
async fn a_load_without_end_is_stopped_between_requests() {
    let address = serve(None, echo).await;
    let load = Load::until_stopped(to(address), 4);
    let progress = load.progress.clone();
    let client = Names::default().client();
    let running = tokio::spawn(async move { run_load(&client, &load).await });
    progress.reached(50).await;
    progress.stop();
    let tally = running.await.unwrap();
    assert!(tally.requests >= 50);
    assert_eq!((tally.requests, tally.failed()), (tally.pod("echo-0"), 0));
}
