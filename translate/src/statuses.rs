//! What translation says of the objects: typed statuses by object, and notes about what no status can say. Never times:
//! whoever writes a status stamps `lastTransitionTime`.

use crate::{objects::ObjectName, snapshot::RouteKind};
use portolan_crds::{
    Condition, GATEWAY_GROUP, PORTOLAN_GROUP,
    backend_tls_policy::PolicyStatus,
    common::{ParentReference, RouteStatus},
    gateway::{GatewayClassStatus, GatewayStatus, ListenerStatus},
    listener_set::ListenerSetStatus,
    wasm_filter::WasmFilterStatus,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// Statuses of one kind by object.
pub type StatusMap<T> = BTreeMap<ObjectName, Arc<T>>;

/// Statuses of all objects that this controller answers for.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each field holds the statuses of the kind that it names")]
pub struct Statuses {
    pub gateway_classes: StatusMap<GatewayClassStatus>,
    pub gateways: StatusMap<GatewayStatus>,
    pub listener_sets: StatusMap<ListenerSetStatus>,
    pub http_routes: StatusMap<RouteStatus>,
    pub grpc_routes: StatusMap<RouteStatus>,
    pub tls_routes: StatusMap<RouteStatus>,
    pub tcp_routes: StatusMap<RouteStatus>,
    pub udp_routes: StatusMap<RouteStatus>,
    pub backend_tls_policies: StatusMap<PolicyStatus>,
    pub wasm_filters: StatusMap<WasmFilterStatus>,
    /// What no status can say, sorted.
    pub notes: Vec<Note>,
}

/// A remark about an object that has no condition for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Note {
    /// Kind of the object.
    pub kind: &'static str,
    /// The object.
    pub object: ObjectName,
    /// Whether something does not work because of it.
    pub severity: Severity,
    /// The remark.
    pub message: String,
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something does not work as the author will have meant.
    Problem,
}

/// A condition with its place.
#[derive(Clone, Debug)]
pub struct Reported<'a> {
    /// Kind of the object.
    pub kind: &'static str,
    /// The object.
    pub object: &'a ObjectName,
    /// The part of it that the condition is about.
    pub part: Part<'a>,
    /// The condition.
    pub condition: &'a Condition,
}

/// The part of an object that a condition is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// The object itself.
    Whole,
    /// A listener by its name.
    Listener(&'a str),
    /// A route under a parent.
    Parent(&'a ParentReference),
    /// A policy under an ancestor.
    Ancestor(&'a ParentReference),
}

/// One object's status as JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// Group and version.
    pub api_version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Name and namespace.
    pub metadata: serde_json::Value,
    /// The status.
    pub status: serde_json::Value,
}

/// A status with conditions.
pub trait Conditioned {
    /// All of them, each with the part of the object that it is about.
    fn conditions(&self) -> impl Iterator<Item = (Part<'_>, &Condition)>;
}

// === impl Statuses ===

impl Statuses {
    /// Statuses of the routes of one kind; none for [`RouteKind::Service`].
    pub fn routes(&self, kind: RouteKind) -> Option<&StatusMap<RouteStatus>> {
        match kind {
            RouteKind::HTTPRoute => Some(&self.http_routes),
            RouteKind::GRPCRoute => Some(&self.grpc_routes),
            RouteKind::TLSRoute => Some(&self.tls_routes),
            RouteKind::TCPRoute => Some(&self.tcp_routes),
            RouteKind::UDPRoute => Some(&self.udp_routes),
            RouteKind::Service => None,
        }
    }

    fn all_routes(&self) -> impl Iterator<Item = (RouteKind, &StatusMap<RouteStatus>)> {
        ROUTE_KINDS.into_iter().filter_map(|kind| Some((kind, self.routes(kind)?)))
    }

    /// All conditions with their places: by kind, then by object.
    pub fn conditions(&self) -> impl Iterator<Item = Reported<'_>> {
        let routes = self.all_routes().flat_map(|(kind, map)| reported(kind.as_str(), map));
        reported("GatewayClass", &self.gateway_classes)
            .chain(reported("Gateway", &self.gateways))
            .chain(reported("ListenerSet", &self.listener_sets))
            .chain(routes)
            .chain(reported("BackendTLSPolicy", &self.backend_tls_policies))
            .chain(reported("WasmFilter", &self.wasm_filters))
    }

    /// Conditions that tell of something wrong.
    pub fn problems(&self) -> impl Iterator<Item = Reported<'_>> {
        self.conditions().filter(Reported::is_problem)
    }

    /// Every object with its status, by kind, then by name.
    pub fn objects(&self) -> impl Iterator<Item = ObjectStatus> + '_ {
        let classes = objects("GatewayClass", &self.gateway_classes);
        let gateways = objects("Gateway", &self.gateways);
        let sets = objects("ListenerSet", &self.listener_sets);
        let routes = self.all_routes().flat_map(|(kind, map)| objects(kind.as_str(), map));
        let policies = objects("BackendTLSPolicy", &self.backend_tls_policies);
        let filters = objects("WasmFilter", &self.wasm_filters);
        classes.chain(gateways).chain(sets).chain(routes).chain(policies).chain(filters)
    }
}

/// The kinds of routes, in the order in which statuses list them.
pub const ROUTE_KINDS: [RouteKind; 5] =
    [RouteKind::HTTPRoute, RouteKind::GRPCRoute, RouteKind::TLSRoute, RouteKind::TCPRoute, RouteKind::UDPRoute];

