//! The API types that Portolan reads and whose status it writes: every kind of the Gateway API v1.6.1 (experimental
//! channel) and Portolan's own, and in [`schema`] what the API server demands of their objects. What they mean is
//! `translate`'s business.
//!
//! The shapes follow the Go types of `sigs.k8s.io/gateway-api/apis/v1`; names are theirs. They are written out rather
//! than generated because a generator gives every place of use a type of its own (a rule's filter and a backendRef's
//! filter would be two types, and HTTPRoute's and GRPCRoute's header modifiers two more); here one type is one concept.
#![forbid(unsafe_code)]

mod resource;
mod saturating;

pub mod backend_tls_policy;
pub mod common;
pub mod duration;
pub mod gateway;
pub mod gateway_config;
pub mod grpc_route;
pub mod http_route;
pub mod l4_route;
pub mod listener_set;
pub mod object;
pub mod reference_grant;
pub mod schema;
pub mod wasm_filter;

pub use backend_tls_policy::BackendTLSPolicy;
pub use duration::Duration;
pub use gateway::{Gateway, GatewayClass};
pub use gateway_config::GatewayConfig;
pub use grpc_route::GRPCRoute;
pub use http_route::HTTPRoute;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, ObjectMeta};
pub use l4_route::{TCPRoute, TLSRoute, UDPRoute};
pub use listener_set::ListenerSet;
pub use object::{ApiObject, ObjectError};
pub use reference_grant::ReferenceGrant;
pub use wasm_filter::WasmFilter;

/// API group of the Gateway API.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// API group of Portolan's own kinds.
pub const PORTOLAN_GROUP: &str = "portolan.dev";
