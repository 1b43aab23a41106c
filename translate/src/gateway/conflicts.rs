//! Listeners that stand in each other's way. Within one object all that conflict lose, between objects the one of
//! higher precedence wins (<https://gateway-api.sigs.k8s.io/geps/gep-1713/>).

use super::listener::{ListenerEntry, Protocol};
use crate::{
    conditions::{Refusal, refusal},
    edges::pod_port,
    snapshot::{Hostname, Transport},
};
use std::collections::HashMap;

/// Why two listeners cannot both be served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conflict {
    Hostname,
    Protocol,
}

/// Notes conflicts between the listeners of one Gateway: `owners` are the positions of the listeners of each object, in
/// order of precedence.
pub(super) fn mark(listeners: &mut [ListenerEntry], owners: &[Vec<usize>]) {
    let mut accepted: Vec<usize> = Vec::new();
    for own in owners {
        let candidates: Vec<usize> = own.iter().copied().filter(|at| listeners[*at].protocol.is_some()).collect();
        // What an object of higher precedence has is lost first, and stands in nobody's way.
        let left = mark_against(listeners, &candidates, &accepted);
        let left = mark_against(listeners, &left, &left);
        accepted.extend(left);
    }
    mark_overlaps(listeners, &accepted);
}

/// Notes which of `candidates` conflict with one of `others`, and gives back those that do not.
fn mark_against(listeners: &mut [ListenerEntry], candidates: &[usize], others: &[usize]) -> Vec<usize> {
    let verdict = |at: &usize| {
        let others = others.iter().filter(|other| *other != at);
        let found = others.filter_map(|other| Some((between(&listeners[*at], &listeners[*other])?, *other)));
        describe(listeners, *at, found.collect())
    };
    let verdicts: Vec<_> = candidates.iter().map(verdict).collect();
    let mut left = Vec::new();
    for (at, verdict) in candidates.iter().zip(verdicts) {
        if verdict.is_none() {
            left.push(*at);
        }
        listeners[*at].conflict = verdict;
    }
    left
}

fn between(a: &ListenerEntry, b: &ListenerEntry) -> Option<Conflict> {
    let (Some(first), Some(second)) = (a.protocol, b.protocol) else { return None };
    // One number may stand for a TCP and a UDP port.
    if a.spec.port != b.spec.port || a.transport() != b.transport() {
        return None;
    }
    let by_name = match (first, second) {
        (Protocol::Http, Protocol::Http) => true,
        (first, second) => first.is_tls() && second.is_tls(),
    };
    match by_name {
        false => Some(Conflict::Protocol),
        true => (a.hostname == b.hostname).then_some(Conflict::Hostname),
    }
}

fn describe(listeners: &[ListenerEntry], at: usize, found: Vec<(Conflict, usize)>) -> Option<Refusal> {
    let (first, _) = found.first()?;
    // A conflict of protocols is the graver one: no host name could solve it.
    let conflict = if found.iter().any(|(one, _)| *one == Conflict::Protocol) { Conflict::Protocol } else { *first };
    let names: Vec<_> = found.iter().map(|(_, other)| name_for(&listeners[at], &listeners[*other])).collect();
    let (reason, why) = match conflict {
        Conflict::Hostname => ("HostnameConflict", "the same port and host name as"),
        Conflict::Protocol => ("ProtocolConflict", "the same port, with a protocol that cannot share it, as"),
    };
    Some(refusal(reason, format!("{why} {}", names.join(", "))))
}

/// The name of `other` in a message about `own`: objects of another namespace are not named, what is in them is not
/// everyone's business.
fn name_for(own: &ListenerEntry, other: &ListenerEntry) -> String {
    match own.id.owner.namespace == other.id.owner.namespace {
        true => other.id.to_string(),
        false => "a listener of another namespace".to_owned(),
    }
}

/// Notes listeners that end TLS on one port for host names that overlap: a client that uses a connection for several
/// names may meet the wrong one.
fn mark_overlaps(listeners: &mut [ListenerEntry], accepted: &[usize]) {
    let ends_tls = |at: &&usize| listeners[**at].protocol.is_some_and(Protocol::ends_tls);
    let candidates: Vec<usize> = accepted.iter().filter(ends_tls).copied().collect();
    for (position, a) in candidates.iter().enumerate() {
        for b in &candidates[position + 1..] {
            let (first, second) = (&listeners[*a], &listeners[*b]);
            if first.spec.port != second.spec.port || !intersect(first.hostname.as_ref(), second.hostname.as_ref()) {
                continue;
            }
            let (of_first, of_second) = (name_for(first, second), name_for(second, first));
            listeners[*a].overlaps.push(of_first);
            listeners[*b].overlaps.push(of_second);
        }
    }
}

fn intersect(a: Option<&Hostname>, b: Option<&Hostname>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.intersects(b),
        _ => true,
    }
}

/// Notes listeners whose port pods bind for another listener of the Gateway already, one of another number.
pub(super) fn mark_shared(listeners: &mut [ListenerEntry]) {
    let mut bound = HashMap::new();
    for listener in listeners.iter_mut().filter(|listener| listener.accepted()) {
        let port = listener.spec.port;
        let owner = *bound.entry((listener.gateway, listener.transport(), pod_port(port))).or_insert(port);
        if owner != port {
            let message = format!("port: pods bind {} for the listener of port {owner}", pod_port(port));
            listener.refused = Some(refusal("PortUnavailable", message));
        }
    }
}

/// Notes listeners whose port is taken by another Gateway at the same address; the Gateways come in order of precedence.
pub(super) fn mark_taken<'a>(
    listeners: impl Iterator<Item = (&'a mut ListenerEntry, Vec<(std::net::SocketAddr, Transport)>)>,
) {
    let mut taken = HashMap::new();
    for (listener, sockets) in listeners {
        if !listener.accepted() {
            continue;
        }
        let gateway = listener.gateway;
        if let Some(socket) = sockets.iter().find(|socket| taken.get(*socket).is_some_and(|owner| *owner != gateway)) {
            let message = format!("port: {} is taken by a Gateway of higher precedence", socket.0);
            listener.refused = Some(refusal("PortUnavailable", message));
            continue;
        }
        taken.extend(sockets.into_iter().map(|socket| (socket, gateway)));
    }
}
