//! Portolan's Kubernetes side: statuses of all objects, and what runs for each Gateway. What an object means is
//! `translate`'s business; no traffic passes here.
#![forbid(unsafe_code)]

mod edges;
mod generations;
mod infrastructure;
mod leader;
mod reconcile;
mod replicas;
mod status;

pub use edges::ModuleOutcomes;
pub use generations::Generations;
pub use infrastructure::{Settings, pods_of};
pub use leader::{Identity, LEASE};
pub use reconcile::{Health, Options, run};

/// Our name in `GatewayClass.spec.controllerName` and in statuses.
pub const CONTROLLER_NAME: &str = "portolan.dev/gateway-controller";
