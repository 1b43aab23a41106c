//! Carrying bytes between a client and a backend, for connections that are no HTTP, or no longer.

use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};

/// Carries bytes both ways until both sides have ended or one has failed. `from_backend` was read of the backend before.
pub async fn join<C, B>(mut client: C, mut backend: B, from_backend: BytesMut, _idle: Duration)
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    if !from_backend.is_empty() && client.write_all(&from_backend).await.is_err() {
        return;
    }
    let _ = copy_bidirectional_with_sizes(&mut client, &mut backend, 16 << 10, 16 << 10).await;
}
