//! Accepts connections of a pod's TCP port and finds out what each speaks. Serves none itself.

use super::{
    answer::TlsInfo,
    http_service,
    pod::{EchoProtocol, Shared},
    raw,
    stream::{Beginning, Peeked, Resettable},
};
use futures_util::FutureExt;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Counts while a connection is idle too: longer than proxies keep theirs, so that it is they who close.
const HEADER_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a connection on which nothing comes is kept once the port is closing.
const SILENT_WHEN_CLOSING: Duration = Duration::from_millis(200);
/// Pause after `accept` failed, which it does while the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const CONCURRENT_STREAMS: u32 = 1024;

/// What the services need to know of a connection.
#[derive(Clone)]
pub(crate) struct Connection {
    pub shared: Arc<Shared>,
    pub peer: SocketAddr,
    pub tls: Option<TlsInfo>,
    /// Set to end the connection with a reset.
    pub reset: Arc<AtomicBool>,
    /// Cancelled when the port closes.
    pub drain: CancellationToken,
}

/// Accepts until `drain`, then serves what the kernel had accepted already.
pub(crate) async fn accept(
    listener: TcpListener,
    protocol: EchoProtocol,
    shared: Arc<Shared>,
    drain: CancellationToken,
) {
    let start = |stream, peer, permit| {
        let serving = serve(stream, peer, protocol, Arc::clone(&shared), drain.clone());
        let kill = shared.kill.clone();
        shared.tasks.spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            let _ = kill.run_until_cancelled(serving).await;
        });
    };
    let permit = || Arc::clone(&shared.connections).acquire_owned().map(|permit| permit.expect("never closed"));
    loop {
        let accepted = async {
            let permit = permit().await;
            (listener.accept().await, permit)
        };
        match until(&shared.kill, &drain, accepted).await {
            Some((Ok((stream, peer)), permit)) => start(stream, peer, permit),
            Some((Err(_), _)) => sleep(ACCEPT_PAUSE).await,
            None => break,
        }
    }
    // Closing the listener resets what it has queued. Asked without the runtime, which may not have heard of it yet.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        if let Ok(stream) = from_std(stream)
            && let Some(permit) = shared.kill.run_until_cancelled(permit()).await
        {
            start(stream, peer, permit);
        }
    }
}

fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// The future's result, or `None` once either token is cancelled.
async fn until<T>(kill: &CancellationToken, drain: &CancellationToken, future: impl Future<Output = T>) -> Option<T> {
    drain.run_until_cancelled(kill.run_until_cancelled(future)).await.flatten()
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    protocol: EchoProtocol,
    shared: Arc<Shared>,
    drain: CancellationToken,
) {
    // Without it small answers wait for the peer's delayed ACK; where it fails they merely wait.
    let _ = stream.set_nodelay(true);
    let connection = Connection { shared, peer, tls: None, reset: Arc::default(), drain };
    let stream = Peeked::new(Resettable::new(stream, Arc::clone(&connection.reset)));
    if let Err(error) = dispatch(stream, connection, protocol).await {
        tracing::debug!(%peer, %error, "echo connection ended");
    }
}

async fn dispatch(mut stream: Peeked<Resettable>, connection: Connection, protocol: EchoProtocol) -> io::Result<()> {
    if protocol == EchoProtocol::Tcp {
        return raw::serve_tcp(stream, connection).await;
    }
    let Some(beginning) = beginning(&mut stream, &connection.drain).await? else { return Ok(()) };
    let tls = connection.shared.tls.load_full();
    match (beginning, tls) {
        (Beginning::Tls, Some(config)) => serve_tls(stream, connection, protocol, TlsAcceptor::from(config)).await,
        (Beginning::Other, _) if protocol != EchoProtocol::Http => raw::serve_tcp(stream, connection).await,
        (Beginning::Tls, None) if protocol != EchoProtocol::Http => raw::serve_tcp(stream, connection).await,
        _ => serve_http(stream, connection).await,
    }
}

async fn serve_tls(
    stream: Peeked<Resettable>,
    mut connection: Connection,
    protocol: EchoProtocol,
    acceptor: TlsAcceptor,
) -> io::Result<()> {
    let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
    let info = TlsInfo::of(stream.get_ref().1);
    let agreed_on_http = info.alpn.is_some();
    connection.tls = Some(info);
    let mut stream = Peeked::new(stream);
    if agreed_on_http || protocol == EchoProtocol::Http {
        return serve_http(stream, connection).await;
    }
    match beginning(&mut stream, &connection.drain).await? {
        Some(Beginning::Http) => serve_http(stream, connection).await,
        Some(_) => raw::serve_tcp(stream, connection).await,
        None => Ok(()),
    }
}

/// What the client speaks; `None` if it closes, or is silent while the port closes.
async fn beginning<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut Peeked<S>,
    drain: &CancellationToken,
) -> io::Result<Option<Beginning>> {
    let closing = async {
        drain.cancelled().await;
        sleep(SILENT_WHEN_CLOSING).await;
    };
    tokio::select! {
        beginning = stream.beginning() => beginning,
        () = closing => Ok(None),
    }
}

async fn serve_http<S>(stream: S, connection: Connection) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CONCURRENT_STREAMS);
    let drain = connection.drain.clone();
    let connection = Arc::new(connection);
    let service = hyper::service::service_fn(move |request| http_service::answer(Arc::clone(&connection), request));
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // An HTTP/1.1 client may be sending a request just now, which closing would lose: it is answered with
    // `Connection: close`, and only a connection on which nothing comes for a while is closed by us.
    let closing = async {
        drain.cancelled().await;
        sleep(SILENT_WHEN_CLOSING).await;
    };
    let served = tokio::select! {
        biased;
        served = serving.as_mut() => served,
        () = closing => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    served.map_err(io::Error::other)
}
