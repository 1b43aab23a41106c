//! The snapshot: everything that the engine needs to serve, immutable, shared by all workers. What did not change
//! between two translations keeps its `Arc`.

mod backend;
mod hosts;
mod listener;
mod lookup;
mod matching;
mod rule;
mod table;
mod wasm;

pub use backend::{
    Backend, BackendIndex, BackendKey, BackendProtocol, BackendTls, Endpoint, Endpoints, Roots, SubjectAltName,
};
pub use hosts::{HostMap, Hostname};
pub use listener::{
    ClientAuth, ClientAuthMode, Frontend, FrontendRoutes, HttpListener, HttpPort, ListenerId, ParentId, Port, PortKind,
    TlsAction, TlsListener, TlsPort, TlsRoutes, TlsServer, Transport,
};
pub use lookup::Belongs;
pub use matching::{HeaderMatch, Matcher, Mismatch, PathMatch, QueryMatch, RequestView, ValueMatch, percent_decoded};
pub use rule::{
    Backends, Cors, ExternalAuth, ExternalAuthProtocol, Filter, HeaderEdits, HttpBackend, L4Rule, Mirror, OriginMatch,
    PathModifier, Redirect, Retry, Rewrite, RouteKind, Rule, RuleId, SessionCarrier, SessionPersistence, Target,
    Timeouts,
};
pub(crate) use table::HostRoutes;
pub use table::{Candidate, Considered, RouteTable};
pub use wasm::{FailureMode, ModuleDigest, WasmFilter};

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// Everything that the engine needs to serve.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What is listened on, sorted by address, port and transport; each address and port once per transport.
    pub ports: Vec<Arc<Port>>,
    /// Backends by their index; holes where one has gone.
    pub backends: Arc<[Option<Arc<Backend>>]>,
    /// Endpoints by the index of their backend.
    pub endpoints: Arc<[Arc<Endpoints>]>,
    /// Namespaces of clients by their address, for consumer routes; other clients count as `default`.
    pub clients: Arc<BTreeMap<IpAddr, Arc<str>>>,
    /// WasmFilters that some route uses.
    pub wasm_filters: Vec<Arc<WasmFilter>>,
}

impl Snapshot {
    /// A backend by its index.
    pub fn backend(&self, index: BackendIndex) -> Option<&Arc<Backend>> {
        self.backends.get(index.0 as usize)?.as_ref()
    }

    /// The endpoints of a backend.
    pub fn endpoints(&self, index: BackendIndex) -> Option<&Arc<Endpoints>> {
        self.endpoints.get(index.0 as usize)
    }

    /// The namespace that a client belongs to.
    pub fn namespace_of(&self, client: IpAddr) -> &str {
        self.clients.get(&client).map_or("default", |namespace| namespace)
    }
}
