//! The admin port, on loopback: health, metrics, the snapshot, explanations, and the names that `dev` gave out.

pub mod client;
mod filters;
mod names;
mod view;

pub use names::{Known, ListenerName, Names};
pub use view::{Status, explained};

use crate::answers::{self, json, text, typed};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use portolan_controller::Generations;
use portolan_proxy::Shared;
use portolan_telemetry::metrics::Registry;
use portolan_translate::Statuses;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::net::TcpListener;

/// The port that is tried first.
pub const PORT: u16 = 15000;
/// Ports that are tried after it.
const PORTS_TRIED: u16 = 100;

/// What the admin port tells about.
#[derive(Clone)]
pub struct Admin {
    shared: Arc<Shared>,
    metrics: Registry,
    told: Arc<Mutex<Told>>,
    loaded: Arc<Mutex<Generations>>,
    leaving: Arc<AtomicBool>,
}

/// What may be asked for at a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    /// All, by who is on this machine.
    Local,
    /// What tells of no request, by the cluster.
    Cluster,
}

/// What the driver of the engine tells the admin port.
#[derive(Clone, Default)]
pub struct Told {
    /// Statuses of the last translation.
    pub statuses: Arc<Statuses>,
    /// What the names are made of that clients may use.
    pub known: Known,
}

impl Admin {
    /// Tells about an engine.
    pub fn new(shared: Arc<Shared>, metrics: Registry) -> Self {
        Self { shared, metrics, told: Arc::default(), loaded: Arc::default(), leaving: Arc::default() }
    }

    /// From now on tells this.
    pub fn tell(&self, told: Told) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }

    /// From now on these generations of objects are loaded.
    pub fn loaded(&self, generations: Generations) {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = generations;
    }

    /// While it is `leaving`, connections are still taken, though they are told not to stay: whoever sends some here has not
    /// heard yet that it ends.
    pub fn leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Relaxed);
    }

    fn takes_connections(&self) -> bool {
        !self.shared.is_draining() || self.leaving.load(Relaxed)
    }

    fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listens on loopback, on the usual port or one of the next, and answers in the background.
    pub async fn listen(self, wanted: Option<SocketAddr>) -> Result<SocketAddr> {
        let listener = match wanted {
            Some(address) => {
                TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} (--admin)"))?
            }
            None => first_free().await?,
        };
        let address = listener.local_addr()?;
        tokio::spawn(answers::serve(listener, move |request| self.answer(request, Audience::Local)));
        Ok(address)
    }

    /// Listens where the cluster can ask for health, metrics and generations, and answers in the background.
    pub async fn listen_read_only(self, address: SocketAddr) -> Result<()> {
        let listener = answers::listen(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address} (--read-only)"))?;
        tokio::spawn(answers::serve(listener, move |request| self.answer(request, Audience::Cluster)));
        Ok(())
    }

    fn answer(&self, request: &Request<Incoming>, audience: Audience) -> Response<Full<Bytes>> {
        let published = self.shared.published().load_full();
        match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if published.generation > 0 && self.takes_connections() => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            "/metrics" => typed(
                portolan_telemetry::metrics::PROMETHEUS_CONTENT_TYPE,
                self.metrics.prometheus() + &filters::prometheus(&self.shared.wasm),
            ),
            "/generations" => {
                json(&self.loaded.lock().unwrap_or_else(PoisonError::into_inner).clone().serving(published.generation))
            }
            _ if audience == Audience::Cluster => {
                text(StatusCode::NOT_FOUND, "there are /healthz /readyz /metrics /generations\n")
            }
            "/snapshot" => json(&view::snapshot(&published)),
            "/status" => json(&view::status(&self.shared, &self.metrics, &self.told().statuses)),
            "/statuses" => json(&self.told().statuses.objects().collect::<Vec<_>>()),
            "/names" => json(&Names::new(&published.snapshot, &self.told().known)),
            "/explain" => match view::explain(&published.snapshot, &self.told().statuses, query(request)) {
                Ok(explanation) => json(&explanation),
                Err(error) => text(StatusCode::BAD_REQUEST, &format!("{error:#}\n")),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /healthz /readyz /metrics /snapshot /status /statuses /explain /names /generations\n",
            ),
        }
    }
}

fn query(request: &Request<Incoming>) -> &str {
    request.uri().query().unwrap_or_default()
}

async fn first_free() -> Result<TcpListener> {
    let mut last = None;
    for port in PORT..PORT + PORTS_TRIED {
        match TcpListener::bind((IpAddr::V4(Ipv4Addr::LOCALHOST), port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("no port"), Into::into)).context("no free admin port from 15000 on")
}
