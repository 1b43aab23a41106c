//! Collects the Gateways that are ours, with all their listeners.

use super::{
    GatewayEntry, Gateways, addresses,
    class::{Class, class},
    conflicts,
    listener::{ListenerEntry, listener_id},
    parameters::{self, gateway_config},
    sets,
    tls::{TlsInputs, insecure_fallback, keep},
};
use crate::{
    conditions::{created, refusal},
    edges::{ClientPort, Edges},
    objects::Objects,
    refs::{certificates::Certificates, grants::Grants},
    statuses::{Note, Severity},
};
use portolan_crds::gateway_config::Http3;
use std::{collections::HashMap, sync::Arc};

/// All Gateways of our classes; TLS servers that did not change keep their `Arc`.
pub(crate) fn collect(
    objects: &Objects,
    edges: &Edges,
    grants: &Grants,
    certificates: &mut Certificates,
    last: Option<&Gateways>,
) -> Gateways {
    let mut all = Gateways::default();
    let mut tls = TlsInputs { objects, edges, grants, certificates };
    add_gateways(&mut all, &mut tls, edges);
    sets::add(&mut all, objects);
    add_listeners(&mut all, &mut tls);
    for gateway in &all.gateways {
        let of_sets = gateway.sets.iter().map(|set| all.sets[*set].listeners.clone());
        let owners: Vec<_> = std::iter::once(gateway.listeners.clone()).chain(of_sets).collect();
        conflicts::mark(&mut all.listeners, &owners);
    }
    mark_taken(&mut all, edges);
    refuse_without_listeners(&mut all);
    if let Some(last) = last {
        let before: HashMap<_, _> = last.listeners.iter().map(|entry| (&entry.id, entry)).collect();
        all.listeners.iter_mut().for_each(|entry| keep(before.get(&entry.id).copied(), entry));
    }
    all
}

fn add_gateways(all: &mut Gateways, tls: &mut TlsInputs<'_>, edges: &Edges) {
    let objects = tls.objects;
    let mut by_age: Vec<_> = objects.gateways.iter().collect();
    by_age.sort_by_key(|(name, gateway)| (created(&gateway.metadata), *name));
    for (name, object) in by_age {
        let class_name = &object.spec.gateway_class_name;
        let config = gateway_config(objects, name, object);
        // Who is not told how to run a Gateway leaves it as it is, if it runs.
        let (unknown, unsupported) = match class(objects, edges, class_name) {
            Class::Foreign => {
                all.notes.push(Note {
                    kind: "Gateway",
                    object: name.clone(),
                    severity: Severity::Info,
                    message: format!("spec.gatewayClassName: {class_name} is no class of this controller"),
                });
                continue;
            }
            Class::Refused(why) => {
                let message = format!("GatewayClass {class_name} is not accepted: {}", why.message);
                (Some(refusal("Invalid", message)), None)
            }
            Class::Ours => (parameters::refused(objects, name, object, &config), addresses::unsupported(object)),
        };
        let mut references = Vec::new();
        let (client_certificate, unresolved) = tls.client_certificate(name, object, &mut references);
        let addresses = edges.gateways.get(name).cloned().unwrap_or_default();
        let served = unsupported.is_none() && (unknown.is_none() || addresses.running);
        let unknown = unknown.map(|why| match served {
            true => refusal(why.reason, format!("{}; what runs goes on as it was", why.message)),
            false => why,
        });
        let refused = unknown.or(unsupported);
        all.gateway_by_name.insert(name.clone(), all.gateways.len());
        all.gateways.push(GatewayEntry {
            name: name.clone(),
            object: Arc::clone(object),
            pending: addresses::pending(&addresses),
            unprogrammed: addresses::unprogrammed(&addresses, &parameters::configs(objects, name, object)),
            addresses: if served { addresses.assigned } else { Vec::new() },
            hostnames: if served { addresses.hostnames } else { Vec::new() },
            refused,
            client_certificate,
            unresolved,
            http3: config.http3.unwrap_or_default() == Http3::Enabled,
            insecure_fallback: insecure_fallback(object),
            references,
            listeners: Vec::new(),
            sets: Vec::new(),
        });
    }
}

fn add_listeners(all: &mut Gateways, tls: &mut TlsInputs<'_>) {
    for at in 0..all.gateways.len() {
        let gateway = &all.gateways[at];
        let (name, object, set_positions) = (gateway.name.clone(), gateway.object.clone(), gateway.sets.clone());
        let own = object.spec.listeners.iter().map(|spec| (listener_id("Gateway", &name, spec), None, spec.clone()));
        let of_sets = set_positions.iter().flat_map(|position| {
            let set = &all.sets[*position];
            let listeners = set.object.spec.listeners.iter();
            listeners.map(|spec| (listener_id("ListenerSet", &set.name, spec), Some(*position), spec.clone()))
        });
        let read: Vec<_> = own.chain(of_sets).collect();
        for (id, set, spec) in read {
            let mut entry = ListenerEntry::new(id, at, &spec);
            tls.resolve(&mut entry, &name, &object);
            let position = all.listeners.len();
            match set {
                Some(set) => all.sets[set].listeners.push(position),
                None => all.gateways[at].listeners.push(position),
            }
            all.listeners.push(entry);
        }
    }
}

fn mark_taken(all: &mut Gateways, edges: &Edges) {
    let sockets: Vec<Vec<_>> = all
        .listeners
        .iter()
        .map(|listener| all.sockets(edges, listener).map(|(_, bind, transport)| (bind, transport)).collect())
        .collect();
    if edges.client_port == ClientPort::Declared {
        conflicts::mark_shared(&mut all.listeners);
    }
    conflicts::mark_taken(all.listeners.iter_mut().zip(sockets));
}

/// A Gateway none of whose listeners is accepted is not accepted either; nor is a ListenerSet of which none can be served.
fn refuse_without_listeners(all: &mut Gateways) {
    for gateway in &mut all.gateways {
        if gateway.refused.is_none() && !gateway.listeners.iter().any(|at| all.listeners[*at].accepted()) {
            gateway.refused = Some(refusal("ListenersNotValid", "no listener is accepted"));
        }
    }
    for set in &mut all.sets {
        let gateway = &all.gateways[set.gateway];
        if set.refused.is_some() {
            continue;
        }
        if let Some(why) = &gateway.refused {
            let message = format!("Gateway {} is not accepted: {}", gateway.name, why.message);
            set.refused = Some(refusal("ParentNotAccepted", message));
        } else if !set.listeners.iter().any(|at| all.listeners[*at].served()) {
            set.refused = Some(refusal("ListenersNotValid", "no listener can be served"));
        }
    }
}
