//! `portolan request`: a test client that knows the names, addresses and CA of a running `dev`.

use crate::admin::{Names, client};
use anyhow::Result;
use clap::Args;
use portolan_client::Directory;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

/// Sends requests.
#[derive(Args)]
pub struct Request {
    #[command(flatten)]
    request: portolan_client::RequestArgs,

    /// The admin port of the `portolan dev` whose names are used [default: the one that runs]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,

    /// The state directory of that `portolan dev`
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Sends the request. Without a running `dev` the system's names are used alone.
pub fn run(args: Request) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let names: Names = match client::address(args.admin, args.state_dir.as_deref()) {
            Ok(admin) => client::get(admin, "/names").await?,
            Err(error) if args.admin.is_some() => return Err(error),
            Err(_) => Names::default(),
        };
        Ok(portolan_client::run(args.request, Arc::new(Known(names))).await.into())
    })
}

/// Names of a running `dev`.
struct Known(Names);

impl Directory for Known {
    fn resolve(&self, host: &str, port: u16) -> Option<SocketAddr> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.moved(SocketAddr::new(address, port));
        }
        if let Some(address) = self.0.services.get(host) {
            let declared = SocketAddr::new(*address, port);
            return Some(self.moved(declared).unwrap_or(declared));
        }
        let listening = |one: &&crate::admin::ListenerName| one.port == port || one.bind.port() == port;
        let matches = |one: &&crate::admin::ListenerName| match one.hostname.strip_prefix("*.") {
            Some(suffix) => host.strip_suffix(suffix).is_some_and(|label| label.len() > 1 && label.ends_with('.')),
            None => one.hostname == host,
        };
        let candidates = || self.0.listeners.iter().filter(listening);
        candidates().find(matches).or_else(|| candidates().find(|one| one.hostname.is_empty())).map(|one| one.bind)
    }

    fn source(&self, namespace: &str) -> Option<IpAddr> {
        self.0.clients.get(namespace).copied()
    }

    fn ca(&self) -> Option<String> {
        std::fs::read_to_string(self.0.ca.as_ref()?).ok()
    }
}

impl Known {
    fn moved(&self, declared: SocketAddr) -> Option<SocketAddr> {
        self.0.moved.iter().find(|(from, _)| *from == declared).map(|(_, to)| *to)
    }
}
