//! One listener, as its own object describes it: protocol, kinds and namespaces of routes. Conflicts with other listeners
//! and certificates are found elsewhere and noted here.

use super::tls::ListenerTls;
use crate::{
    conditions::{Refusal, refusal},
    references::Reference,
    selector,
    snapshot::{Hostname, ListenerId, RouteKind, Transport},
};
use k8s_openapi::api::core::v1::Namespace;
use portolan_crds::{
    GATEWAY_GROUP,
    common::{FromNamespaces, NamespaceChoice, RouteGroupKind},
    gateway::{Listener, TLSMode},
};
use std::sync::Arc;

/// Protocols of listeners that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP.
    Http,
    /// HTTP in TLS that ends here.
    Https,
    /// TLS that ends here.
    TlsTerminate,
    /// TLS that goes through.
    TlsPassthrough,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One listener of a Gateway or of one of its ListenerSets.
#[derive(Debug)]
pub(crate) struct ListenerEntry {
    pub(crate) id: ListenerId,
    /// Position of the Gateway.
    pub(crate) gateway: usize,
    pub(crate) spec: Listener,
    pub(crate) hostname: Option<Hostname>,
    /// `None` if the protocol cannot be served.
    pub(crate) protocol: Option<Protocol>,
    /// Kinds of routes that may attach.
    pub(crate) kinds: Vec<RouteKind>,
    /// Why it is not accepted.
    pub(crate) refused: Option<Refusal>,
    /// Reason and message of its conflict with other listeners.
    pub(crate) conflict: Option<Refusal>,
    /// References that do not resolve, and route kinds that do not fit.
    pub(crate) unresolved: Vec<Refusal>,
    /// Names of listeners with which its host names overlap.
    pub(crate) overlaps: Vec<String>,
    /// What is read for it.
    pub(crate) references: Vec<Reference>,
    /// How TLS is ended.
    pub(crate) tls: ListenerTls,
}

// === impl ListenerEntry ===

impl ListenerEntry {
    /// Reads a listener; everything that needs other objects is left open.
    pub(super) fn new(id: ListenerId, gateway: usize, spec: &Listener) -> Self {
        let protocol = Protocol::of(spec);
        let (kinds, unfit) = protocol.map_or_else(Default::default, |protocol| kinds(protocol, spec));
        let mut refused = None;
        if protocol.is_none() {
            let message = format!("protocol: {} is not supported; HTTP, HTTPS, TLS, TCP and UDP are", spec.protocol);
            refused = Some(refusal("UnsupportedProtocol", message));
        } else if let Some(option) = spec.tls.as_ref().and_then(|tls| tls.options.keys().next()) {
            refused = Some(refusal("UnsupportedValue", format!("tls.options: {option} is not known")));
        }
        Self {
            id,
            gateway,
            hostname: spec.hostname.as_deref().filter(|name| !name.is_empty()).map(Hostname::new),
            protocol,
            kinds,
            refused,
            conflict: None,
            unresolved: unfit.into_iter().collect(),
            overlaps: Vec::new(),
            references: Vec::new(),
            tls: ListenerTls::None,
            spec: spec.clone(),
        }
    }

    /// What it listens for.
    pub(crate) fn transport(&self) -> Transport {
        if self.protocol == Some(Protocol::Udp) { Transport::Udp } else { Transport::Tcp }
    }

    /// Whether its object as such is in order, and no other listener stands against it.
    pub(crate) fn accepted(&self) -> bool {
        self.refused.is_none() && self.conflict.is_none()
    }

    /// Whether it can be served: accepted, and with a certificate if it needs one.
    pub(crate) fn served(&self) -> bool {
        let needs_certificate = self.protocol.is_some_and(Protocol::ends_tls);
        self.accepted() && (!needs_certificate || matches!(self.tls, ListenerTls::Server(_)))
    }

