//! Statuses of Gateways and ListenerSets with their listeners.

use super::{
    GatewayEntry, Gateways, SetEntry,
    listener::{ListenerEntry, supported_kinds},
};
use crate::conditions::{Conditions, Refusal, refusal};
use portolan_crds::{
    Condition, ObjectMeta,
    gateway::{GatewayStatus, GatewayStatusAddress, ListenerStatus},
    listener_set::ListenerSetStatus,
};

/// The status of a Gateway; `attached` counts the routes of each listener.
pub(crate) fn gateway_status(all: &Gateways, gateway: &GatewayEntry, attached: &[u32]) -> GatewayStatus {
    let meta = &gateway.object.metadata;
    let listeners: Vec<_> =
        gateway.listeners.iter().map(|at| listener_status(meta, gateway, &all.listeners[*at], attached[*at])).collect();
    let attached_sets = gateway.sets.iter().filter(|at| all.sets[**at].refused.is_none()).count();
    let address = |kind: &str, value: String| GatewayStatusAddress { kind: Some(kind.to_owned()), value };
    let ips = gateway.addresses.iter().map(|ip| address("IPAddress", ip.to_string()));
    let names = gateway.hostnames.iter().map(|name| address("Hostname", name.clone()));
    GatewayStatus {
        addresses: ips.chain(names).collect(),
        conditions: gateway_conditions(all, gateway),
        listeners,
        attached_listener_sets: i32::try_from(attached_sets).ok(),
    }
}

fn gateway_conditions(all: &Gateways, gateway: &GatewayEntry) -> Vec<Condition> {
    let listeners = || gateway.listeners.iter().map(|at| &all.listeners[*at]);
    let mut conditions = Conditions::of(&gateway.object.metadata);
    let invalid: Vec<_> = listeners().filter(|one| !one.accepted()).map(|one| &*one.id.name).collect();
    match &gateway.refused {
        Some(why) => conditions.set("Accepted", false, why.reason, why.message.as_str()),
        None if invalid.is_empty() => conditions.set("Accepted", true, "Accepted", ""),
        None => {
            let message = format!("not accepted are the listeners {}", invalid.join(", "));
            conditions.set("Accepted", true, "ListenersNotValid", message)
        }
    };
    let nothing = || refusal("Invalid", "no listener can be served");
    let unprogrammed = match (&gateway.refused, &gateway.unprogrammed) {
        (Some(why), _) => Some(refusal("Invalid", format!("the Gateway is not accepted: {}", why.message))),
        (None, Some(why)) => Some(why.clone()),
        (None, None) if !listeners().any(ListenerEntry::served) => Some(nothing()),
        (None, None) => gateway.pending.clone(),
    };
    conditions.verdict("Programmed", "Programmed", unprogrammed.as_ref());
    let unresolved: Vec<_> = listeners().filter(|one| !one.unresolved.is_empty()).map(|one| &*one.id.name).collect();
    match &gateway.unresolved {
        Some(why) => conditions.set("ResolvedRefs", false, why.reason, why.message.as_str()),
        None if unresolved.is_empty() => conditions.set("ResolvedRefs", true, "ResolvedRefs", ""),
        None => {
            let message = format!("not resolved are references of the listeners {}", unresolved.join(", "));
            conditions.set("ResolvedRefs", false, "ListenersNotResolved", message)
        }
    };
    if gateway.insecure_fallback {
        let message = "spec.tls.frontend: clients without a valid certificate are served (AllowInsecureFallback)";
        conditions.set("InsecureFrontendValidationMode", true, "ConfigurationChanged", message);
    }
    conditions.finish()
}

/// The status of a ListenerSet.
pub(crate) fn listener_set_status(all: &Gateways, set: &SetEntry, attached: &[u32]) -> ListenerSetStatus {
    let gateway = &all.gateways[set.gateway];
    let meta = &set.object.metadata;
    let listeners = || set.listeners.iter().map(|at| &all.listeners[*at]);
    let mut conditions = Conditions::of(meta);
    let invalid: Vec<_> = listeners().filter(|one| !one.accepted()).map(|one| &*one.id.name).collect();
    match &set.refused {
        Some(why) => conditions.set("Accepted", false, why.reason, why.message.as_str()),
        None if invalid.is_empty() => conditions.set("Accepted", true, "Accepted", ""),
        None => {
            let message = format!("not accepted are the listeners {}", invalid.join(", "));
            conditions.set("Accepted", true, "ListenersNotValid", message)
        }
    };
    let unprogrammed = match (&set.refused, &gateway.unprogrammed) {
        (Some(why), _) => Some(why.clone()),
        (None, Some(why)) => Some(refusal("ParentNotProgrammed", format!("Gateway {}: {}", gateway.name, why.message))),
        (None, None) if !listeners().any(ListenerEntry::served) => {
            Some(refusal("Invalid", "no listener can be served"))
        }
        (None, None) => gateway.pending.clone(),
    };
    conditions.verdict("Programmed", "Programmed", unprogrammed.as_ref());
    let listeners = set.listeners.iter().map(|at| listener_status(meta, gateway, &all.listeners[*at], attached[*at]));
    ListenerSetStatus { listeners: listeners.collect(), conditions: conditions.finish() }
}

fn listener_status(
    meta: &ObjectMeta,
    gateway: &GatewayEntry,
    listener: &ListenerEntry,
    attached: u32,
) -> ListenerStatus {
    let mut conditions = Conditions::of(meta);
    let not_accepted = listener.refused.as_ref().or(listener.conflict.as_ref());
    conditions.verdict("Accepted", "Accepted", not_accepted);
    match &listener.conflict {
        Some(why) => conditions.set("Conflicted", true, why.reason, why.message.as_str()),
        None => conditions.set("Conflicted", false, "NoConflicts", ""),
    };
    let unresolved = Refusal::merged(listener.unresolved.iter().cloned());
    conditions.verdict("ResolvedRefs", "ResolvedRefs", unresolved.as_ref());
    conditions.verdict("Programmed", "Programmed", unprogrammed(gateway, listener).as_ref());
    if !listener.overlaps.is_empty() {
        let message = format!("host names overlap with those of {}", listener.overlaps.join(", "));
        conditions.set("OverlappingTLSConfig", true, "OverlappingHostnames", message);
    }
    ListenerStatus {
        name: listener.spec.name.clone(),
        supported_kinds: supported_kinds(&listener.kinds),
        attached_routes: i32::try_from(attached).unwrap_or(i32::MAX),
        conditions: conditions.finish(),
    }
}

fn unprogrammed(gateway: &GatewayEntry, listener: &ListenerEntry) -> Option<Refusal> {
    if let Some(why) = &listener.conflict {
        return Some(why.clone());
    }
    if !listener.served() {
        let why = listener.refused.as_ref().or(listener.unresolved.first());
        return Some(refusal("Invalid", why.map_or("", |why| &why.message)));
    }
    if let Some(why) = &gateway.refused {
        return Some(refusal("Invalid", format!("the Gateway is not accepted: {}", why.message)));
    }
    // A Gateway with some address of its own is served there, whatever became of the others.
    let unplaced = || refusal("Pending", "no address is assigned to the Gateway yet");
    let nowhere = gateway.addresses.is_empty() && gateway.hostnames.is_empty();
    nowhere.then(unplaced).or_else(|| gateway.pending.clone())
}
