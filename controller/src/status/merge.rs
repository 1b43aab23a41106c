//! What is written to an object's status: what translation says, with what other controllers said kept, and times
//! stamped. Pure; nothing is written where nothing changed.

use crate::CONTROLLER_NAME;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use portolan_crds::{
    Condition, PORTOLAN_GROUP,
    backend_tls_policy::{PolicyAncestorStatus, PolicyStatus},
    common::{ParentReference, RouteParentStatus, RouteStatus},
    gateway::{GatewayClassStatus, GatewayStatus, ListenerStatus},
    listener_set::ListenerSetStatus,
    wasm_filter::WasmFilterStatus,
};
use portolan_translate::statuses::Conditioned;
use serde::Serialize;

/// The API admits no more parents of a route.
const PARENTS_MAX: usize = 32;
/// The API admits no more ancestors of a policy.
const ANCESTORS_MAX: usize = 16;

/// A status that we write.
pub trait Written: Clone + Conditioned + Default + PartialEq + Serialize {
    /// What the status should be, given what it is. `desired` is `None` where the object no longer concerns us.
    fn merged(desired: Option<&Self>, observed: &Self, now: Timestamp) -> Self;

    /// What of it is our word.
    fn ours(&self) -> Self {
        self.clone()
    }
}

/// The status to write, unless it is there already.
pub fn to_write<T: Written>(desired: Option<&T>, observed: Option<&T>, now: Timestamp) -> Option<T> {
    let none = T::default();
    let before = observed.unwrap_or(&none);
    let merged = T::merged(desired, before, now);
    (merged != *before).then_some(merged)
}

/// Conditions with the times at which they became what they are; those that others added are kept.
fn conditions(desired: &[Condition], observed: &[Condition], now: Timestamp) -> Vec<Condition> {
    let ours = desired.iter().map(|condition| {
        let before = observed.iter().find(|before| before.type_ == condition.type_);
        let since =
            before.filter(|before| before.status == condition.status).map(|before| before.last_transition_time.0);
        Condition { last_transition_time: Time(since.unwrap_or(now)), ..condition.clone() }
    });
    // A condition of somebody else says so by its domain.
    let foreign = observed.iter().filter(|condition| {
        condition.type_.split_once('/').is_some_and(|(domain, _)| domain != PORTOLAN_GROUP)
            && !desired.iter().any(|own| own.type_ == condition.type_)
    });
    ours.chain(foreign.cloned()).collect()
}

fn listeners(desired: &[ListenerStatus], observed: &[ListenerStatus], now: Timestamp) -> Vec<ListenerStatus> {
    let stamped = |listener: &ListenerStatus| {
        let before = observed.iter().find(|before| before.name == listener.name);
        let before = before.map_or(&[][..], |before| &before.conditions);
        ListenerStatus { conditions: conditions(&listener.conditions, before, now), ..listener.clone() }
    };
    desired.iter().map(stamped).collect()
}

impl Written for GatewayClassStatus {
    fn merged(desired: Option<&Self>, observed: &Self, now: Timestamp) -> Self {
        let Some(desired) = desired else { return observed.clone() };
        Self { conditions: conditions(&desired.conditions, &observed.conditions, now), ..desired.clone() }
    }
}

impl Written for GatewayStatus {
    fn merged(desired: Option<&Self>, observed: &Self, now: Timestamp) -> Self {
        let Some(desired) = desired else { return observed.clone() };
        Self {
            conditions: conditions(&desired.conditions, &observed.conditions, now),
            listeners: listeners(&desired.listeners, &observed.listeners, now),
            ..desired.clone()
        }
    }
}

impl Written for ListenerSetStatus {
    fn merged(desired: Option<&Self>, observed: &Self, now: Timestamp) -> Self {
        let Some(desired) = desired else { return observed.clone() };
        Self {
            conditions: conditions(&desired.conditions, &observed.conditions, now),
            listeners: listeners(&desired.listeners, &observed.listeners, now),
        }
    }
}

impl Written for WasmFilterStatus {
    fn merged(desired: Option<&Self>, observed: &Self, now: Timestamp) -> Self {
        let Some(desired) = desired else { return observed.clone() };
        Self { conditions: conditions(&desired.conditions, &observed.conditions, now) }
    }
}

impl Written for RouteStatus {
    fn ours(&self) -> Self {
        Self { parents: ours(&self.parents) }
    }

    fn merged(desired: Option<&Self>, observed: &Self, now: Timestamp) -> Self {
        let desired = desired.map_or(&[][..], |desired| &desired.parents);
        Self { parents: entries(desired, &observed.parents, PARENTS_MAX, now) }
    }
}

