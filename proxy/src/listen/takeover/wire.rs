//! The messages of a takeover, version 1, over a stream socket:
//!
//! 1. new → old: `ASK`, version.
//! 2. old → new: `GIVE`, version, number of sockets (u16, big endian), then that many zero bytes, which carry the
//!    sockets (`SCM_RIGHTS`).
//! 3. new → old: one byte per socket, 1 if it is kept, then `DONE`.
//! 4. old → new: `DONE`.

use super::{MESSAGE_TIME_MAX, TakeoverError};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::UnixStream,
};

pub(super) const VERSION: u8 = 1;
pub(super) const ASK: &[u8; 8] = b"PTLN-ASK";
pub(super) const GIVE: &[u8; 8] = b"PTLNGIVE";
pub(super) const DONE: u8 = b'D';

/// Sockets per `sendmsg`; the kernel allows 253.
const SOCKETS_PER_MESSAGE: usize = 64;

/// One end of a takeover.
#[derive(Debug)]
pub(super) struct Wire(UnixStream);

// === impl Wire ===

impl Wire {
    /// Refuses the processes of other users, whoever could reach the path.
    pub(super) fn new(stream: UnixStream) -> Result<Self, TakeoverError> {
        let uid = stream.peer_cred()?.uid();
        if uid == rustix::process::geteuid().as_raw() { Ok(Self(stream)) } else { Err(TakeoverError::Stranger { uid }) }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), TakeoverError> {
        in_time(MESSAGE_TIME_MAX, "read", async { Ok(self.0.write_all(bytes).await?) }).await
    }

    pub(super) async fn receive<const N: usize>(&mut self) -> Result<[u8; N], TakeoverError> {
        let mut bytes = [0; N];
        self.receive_into(&mut bytes, MESSAGE_TIME_MAX).await?;
        Ok(bytes)
    }

    pub(super) async fn receive_into(&mut self, bytes: &mut [u8], time: Duration) -> Result<(), TakeoverError> {
        in_time(time, "answer", async { Ok(self.0.read_exact(bytes).await.map(drop)?) }).await
    }

    pub(super) async fn send_sockets(&mut self, sockets: &[BorrowedFd<'_>]) -> Result<(), TakeoverError> {
        for batch in sockets.chunks(SOCKETS_PER_MESSAGE) {
            let attempt = self.0.async_io(Interest::WRITABLE, || send_batch(&self.0, batch));
            let sent = in_time(MESSAGE_TIME_MAX, "read", async { Ok(attempt.await?) }).await?;
            // The sockets go with the first byte; the rest of the bytes only keeps count.
            self.send(&vec![0; batch.len() - sent]).await?;
        }
        Ok(())
    }

    pub(super) async fn receive_sockets(&mut self, count: usize) -> Result<Vec<OwnedFd>, TakeoverError> {
        let mut sockets = Vec::with_capacity(count);
        let mut bytes = 0;
        while bytes < count {
            let attempt = self.0.async_io(Interest::READABLE, || receive_batch(&self.0, count - bytes, &mut sockets));
            match in_time(MESSAGE_TIME_MAX, "send its sockets", async { Ok(attempt.await?) }).await? {
                0 => return Err(TakeoverError::Protocol("it closed amid its sockets")),
                more => bytes += more,
            }
        }
        if sockets.len() == count { Ok(sockets) } else { Err(TakeoverError::Protocol("a socket is missing")) }
    }
}

async fn in_time<T>(
    time: Duration,
    what: &'static str,
    work: impl Future<Output = Result<T, TakeoverError>>,
) -> Result<T, TakeoverError> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(TakeoverError::Late(what)))
}

fn send_batch(stream: &UnixStream, batch: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(batch)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let bytes = [0; SOCKETS_PER_MESSAGE];
    Ok(sendmsg(stream.as_fd(), &[IoSlice::new(&bytes[..batch.len()])], &mut control, SendFlags::empty())?)
}

fn receive_batch(stream: &UnixStream, bytes_max: usize, sockets: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_PER_MESSAGE))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; SOCKETS_PER_MESSAGE];
    let room = bytes_max.min(SOCKETS_PER_MESSAGE);
    let message = recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut bytes[..room])], &mut control, receive_flags())?;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            sockets.extend(received);
        }
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "more sockets than announced, or no descriptor left"));
    }
    Ok(message.bytes)
}

#[cfg(target_os = "linux")]
fn receive_flags() -> RecvFlags {
    RecvFlags::CMSG_CLOEXEC
}

/// Commands that the process runs inherit the descriptors for the moment until `Takeover` marks them.
#[cfg(not(target_os = "linux"))]
fn receive_flags() -> RecvFlags {
    RecvFlags::empty()
}
