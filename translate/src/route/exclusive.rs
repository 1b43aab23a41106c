//! HTTPRoutes and GRPCRoutes with host names in common at one listener: only one kind can have them, that of the oldest
//! route (<https://gateway-api.sigs.k8s.io/reference/spec/#grpcroutespec>).

use super::Outcome;
use crate::{
    conditions::{Refusal, refusal},
    snapshot::{Hostname, RouteKind},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Routes that lost at listeners, by their positions.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    listeners: HashMap<(usize, usize), Refusal>,
    routes: HashSet<usize>,
}

/// Host names that routes of one kind have, indexed for intersection.
#[derive(Default)]
struct HostSet {
    any: bool,
    exact: HashSet<Arc<str>>,
    wildcard: HashSet<Arc<str>>,
    /// Every proper suffix of the names.
    suffixes: HashSet<Arc<str>>,
    count: usize,
}

/// Finds the routes that lose. `at_listener` holds the positions of the routes at each listener, by age.
pub(crate) fn exclusive(outcomes: &[Arc<Outcome>], at_listener: &[Vec<(usize, &super::Attachment)>]) -> Lost {
    let mut lost = Lost::default();
    for (listener, routes) in at_listener.iter().enumerate() {
        let has = |kind| routes.iter().any(|(route, _)| outcomes[*route].kind == kind);
        if !has(RouteKind::GRPCRoute) || !has(RouteKind::HTTPRoute) {
            continue;
        }
        let (mut http, mut grpc) = (HostSet::default(), HostSet::default());
        for (route, attachment) in routes {
            let outcome = &outcomes[*route];
            let (own, other, name) = match outcome.kind {
                RouteKind::GRPCRoute => (&mut grpc, &http, "HTTPRoute"),
                _ => (&mut http, &grpc, "GRPCRoute"),
            };
            if attachment.hosts.iter().any(|host| other.intersects(host.as_ref())) {
                let message = format!("spec.hostnames: an older {name} has host names in common at the listener");
                lost.listeners.insert((*route, listener), refusal("HostnameConflict", message));
                lost.routes.insert(*route);
            } else {
                attachment.hosts.iter().for_each(|host| own.insert(host.as_ref()));
            }
        }
    }
    lost
}

// === impl Lost ===

impl Lost {
    /// Whether a route lost at a listener.
    pub(crate) fn at(&self, route: usize, listener: usize) -> Option<&Refusal> {
        if self.routes.is_empty() { None } else { self.listeners.get(&(route, listener)) }
    }

    /// Whether a route lost anywhere.
    pub(crate) fn has(&self, route: usize) -> bool {
        self.routes.contains(&route)
    }

    /// Why nothing is left of a route under one of its parents.
    pub(crate) fn under(&self, route: usize, parent: &super::ParentOutcome) -> Option<Refusal> {
        let attachments = parent.attachments();
        let mut all = attachments.iter().map(|attachment| self.at(route, attachment.listener));
        let first = all.next()??;
        all.all(|one| one.is_some()).then(|| first.clone())
    }
}

// === impl HostSet ===

impl HostSet {
    fn insert(&mut self, host: Option<&Hostname>) {
        self.count += 1;
        let name = match host {
            None => {
                self.any = true;
                return;
            }
            Some(Hostname::Exact(name)) => {
                self.exact.insert(name.clone());
                name
            }
            Some(Hostname::Wildcard(suffix)) => {
                self.wildcard.insert(suffix.clone());
                suffix
            }
        };
        self.suffixes.extend(suffixes(name).map(Into::into));
    }

    fn intersects(&self, host: Option<&Hostname>) -> bool {
        let below_wildcard = |name: &str| suffixes(name).any(|suffix| self.wildcard.contains(suffix));
        match host {
            _ if self.count == 0 => false,
            None => true,
            _ if self.any => true,
            Some(Hostname::Exact(name)) => self.exact.contains(name) || below_wildcard(name),
            Some(Hostname::Wildcard(suffix)) => {
                self.wildcard.contains(suffix) || self.suffixes.contains(suffix) || below_wildcard(suffix)
            }
        }
    }
}

/// The name without its first label, without its first two, and so on.
fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.split_once('.').map(|(_, rest)| rest), |rest| rest.split_once('.').map(|(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_agrees_with_pairwise_intersection() {
        let names =
            ["a.example.com", "b.a.example.com", "*.example.com", "*.a.example.com", "example.com", "*.com", "x.org"];
        for own in names {
            let mut set = HostSet::default();
            set.insert(Some(&Hostname::new(own)));
            for other in names {
                let expected = Hostname::new(own).intersects(&Hostname::new(other));
                assert_eq!(set.intersects(Some(&Hostname::new(other))), expected, "{own} {other}");
            }
            assert!(set.intersects(None));
        }
        assert!(!HostSet::default().intersects(None));
    }
}