fn reported<'a, T: Conditioned>(kind: &'static str, map: &'a StatusMap<T>) -> impl Iterator<Item = Reported<'a>> {
    map.iter().flat_map(move |(object, status)| {
        status.conditions().map(move |(part, condition)| Reported { kind, object, part, condition })
    })
}

fn objects<'a, T: Serialize>(kind: &'static str, map: &'a StatusMap<T>) -> impl Iterator<Item = ObjectStatus> + 'a {
    map.iter().map(move |(name, status)| ObjectStatus {
        api_version: if kind == "WasmFilter" { WASM_VERSION } else { GATEWAY_VERSION },
        kind,
        metadata: if name.namespace.is_empty() {
            serde_json::json!({ "name": &*name.name })
        } else {
            serde_json::json!({ "name": &*name.name, "namespace": &*name.namespace })
        },
        status: serde_json::to_value(&**status).unwrap_or_default(),
    })
}

const GATEWAY_VERSION: &str = "gateway.networking.k8s.io/v1";
const WASM_VERSION: &str = "portolan.dev/v1alpha1";
const _: () =
    assert!(GATEWAY_GROUP.len() + 3 == GATEWAY_VERSION.len() && PORTOLAN_GROUP.len() + 9 == WASM_VERSION.len());

// === impl Reported ===

impl Reported<'_> {
    /// Whether the condition tells of something wrong.
    pub fn is_problem(&self) -> bool {
        is_problem(self.condition)
    }
}

/// Each fault once: one is often told by several conditions of an object.
pub fn distinct<'a>(problems: impl Iterator<Item = Reported<'a>>) -> impl Iterator<Item = Reported<'a>> {
    let mut told = BTreeSet::new();
    problems.filter(move |reported| {
        let Condition { type_, message, .. } = reported.condition;
        let words = if message.is_empty() { type_ } else { message };
        told.insert((reported.kind, reported.object, reported.part.to_string(), words))
    })
}

/// Whether a condition tells of something wrong: one that should hold does not, or one that should not does.
pub fn is_problem(condition: &Condition) -> bool {
    let bad = match condition.type_.as_str() {
        "Conflicted" | "PartiallyInvalid" => "True",
        // Both warn of something that works.
        "OverlappingTLSConfig" | "InsecureFrontendValidationMode" => return false,
        _ => "False",
    };
    condition.status == bad
}

// === impl Conditioned ===

fn whole(conditions: &[Condition]) -> impl Iterator<Item = (Part<'_>, &Condition)> {
    conditions.iter().map(|condition| (Part::Whole, condition))
}

fn of_listeners(listeners: &[ListenerStatus]) -> impl Iterator<Item = (Part<'_>, &Condition)> {
    listeners.iter().flat_map(|one| one.conditions.iter().map(|condition| (Part::Listener(&one.name), condition)))
}

impl Conditioned for GatewayClassStatus {
    fn conditions(&self) -> impl Iterator<Item = (Part<'_>, &Condition)> {
        whole(&self.conditions)
    }
}

impl Conditioned for GatewayStatus {
    fn conditions(&self) -> impl Iterator<Item = (Part<'_>, &Condition)> {
        whole(&self.conditions).chain(of_listeners(&self.listeners))
    }
}

impl Conditioned for ListenerSetStatus {
    fn conditions(&self) -> impl Iterator<Item = (Part<'_>, &Condition)> {
        whole(&self.conditions).chain(of_listeners(&self.listeners))
    }
}

impl Conditioned for RouteStatus {
    fn conditions(&self) -> impl Iterator<Item = (Part<'_>, &Condition)> {
        self.parents
            .iter()
            .flat_map(|one| one.conditions.iter().map(|condition| (Part::Parent(&one.parent_ref), condition)))
    }
}

impl Conditioned for PolicyStatus {
    fn conditions(&self) -> impl Iterator<Item = (Part<'_>, &Condition)> {
        self.ancestors
            .iter()
            .flat_map(|one| one.conditions.iter().map(|condition| (Part::Ancestor(&one.ancestor_ref), condition)))
    }
}

impl Conditioned for WasmFilterStatus {
    fn conditions(&self) -> impl Iterator<Item = (Part<'_>, &Condition)> {
        whole(&self.conditions)
    }
}

impl fmt::Display for Reported<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Condition { type_, status, reason, message, .. } = self.condition;
        write!(f, "{} {}{}: {type_}={status} {reason}", self.kind, self.object, self.part)?;
        if message.is_empty() { Ok(()) } else { write!(f, ": {message}") }
    }
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, reference) = match self {
            Self::Whole => return Ok(()),
            Self::Listener(name) => return write!(f, ", listener {name}"),
            Self::Parent(reference) => ("parent", reference),
            Self::Ancestor(reference) => ("ancestor", reference),
        };
        write!(f, ", {word} {}", reference.kind())?;
        reference.namespace.iter().try_for_each(|namespace| write!(f, " {namespace}/"))?;
        f.write_str(if reference.namespace.is_some() { "" } else { " " })?;
        f.write_str(&reference.name)?;
        reference.section_name.iter().try_for_each(|section| write!(f, " section {section}"))?;
        reference.port.iter().try_for_each(|port| write!(f, " port {port}"))
    }
}