    /// Whether routes of `namespace` may attach.
    pub(crate) fn admits_namespace(&self, namespace: &str, labels: Option<&Namespace>) -> bool {
        let choice = self.spec.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
        admits(choice, FromNamespaces::Same, &self.id.owner.namespace, namespace, labels)
    }
}

/// Whether a choice of namespaces that stands in `own` means `namespace`.
pub(super) fn admits(
    choice: Option<&NamespaceChoice>,
    default: FromNamespaces,
    own: &str,
    namespace: &str,
    labels: Option<&Namespace>,
) -> bool {
    match choice.and_then(|choice| choice.from).unwrap_or(default) {
        FromNamespaces::All => true,
        FromNamespaces::Same => own == namespace,
        FromNamespaces::None => false,
        FromNamespaces::Selector => choice
            .and_then(|choice| choice.selector.as_ref())
            .is_some_and(|selector| selector::matches_namespace(selector, namespace, labels)),
    }
}

/// The kinds of routes that may attach, and what is wrong with those that the object names.
fn kinds(protocol: Protocol, spec: &Listener) -> (Vec<RouteKind>, Option<Refusal>) {
    let fitting = protocol.kinds();
    let asked = spec.allowed_routes.as_ref().map_or(&[][..], |allowed| &allowed.kinds);
    if asked.is_empty() {
        return (fitting.to_vec(), None);
    }
    let (mut kinds, mut unfit) = (Vec::new(), Vec::new());
    for (at, kind) in asked.iter().enumerate() {
        let group = kind.group.as_deref().unwrap_or(GATEWAY_GROUP);
        let known = fitting.iter().find(|fit| group == GATEWAY_GROUP && fit.as_str() == kind.kind);
        match known {
            Some(kind) if !kinds.contains(kind) => kinds.push(*kind),
            Some(_) => {}
            None => unfit.push(refusal(
                "InvalidRouteKinds",
                format!("allowedRoutes.kinds[{at}]: {group}/{} does not fit the protocol {}", kind.kind, spec.protocol),
            )),
        }
    }
    (kinds, Refusal::merged(unfit))
}

/// Route kinds as statuses write them.
pub(super) fn supported_kinds(kinds: &[RouteKind]) -> Vec<RouteGroupKind> {
    let kind =
        |kind: &RouteKind| RouteGroupKind { group: Some(GATEWAY_GROUP.to_owned()), kind: kind.as_str().to_owned() };
    kinds.iter().map(kind).collect()
}

// === impl Protocol ===

impl Protocol {
    fn of(spec: &Listener) -> Option<Self> {
        let mode = spec.tls.as_ref().and_then(|tls| tls.mode).unwrap_or_default();
        Some(match (spec.protocol.as_str(), mode) {
            ("HTTP", _) => Self::Http,
            ("HTTPS", _) => Self::Https,
            ("TLS", TLSMode::Terminate) => Self::TlsTerminate,
            ("TLS", TLSMode::Passthrough) => Self::TlsPassthrough,
            ("TCP", _) => Self::Tcp,
            ("UDP", _) => Self::Udp,
            _ => return None,
        })
    }

    /// Whether TLS ends here.
    pub(crate) fn ends_tls(self) -> bool {
        matches!(self, Self::Https | Self::TlsTerminate)
    }

    /// Whether connections are told apart by the server name of their TLS.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::TlsTerminate | Self::TlsPassthrough)
    }

    fn kinds(self) -> &'static [RouteKind] {
        match self {
            Self::Http | Self::Https => &[RouteKind::HTTPRoute, RouteKind::GRPCRoute],
            Self::TlsTerminate | Self::TlsPassthrough => &[RouteKind::TLSRoute],
            Self::Tcp => &[RouteKind::TCPRoute],
            Self::Udp => &[RouteKind::UDPRoute],
        }
    }
}

/// A listener's name for people.
pub(super) fn listener_id(kind: &'static str, owner: &crate::ObjectName, spec: &Listener) -> ListenerId {
    ListenerId { owner: owner.clone(), kind, name: Arc::from(spec.name.as_str()) }
}
