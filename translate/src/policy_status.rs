//! Statuses of BackendTLSPolicies: one entry per Gateway that sends to a Service under the policy.

use crate::{
    conditions::Conditions,
    gateway::Gateways,
    objects::{ObjectName, Objects},
    refs::policies::{Policies, PolicyOutcome},
    route::Outcome,
    statuses::{Note, Severity, StatusMap},
};
use portolan_crds::{
    GATEWAY_GROUP,
    backend_tls_policy::{PolicyAncestorStatus, PolicyStatus},
    common::ParentReference,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// The API admits no more ancestors.
const ANCESTORS_MAX: usize = 16;

/// Statuses of all policies, and notes about those that no Gateway uses.
pub(crate) fn policy_statuses(
    policies: &Policies,
    objects: &Objects,
    outcomes: &[Arc<Outcome>],
    gateways: &Gateways,
    controller: &str,
) -> (StatusMap<PolicyStatus>, Vec<Note>) {
    let (mut statuses, mut notes) = (StatusMap::new(), Vec::new());
    if policies.is_empty() {
        return (statuses, notes);
    }
    let users = users(outcomes, gateways);
    for (name, outcome) in policies.outcomes() {
        let Some(policy) = objects.backend_tls_policies.get(name) else { continue };
        let ancestors: BTreeSet<_> =
            outcome.services.iter().filter_map(|service| users.get(service)).flatten().collect();
        if ancestors.is_empty() {
            notes.push(unused(name, outcome));
        }
        let ancestors = ancestors.into_iter().take(ANCESTORS_MAX).map(|at| {
            let mut conditions = Conditions::of(&policy.metadata);
            conditions.verdict("Accepted", "Accepted", outcome.refused.as_ref()).verdict(
                "ResolvedRefs",
                "ResolvedRefs",
                outcome.unresolved.as_ref(),
            );
            let gateway = &gateways.gateways[*at].name;
            PolicyAncestorStatus {
                ancestor_ref: ParentReference {
                    group: Some(GATEWAY_GROUP.to_owned()),
                    kind: Some("Gateway".to_owned()),
                    namespace: Some(gateway.namespace.to_string()),
                    name: gateway.name.to_string(),
                    ..Default::default()
                },
                controller_name: controller.to_owned(),
                conditions: conditions.finish(),
            }
        });
        statuses.insert(name.clone(), Arc::new(PolicyStatus { ancestors: ancestors.collect() }));
    }
    (statuses, notes)
}

/// Gateways by the Services to which their routes send.
pub(crate) fn users<'a>(outcomes: &'a [Arc<Outcome>], gateways: &Gateways) -> HashMap<&'a ObjectName, BTreeSet<usize>> {
    let mut users: HashMap<_, BTreeSet<usize>> = HashMap::new();
    for outcome in outcomes {
        for attachment in outcome.attachments() {
            let gateway = gateways.listeners[attachment.listener].gateway;
            for service in &attachment.compiled.dependencies.services {
                users.entry(service).or_default().insert(gateway);
            }
        }
    }
    users
}

fn unused(name: &ObjectName, outcome: &PolicyOutcome) -> Note {
    let (severity, message) = match outcome.refused.as_ref().or(outcome.unresolved.as_ref()) {
        Some(why) => (Severity::Problem, format!("{}: {}", why.reason, why.message)),
        None => (Severity::Info, "no route of a Gateway sends to a Service under this policy".to_owned()),
    };
    Note { kind: "BackendTLSPolicy", object: name.clone(), severity, message }
}
