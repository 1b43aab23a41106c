//! The old process's side: waits for a new process, gives it the sockets, and learns which it kept.

use super::{
    READY_TIME_MAX, SOCKETS_MAX, TakeoverError,
    wire::{ASK, DONE, GIVE, VERSION, Wire},
};
use crate::listen::Listeners;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs, io,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::net::UnixListener;

/// Takeovers that wait while one is under way.
const BACKLOG: i32 = 4;

/// Pause after a failed `accept`, so that a lack of descriptors does not turn into a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Hands the sockets to a new process of the same user that asks. Its path goes when it does.
#[derive(Debug)]
pub struct TakeoverServer {
    listener: UnixListener,
    path: PathBuf,
}

// === impl TakeoverServer ===

impl TakeoverServer {
    /// Listens at a path in the state directory, for the own user alone. What a process that was killed left there is
    /// replaced.
    ///
    /// # Errors
    /// If another process listens there, or the path cannot be used.
    pub fn bind(path: &Path) -> Result<Self, TakeoverError> {
        let failed = |source| TakeoverError::Path { path: path.to_owned(), source };
        let address = SockAddr::unix(path).map_err(failed)?;
        if probe(&address).map_err(failed)? {
            return Err(TakeoverError::AnotherRuns { path: path.to_owned() });
        }
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = listen(path, &address).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Waits until a new process has taken over. From then on, the sockets that it kept are its own: a worker's
    /// [`Listener::retire`](crate::listen::Listener::retire) ends at once. Those that it did not keep are still open
    /// here. A takeover that fails is logged, and changes nothing.
    pub async fn handed_over(self, listeners: &Listeners) {
        loop {
            match self.attempt(listeners).await {
                Ok(mut new) => {
                    // The path must be free before the new process hears that it may have it.
                    drop(self);
                    if let Err(error) = new.send(&[DONE]).await {
                        tracing::warn!(%error, "the new process took over but does not listen to this one");
                    }
                    return;
                }
                Err(error) => tracing::warn!(%error, "takeover failed; this process serves on"),
            }
        }
    }

    async fn attempt(&self, listeners: &Listeners) -> Result<Wire, TakeoverError> {
        let stream = match self.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                return Err(error.into());
            }
        };
        let mut new = Wire::new(stream)?;
        let ask: [u8; ASK.len() + 1] = new.receive().await?;
        let [asked @ .., theirs] = ask;
        if asked != *ASK {
            return Err(TakeoverError::Protocol("it asked for something else"));
        }
        let sockets = if theirs == VERSION { listeners.open_sockets() } else { Vec::new() };
        let count = sockets.len();
        let announced = u16::try_from(count).ok().filter(|_| count <= SOCKETS_MAX);
        let announced = announced.ok_or(TakeoverError::TooMany { count })?;
        new.send(&[&GIVE[..], &[VERSION], &announced.to_be_bytes()].concat()).await?;
        if theirs != VERSION {
            return Err(TakeoverError::Version { theirs, ours: VERSION });
        }
        new.send_sockets(&sockets.iter().map(|bound| bound.socket().as_fd()).collect::<Vec<_>>()).await?;
        let mut kept = vec![0; count + 1];
        new.receive_into(&mut kept, READY_TIME_MAX).await?;
        sockets.iter().zip(&kept).filter(|(_, kept)| **kept == 1).for_each(|(bound, _)| bound.hand_over());
        Ok(new)
    }
}

impl Drop for TakeoverServer {
    fn drop(&mut self) {
        // Best effort: a path that stays is replaced by the next process.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether somebody listens there; also if too many wait for it already.
fn probe(address: &SockAddr) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(address).map_err(|error| (error.kind(), error)) {
        Ok(()) | Err((io::ErrorKind::WouldBlock, _)) => Ok(true),
        Err((io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, _)) => Ok(false),
        Err((_, error)) => Err(error),
    }
}

/// The mode is set before anybody can connect.
fn listen(path: &Path, address: &SockAddr) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(address)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    UnixListener::from_std(socket.into())
}
