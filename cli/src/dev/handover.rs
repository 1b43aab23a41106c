//! One `dev` after another on the same sockets: the new one takes them over, then the old one drains.

use crate::stage::dev_transport;
use anyhow::{Context, Result};
use portolan_dev::addresses::{Allocator, Layout};
use portolan_proxy::listen::{Listeners, Takeover, TakeoverServer};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The sockets of this process, and where the next one asks for them.
pub struct Handover {
    /// All sockets.
    pub listeners: Arc<Listeners>,
    before: Option<Takeover>,
    path: PathBuf,
}

impl Handover {
    /// Begins, with the sockets of the `dev` that runs on this state directory if `take_over` says so.
    pub async fn begin(take_over: bool, state_dir: &Path, layout: Layout) -> Result<(Self, Allocator)> {
        let path = state_dir.join("takeover.sock");
        let listeners = Arc::new(Listeners::new());
        if !take_over {
            let allocator = Allocator::open(state_dir, layout)?;
            return Ok((Self { listeners, before: None, path }, allocator));
        }
        let before = Takeover::begin(&path).await;
        let mut before = before.context("no `portolan dev` on this state directory hands its sockets over")?;
        let sockets = before.sockets();
        let bound: Vec<_> = sockets.iter().map(|one| (one.address(), dev_transport(one.transport()))).collect();
        listeners.adopt(sockets);
        let allocator = Allocator::open_beside(state_dir, layout, bound)?;
        Ok((Self { listeners, before: Some(before), path }, allocator))
    }

    /// This process serves: the one before drains from now on.
    pub async fn serving(&mut self) {
        if let Some(before) = self.before.take()
            && let Err(error) = before.ready(&self.listeners).await
        {
            tracing::warn!(%error, "the process before has ended by itself");
        }
    }

    /// Completes when the next process has taken over. Where nobody can ask, never.
    pub fn taken_over_by_next(&self) -> impl Future<Output = ()> + use<> {
        let (path, listeners) = (self.path.clone(), self.listeners.clone());
        async move {
            match TakeoverServer::bind(&path) {
                Ok(server) => server.handed_over(&listeners).await,
                Err(error) => {
                    tracing::warn!(%error, "another process cannot take over from this one");
                    std::future::pending().await
                }
            }
        }
    }
}
