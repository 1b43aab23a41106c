//! HTTP/2 (RFC 9113) on the crate h2: bodies in both directions for the side of clients and that of backends, and the
//! server for clients. All streams of a client's connection run in the connection's task, and an answer that is there as
//! a whole goes out as a whole. What a request is about is decided elsewhere.

mod exchange;
mod exchanges;
mod receive;
mod send;
mod tunnel;

pub use receive::Receiving;
pub use send::{SendFault, Sending};

use crate::conn::Conn;
use bytes::Bytes;
use exchanges::Exchanges;
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::Poll,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes that a peer may send ahead on one stream.
pub const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes that a peer may send ahead on one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Serves a client's requests until its connection ends.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(conn: Rc<Conn>, io: S) {
    conn.watch.set_multiplexes();
    let leaving = Cell::new(false);
    let mut serving = pin!(serve_streams(&conn, io, &leaving));
    let ended = conn.obey(|cx, graceful| {
        leaving.set(leaving.get() || graceful);
        serving.as_mut().poll(cx)
    });
    if let Some(Err(error)) = ended.await {
        // The crate does not say what there was too much of.
        if error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) {
            conn.worker.limit_reached("h2_flood");
        }
        tracing::debug!(peer = %conn.peer, %error, "a client's connection ended");
    }
}

async fn serve_streams<S>(conn: &Rc<Conn>, io: S, leaving: &Cell<bool>) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &conn.worker.shared.limits;
    let mut builder = h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams_max)
        .max_header_list_size(limits.header_bytes_max as u32)
        .max_pending_accept_reset_streams(limits.h2_pending_resets_max)
        .max_local_error_reset_streams(Some(limits.h2_pending_resets_max))
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .enable_connect_protocol();
    let mut connection = builder.handshake::<_, Bytes>(io).await?;
    let (mut exchanges, mut told) = (Exchanges::new(), false);
    poll_fn(|cx| {
        if leaving.get() && !std::mem::replace(&mut told, true) {
            connection.graceful_shutdown();
        }
        loop {
            exchanges.poll(cx);
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    exchanges.push(exchange::serve(conn.clone(), request, respond));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
