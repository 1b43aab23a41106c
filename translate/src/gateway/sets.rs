//! ListenerSets: which belong to one of our Gateways, and whether it lets them.

use super::{Gateways, SetEntry, listener::admits};
use crate::{
    conditions::{created, refusal},
    objects::Objects,
    statuses::{Note, Severity},
};
use portolan_crds::{GATEWAY_GROUP, ListenerSet, common::FromNamespaces, listener_set::ParentGatewayReference};

/// Adds the ListenerSets of our Gateways, by age, then by name.
pub(super) fn add(gateways: &mut Gateways, objects: &Objects) {
    let mut by_age: Vec<_> = objects.listener_sets.iter().collect();
    by_age.sort_by_key(|(name, set)| (created(&set.metadata), *name));
    for (name, set) in by_age {
        let parent = &set.spec.parent_ref;
        let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
        let parent_name = crate::ObjectName::new(namespace, parent.name.as_str());
        let Some(at) = is_gateway(parent).then(|| gateways.gateway_by_name.get(&parent_name).copied()).flatten() else {
            let absent = !objects.gateways.contains_key(&parent_name);
            let message = if absent { "does not exist" } else { "is not of a class of this controller" };
            gateways.notes.push(Note {
                kind: "ListenerSet",
                object: name.clone(),
                severity: if absent { Severity::Problem } else { Severity::Info },
                message: format!("spec.parentRef: Gateway {parent_name} {message}"),
            });
            continue;
        };
        let entry = SetEntry {
            name: name.clone(),
            object: set.clone(),
            gateway: at,
            refused: refused(gateways, at, set, objects),
            listeners: Vec::new(),
        };
        let position = gateways.sets.len();
        if entry.refused.is_none() {
            gateways.gateways[at].sets.push(position);
        }
        gateways.set_by_name.insert(name.clone(), position);
        gateways.sets.push(entry);
    }
}

fn is_gateway(parent: &ParentGatewayReference) -> bool {
    let group = parent.group.as_deref().unwrap_or(GATEWAY_GROUP);
    (group, parent.kind.as_deref().unwrap_or("Gateway")) == (GATEWAY_GROUP, "Gateway")
}

fn refused(gateways: &Gateways, at: usize, set: &ListenerSet, objects: &Objects) -> Option<crate::conditions::Refusal> {
    let gateway = &gateways.gateways[at];
    let namespace = set.metadata.namespace.as_deref().unwrap_or("default");
    let choice = gateway.object.spec.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    let labels = objects.namespaces.get(&crate::ObjectName::new("", namespace)).map(|object| &**object);
    if !admits(choice, FromNamespaces::None, &gateway.name.namespace, namespace, labels) {
        let message = format!("the allowedListeners of Gateway {} do not admit namespace {namespace}", gateway.name);
        return Some(refusal("NotAllowed", message));
    }
    let why = gateway.refused.as_ref()?;
    Some(refusal("ParentNotAccepted", format!("Gateway {} is not accepted: {}", gateway.name, why.message)))
}
