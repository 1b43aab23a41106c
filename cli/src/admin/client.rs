//! Asking an admin port, from the other commands.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// Time that an admin port is given.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// What an admin port says at a path.
pub async fn get<T: DeserializeOwned>(admin: SocketAddr, path: &str) -> Result<T> {
    let asked = tokio::time::timeout(TIMEOUT, ask(admin, path)).await;
    let bytes = asked.with_context(|| format!("{admin} did not answer within {TIMEOUT:?}"))??;
    serde_json::from_slice(&bytes)
        .with_context(|| format!("{admin}{path} answered something else; is it another version?"))
}

/// What an admin port says at a path, over a connection to it that is there; `whose` it is, for people.
pub async fn get_over<T: DeserializeOwned>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    whose: &str,
    path: &str,
) -> Result<T> {
    let asked = tokio::time::timeout(TIMEOUT, ask_over(stream, path)).await;
    let bytes = asked.with_context(|| format!("{whose} did not answer within {TIMEOUT:?}"))??;
    serde_json::from_slice(&bytes).with_context(|| format!("{whose} answered something else; is it another version?"))
}

async fn ask(admin: SocketAddr, path: &str) -> Result<Bytes> {
    let stream = TcpStream::connect(admin);
    let stream = stream.await.with_context(|| format!("nothing listens on {admin}; is `portolan dev` running?"))?;
    ask_over(stream, path).await
}

async fn ask_over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, path: &str) -> Result<Bytes> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "admin").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
    if status != StatusCode::OK {
        bail!("{}", String::from_utf8_lossy(&body).trim());
    }
    Ok(body)
}

/// The admin address that is meant: the one given, or that of a running `dev`.
pub fn address(given: Option<SocketAddr>, state_dir: Option<&std::path::Path>) -> Result<SocketAddr> {
    let found = || crate::state::Running::find(state_dir).map(|running| running.admin);
    given.or_else(found).context("no running `portolan dev` was found; start one, or name its admin port with --admin")
}

/// Waits for an answer, from a command that is not asynchronous.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}
