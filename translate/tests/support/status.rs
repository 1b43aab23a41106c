//! Statuses as text: one line a condition. Times are left out, they are the writer's.

use portolan_crds::{
    Condition,
    common::{ParentReference, RouteGroupKind},
    gateway::ListenerStatus,
};
use portolan_translate::{ObjectName, Statuses, statuses::StatusMap};
use std::fmt::Write;

/// All statuses.
pub fn statuses(all: &Statuses) -> String {
    let mut out = String::new();
    for (name, status) in &all.gateway_classes {
        writeln!(out, "GatewayClass {name}:").unwrap();
        conditions(&mut out, "  ", &status.conditions);
        writeln!(out, "  supportedFeatures: {}", status.supported_features.len()).unwrap();
    }
    for (name, status) in &all.gateways {
        writeln!(out, "Gateway {name}:").unwrap();
        let addresses: Vec<_> = status.addresses.iter().map(|address| address.value.as_str()).collect();
        writeln!(out, "  addresses: [{}]", addresses.join(", ")).unwrap();
        if let Some(sets) = status.attached_listener_sets.filter(|sets| *sets > 0) {
            writeln!(out, "  attachedListenerSets: {sets}").unwrap();
        }
        conditions(&mut out, "  ", &status.conditions);
        status.listeners.iter().for_each(|one| listener(&mut out, one));
    }
    for (name, status) in &all.listener_sets {
        writeln!(out, "ListenerSet {name}:").unwrap();
        conditions(&mut out, "  ", &status.conditions);
        status.listeners.iter().for_each(|one| listener(&mut out, one));
    }
    routes(&mut out, "HTTPRoute", &all.http_routes);
    routes(&mut out, "GRPCRoute", &all.grpc_routes);
    routes(&mut out, "TLSRoute", &all.tls_routes);
    routes(&mut out, "TCPRoute", &all.tcp_routes);
    routes(&mut out, "UDPRoute", &all.udp_routes);
    for (name, status) in &all.backend_tls_policies {
        writeln!(out, "BackendTLSPolicy {name}:").unwrap();
        for ancestor in &status.ancestors {
            parent(&mut out, "ancestor", &ancestor.ancestor_ref);
            conditions(&mut out, "    ", &ancestor.conditions);
        }
    }
    for (name, status) in &all.wasm_filters {
        writeln!(out, "WasmFilter {name}:").unwrap();
        conditions(&mut out, "  ", &status.conditions);
    }
    for note in &all.notes {
        writeln!(out, "# {:?}: {} {}: {}", note.severity, note.kind, note.object, note.message).unwrap();
    }
    out
}

fn listener(out: &mut String, status: &ListenerStatus) {
    let kinds: Vec<_> = status.supported_kinds.iter().map(|RouteGroupKind { kind, .. }| kind.as_str()).collect();
    writeln!(out, "  listener {}:", status.name).unwrap();
    writeln!(out, "    attachedRoutes: {}, supportedKinds: [{}]", status.attached_routes, kinds.join(", ")).unwrap();
    conditions(out, "    ", &status.conditions);
}

fn routes(out: &mut String, kind: &str, all: &StatusMap<portolan_crds::common::RouteStatus>) {
    for (name, status) in all {
        let name: &ObjectName = name;
        writeln!(out, "{kind} {name}:").unwrap();
        for one in &status.parents {
            assert_eq!(one.controller_name, super::input::CONTROLLER);
            parent(out, "parent", &one.parent_ref);
            conditions(out, "    ", &one.conditions);
        }
    }
}

fn parent(out: &mut String, word: &str, reference: &ParentReference) {
    let namespace = reference.namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
    let section = reference.section_name.as_ref().map(|name| format!(", section {name}")).unwrap_or_default();
    let port = reference.port.map(|port| format!(", port {port}")).unwrap_or_default();
    writeln!(out, "  {word} {} {namespace}{}{section}{port}:", reference.kind(), reference.name).unwrap();
}

fn conditions(out: &mut String, indent: &str, all: &[Condition]) {
    for Condition { type_, status, reason, message, observed_generation, .. } in all {
        assert_eq!(*observed_generation, Some(3), "every condition has the generation of its object");
        let message = if message.is_empty() { String::new() } else { format!(" # {message}") };
        writeln!(out, "{indent}{type_}: {status} {reason}{message}").unwrap();
    }
}
