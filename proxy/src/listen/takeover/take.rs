//! The new process's side: asks for the sockets, serves them, says which it keeps.

use super::{
    Inherited, SOCKETS_MAX, TakeoverError,
    wire::{ASK, DONE, GIVE, VERSION, Wire},
};
use crate::listen::Listeners;
use portolan_translate::snapshot::Transport;
use rustix::io::{FdFlags, fcntl_setfd};
use std::{io, net::SocketAddr, path::Path};
use tokio::net::UnixStream;

/// Sockets of a process that still serves them. Dropped before [`Self::ready`], the old process serves on as if nobody
/// had asked.
#[derive(Debug)]
pub struct Takeover {
    wire: Wire,
    sockets: Vec<Inherited>,
    /// What the old process gave, in its order.
    given: Vec<(SocketAddr, Transport)>,
}

// === impl Takeover ===

impl Takeover {
    /// Asks the process that serves at a path.
    ///
    /// # Errors
    /// [`TakeoverError::Path`] if there is none; else see [`TakeoverError`].
    pub async fn begin(path: &Path) -> Result<Self, TakeoverError> {
        let stream = UnixStream::connect(path).await;
        let stream = stream.map_err(|source| TakeoverError::Path { path: path.to_owned(), source })?;
        let mut wire = Wire::new(stream)?;
        wire.send(&[&ASK[..], &[VERSION]].concat()).await?;
        let reply: [u8; GIVE.len() + 3] = wire.receive().await?;
        let [give @ .., theirs, high, low] = reply;
        if give != *GIVE {
            return Err(TakeoverError::Protocol("it answered something else"));
        }
        if theirs != VERSION {
            return Err(TakeoverError::Version { theirs, ours: VERSION });
        }
        let count = usize::from(u16::from_be_bytes([high, low]));
        if count > SOCKETS_MAX {
            return Err(TakeoverError::TooMany { count });
        }
        let sockets = wire.receive_sockets(count).await?;
        for socket in &sockets {
            fcntl_setfd(socket, FdFlags::CLOEXEC).map_err(io::Error::from)?;
        }
        let sockets: Vec<_> = sockets.into_iter().map(|one| Inherited::new(one.into())).collect::<io::Result<_>>()?;
        let given = sockets.iter().map(|socket| (socket.address, socket.transport)).collect();
        Ok(Self { wire, sockets, given })
    }

    /// The sockets, once; for [`Listeners::adopt`].
    pub fn sockets(&mut self) -> Vec<Inherited> {
        std::mem::take(&mut self.sockets)
    }

    /// Tells the old process that this one serves: it drains. What was inherited and not bound is closed here and left
    /// to the old process, which retires it. Returns when the path is free for a server of one's own.
    ///
    /// # Errors
    /// If the old process is gone: this one serves all the same.
    pub async fn ready(mut self, listeners: &Listeners) -> Result<(), TakeoverError> {
        self.sockets.clear();
        let is_kept = listeners.settle();
        let mut kept: Vec<u8> = self.given.iter().map(|key| u8::from(is_kept(key))).collect();
        kept.push(DONE);
        self.wire.send(&kept).await?;
        match self.wire.receive::<1>().await? {
            [DONE] => Ok(()),
            _ => Err(TakeoverError::Protocol("it did not confirm")),
        }
    }
}