impl Written for PolicyStatus {
    fn ours(&self) -> Self {
        Self { ancestors: ours(&self.ancestors) }
    }

    fn merged(desired: Option<&Self>, observed: &Self, now: Timestamp) -> Self {
        let desired = desired.map_or(&[][..], |desired| &desired.ancestors);
        Self { ancestors: entries(desired, &observed.ancestors, ANCESTORS_MAX, now) }
    }
}

/// An entry in a status that several controllers write, each its own.
trait Entry: Clone {
    fn is_ours(&self) -> bool;
    /// What it is about.
    fn about(&self) -> &ParentReference;
    fn conditions(&mut self) -> &mut Vec<Condition>;
}

impl Entry for RouteParentStatus {
    fn is_ours(&self) -> bool {
        self.controller_name == CONTROLLER_NAME
    }

    fn about(&self) -> &ParentReference {
        &self.parent_ref
    }

    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }
}

impl Entry for PolicyAncestorStatus {
    fn is_ours(&self) -> bool {
        self.controller_name == CONTROLLER_NAME
    }

    fn about(&self) -> &ParentReference {
        &self.ancestor_ref
    }

    fn conditions(&mut self) -> &mut Vec<Condition> {
        &mut self.conditions
    }
}

fn ours<E: Entry>(entries: &[E]) -> Vec<E> {
    entries.iter().filter(|entry| entry.is_ours()).cloned().collect()
}

/// Other controllers' entries, then ours as they are to be, of which there is no room for more than `max` in all.
fn entries<E: Entry>(desired: &[E], observed: &[E], max: usize, now: Timestamp) -> Vec<E> {
    let (mut before, others): (Vec<_>, Vec<_>) = observed.iter().cloned().partition(Entry::is_ours);
    let stamped = desired.iter().cloned().map(|mut entry| {
        let same = before.iter_mut().find(|before| before.about() == entry.about());
        let observed = same.map(|same| std::mem::take(same.conditions())).unwrap_or_default();
        *entry.conditions() = conditions(entry.conditions(), &observed, now);
        entry
    });
    others.into_iter().chain(stamped).take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("it is a time")
    }

    fn condition(kind: &str, status: &str, since: i64) -> Condition {
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: status.to_owned(),
            message: String::new(),
            observed_generation: Some(1),
            last_transition_time: Time(at(since)),
        }
    }

    fn parent(name: &str, controller: &str, conditions: Vec<Condition>) -> RouteParentStatus {
        let parent_ref = ParentReference { name: name.to_owned(), ..Default::default() };
        RouteParentStatus { parent_ref, controller_name: controller.to_owned(), conditions }
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let observed = [condition("Accepted", "True", 5), condition("Programmed", "False", 6)];
        let desired = [condition("Accepted", "True", 0), condition("Programmed", "True", 0)];
        let merged = conditions(&desired, &observed, at(9));
        let times: Vec<_> = merged.iter().map(|one| one.last_transition_time.0.as_second()).collect();
        assert_eq!(times, [5, 9]);
    }

    #[test]
    fn conditions_of_others_stay_and_ours_that_no_longer_apply_go() {
        let observed = [condition("example.com/Healthy", "True", 5), condition("OverlappingTLSConfig", "True", 5)];
        let merged = conditions(&[condition("Accepted", "True", 0)], &observed, at(9));
        let kinds: Vec<_> = merged.iter().map(|one| one.type_.as_str()).collect();
        assert_eq!(kinds, ["Accepted", "example.com/Healthy"]);
    }

    #[test]
    fn entries_of_other_controllers_stay_and_ours_that_no_longer_apply_go() {
        let observed = RouteStatus {
            parents: vec![
                parent("a", CONTROLLER_NAME, vec![condition("Accepted", "True", 5)]),
                parent("a", "other.example/controller", Vec::new()),
            ],
        };
        let desired =
            RouteStatus { parents: vec![parent("b", CONTROLLER_NAME, vec![condition("Accepted", "True", 0)])] };
        let written = to_write(Some(&desired), Some(&observed), at(9)).expect("it changed");
        let names: Vec<_> = written.parents.iter().map(|one| one.parent_ref.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        let cleared = to_write(None, Some(&observed), at(9)).expect("ours goes");
        assert_eq!(cleared.parents.len(), 1);
        assert_eq!(to_write(None, Some(&cleared), at(9)), None, "nothing of it is ours");
    }

    #[test]
    fn what_is_there_already_is_not_written() {
        let desired =
            RouteStatus { parents: vec![parent("a", CONTROLLER_NAME, vec![condition("Accepted", "True", 0)])] };
        let first = to_write(Some(&desired), None, at(9)).expect("it is new");
        assert_eq!(to_write(Some(&desired), Some(&first), at(20)), None);
    }
}
