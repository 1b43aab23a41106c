//! Portolan's Kubernetes side: statuses of all objects, and what runs for each Gateway. What an object means is
//! `translate`'s business; no traffic passes here.
#![forbid(unsafe_code)]

mod edges;
mod events;
mod fail_point;
mod generations;
mod infrastructure;
mod later;
mod leader;
mod metrics;
mod reconcile;
mod replicas;
mod status;
mod versions;

pub use edges::is_ours;
pub use fail_point::set_up as set_up_fail_points;
pub use generations::Generations;
pub use infrastructure::{GATEWAY_LABEL, Settings, gateway_label, own_selector, owned_kinds, pods_of};
pub use leader::{Identity, LEASE};
pub use metrics::Metrics;
pub use reconcile::{Health, LoadModules, Options, run};
pub use versions::BUNDLE_VERSION;

/// Our name in `GatewayClass.spec.controllerName` and in statuses.
pub const CONTROLLER_NAME: &str = "portolan.dev/gateway-controller";

/// What all that writes needs.
#[derive(Clone)]
struct Context {
    client: kube::Client,
    metrics: Metrics,
    events: events::Events,
}
