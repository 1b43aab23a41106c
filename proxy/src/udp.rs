//! UDP ports of a worker: where datagrams go, by the snapshot in force.

use crate::{
    l4::{PickEndpoint, UdpControl, UdpCounters, UdpPort, UdpSettings},
    serve::Counted,
    upstream::BackendState,
    worker::{View, Worker},
};
use portolan_translate::snapshot::{FrontendRoutes, L4Rule, PortKind, Target, Transport};
use std::{
    io,
    net::{self, SocketAddr},
    rc::Rc,
    sync::{Arc, atomic::AtomicUsize},
};

/// A UDP port that is served.
pub struct UdpHandle {
    control: UdpControl,
}

/// Serves a UDP port in the background.
///
/// # Errors
/// If the runtime cannot watch the socket.
pub fn serve(
    worker: Rc<Worker>,
    bind: SocketAddr,
    socket: net::UdpSocket,
    connections: Arc<AtomicUsize>,
) -> io::Result<UdpHandle> {
    let limits = &worker.shared.limits;
    let settings = UdpSettings {
        idle: limits.udp_idle_timeout,
        sessions_max: limits.udp_sessions_max,
        drain: limits.drain_timeout,
    };
    let counters = Arc::new(UdpCounters::default());
    let picker = Picker { worker: worker.clone(), bind };
    let port = UdpPort::new(socket, picker, settings, counters.clone())?;
    let control = port.control();
    tokio::task::spawn_local(async move {
        let counted = Counted::new(Rc::default(), connections);
        let mut told = Told::default();
        let mut running = std::pin::pin!(port.run());
        let mut every = tokio::time::interval(std::time::Duration::from_secs(1));
        loop {
            tokio::select! {
                () = &mut running => break,
                _ = every.tick() => told.tell(&worker, &counters),
            }
        }
        told.tell(&worker, &counters);
        drop(counted);
    });
    Ok(UdpHandle { control })
}

impl UdpHandle {
    /// Ends once sessions have fallen silent.
    pub fn stop(&self) {
        self.control.stop();
    }

    /// Sessions whose endpoint has gone are given another.
    pub fn endpoints_changed(&self) {
        self.control.endpoints_changed();
    }
}

/// What metrics were told already.
#[derive(Default)]
struct Told {
    sessions_max: u64,
    no_endpoint: u64,
}

impl Told {
    fn tell(&mut self, worker: &Worker, counters: &UdpCounters) {
        let told = |before: &mut u64, now: u64, limit| {
            (*before..now).for_each(|_| worker.limit_reached(limit));
            *before = now;
        };
        told(&mut self.sessions_max, counters.dropped_sessions_max.get(), "udp_sessions_max");
        told(&mut self.no_endpoint, counters.dropped_no_endpoint.get(), "udp_no_endpoint");
    }
}

/// Picks endpoints by the snapshot in force.
struct Picker {
    worker: Rc<Worker>,
    bind: SocketAddr,
}

impl Picker {
    fn rule(&self, view: &View, client: SocketAddr) -> Option<Arc<L4Rule>> {
        match &view.published.port(self.bind, Transport::Udp)?.kind {
            PortKind::Udp(_, rule) => rule.clone(),
            PortKind::Frontend(frontend) => match frontend.routes_for(view.snapshot().namespace_of(client.ip())) {
                FrontendRoutes::L4(rule) => Some(rule.clone()),
                FrontendRoutes::Http(_) | FrontendRoutes::Tls(_) => None,
            },
            PortKind::Http(_) | PortKind::Tls(_) | PortKind::Tcp(..) => None,
        }
    }

    fn backend(&self, view: &View, target: &Target) -> Option<Rc<BackendState>> {
        match target {
            Target::Backend(index) => self.worker.upstreams.get(view.snapshot(), *index),
            Target::Invalid { .. } => None,
        }
    }
}

impl PickEndpoint for Picker {
    fn pick(&self, client: SocketAddr) -> Option<SocketAddr> {
        let view = self.worker.view();
        let rule = self.rule(&view, client)?;
        let backend = self.backend(&view, self.worker.target(&rule)?)?;
        Some(backend.pick(&self.worker.rng, None)?.endpoint.address)
    }

    fn may_stay(&self, endpoint: SocketAddr) -> bool {
        let view = self.worker.view();
        // Sessions do not tell their client here; a rule for any client that has the endpoint will do.
        let rules = match view.published.port(self.bind, Transport::Udp).map(|port| &port.kind) {
            Some(PortKind::Udp(_, rule)) => rule.iter().cloned().collect(),
            Some(PortKind::Frontend(frontend)) => {
                let all = frontend.consumer.values().chain([&frontend.producer]);
                let l4 = all.filter_map(|routes| match routes {
                    FrontendRoutes::L4(rule) => Some(rule.clone()),
                    FrontendRoutes::Http(_) | FrontendRoutes::Tls(_) => None,
                });
                l4.collect()
            }
            _ => Vec::new(),
        };
        let mut targets = rules.iter().flat_map(|rule| rule.backends.iter());
        targets.any(|(_, target)| self.backend(&view, target).is_some_and(|backend| backend.has(endpoint)))
    }
}
