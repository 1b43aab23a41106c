//! BackendTLSPolicies: which applies to which port of a Service, and what it asks for. Statuses are made elsewhere.

use super::certificates::authorities;
use crate::{
    changes::Changes,
    conditions::{Refusal, created, refusal, shown_kind},
    edges::Edges,
    objects::{ObjectName, Objects},
    snapshot::{BackendTls, Roots, SubjectAltName},
};
use k8s_openapi::api::core::v1::Service;
use portolan_crds::{
    BackendTLSPolicy,
    backend_tls_policy::{PolicyTargetReference, SubjectAltNameType},
};
use rustls_pki_types::ServerName;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// All policies with their targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    services: HashMap<ObjectName, ServicePolicies>,
    outcomes: BTreeMap<ObjectName, PolicyOutcome>,
}

/// Policies of one Service.
#[derive(Clone, Debug, Default, PartialEq)]
struct ServicePolicies {
    whole: Option<ObjectName>,
    by_port: BTreeMap<String, ObjectName>,
}

/// What became of one policy.
#[derive(Clone, Debug)]
pub(crate) struct PolicyOutcome {
    /// What it asks for, or why connections that need it fail.
    pub(crate) tls: Result<Arc<BackendTls>, Refusal>,
    /// Why it is not accepted.
    pub(crate) refused: Option<Refusal>,
    /// References that do not resolve.
    pub(crate) unresolved: Option<Refusal>,
    /// The Services that exist among its targets.
    pub(crate) services: Vec<ObjectName>,
    /// The ConfigMaps that hold its authorities.
    pub(crate) config_maps: Vec<ObjectName>,
}

/// What a port of a Service is under.
pub(crate) enum PolicyEffect<'a> {
    /// No policy: no TLS.
    None,
    /// TLS as a policy asks.
    Tls(&'a Arc<BackendTls>),
    /// A policy that cannot be met: nothing may be sent.
    Broken(&'a ObjectName, &'a Refusal),
}

// === impl Policies ===

impl Policies {
    /// Reads all policies; what did not change keeps its `Arc`.
    pub(crate) fn new(last: Option<&Self>, objects: &Objects, edges: &Edges, changes: &Changes) -> Self {
        let mut by_age: Vec<_> = objects.backend_tls_policies.iter().collect();
        by_age.sort_by_key(|(name, policy)| (created(&policy.metadata), *name));
        let mut all = Self::default();
        for (name, policy) in by_age {
            let before = last.and_then(|last| last.outcomes.get(name)).filter(|outcome| {
                !changes.backend_tls_policies.has(name)
                    && !outcome.config_maps.iter().any(|map| changes.config_maps.has(map))
            });
            let mut outcome = match before {
                Some(before) => PolicyOutcome { services: Vec::new(), ..before.clone() },
                None => read(objects, edges, name, policy),
            };
            all.claim(objects, name, policy, &mut outcome);
            all.outcomes.insert(name.clone(), outcome);
        }
        all
    }

    /// Takes the targets that no older policy has.
    fn claim(&mut self, objects: &Objects, name: &ObjectName, policy: &BackendTLSPolicy, outcome: &mut PolicyOutcome) {
        let (mut lost, mut won) = (Vec::new(), 0);
        for (at, target) in policy.spec.target_refs.iter().enumerate() {
            let service = ObjectName::new(name.namespace.clone(), target.name.as_str());
            if let Err(why) = target_exists(objects, &service, target) {
                lost.push(refusal("TargetNotFound", format!("targetRefs[{at}]: {why}")));
                continue;
            }
            let entry = self.services.entry(service.clone()).or_default();
            let place = match &target.section_name {
                None => entry.whole.get_or_insert_with(|| name.clone()),
                Some(port) => entry.by_port.entry(port.clone()).or_insert_with(|| name.clone()),
            };
            if place == name {
                won += 1;
            } else {
                lost.push(refusal("Conflicted", format!("targetRefs[{at}]: the older policy {place} has this target")));
            }
            outcome.services.push(service);
        }
        // What the policy itself is refused for was found when it was read, and is kept with it; targets are of now.
        let content = outcome.tls.as_ref().err().cloned();
        outcome.refused = content.or_else(|| if won == 0 { Refusal::merged(lost) } else { None });
    }

    /// What a port of a Service is under.
    pub(crate) fn effect(&self, service: &ObjectName, port_name: Option<&str>) -> PolicyEffect<'_> {
        let Some(policies) = self.services.get(service) else { return PolicyEffect::None };
        let named = port_name.and_then(|port| policies.by_port.get(port));
        let Some(name) = named.or(policies.whole.as_ref()) else { return PolicyEffect::None };
        match self.outcomes.get(name).map(|outcome| &outcome.tls) {
            Some(Ok(tls)) => PolicyEffect::Tls(tls),
            Some(Err(why)) => PolicyEffect::Broken(name, why),
            None => PolicyEffect::None,
        }
    }

    /// Whether there is any policy.
    pub(crate) fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
    }

    /// All policies with what became of them.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&ObjectName, &PolicyOutcome)> {
        self.outcomes.iter()
    }

    /// Services for whose routes the policies changed: whether there is one, or whether it can be met.
    pub(crate) fn changed_services<'a>(&'a self, last: &'a Self) -> impl Iterator<Item = &'a ObjectName> {
        let both = self.services.keys().chain(last.services.keys());
        both.filter(|service| {
            let (now, before) = (self.services.get(*service), last.services.get(*service));
            now != before || now.is_some_and(|now| now.names().any(|name| self.validity(name) != last.validity(name)))
        })
    }

    fn validity(&self, policy: &ObjectName) -> Option<Option<&Refusal>> {
        Some(self.outcomes.get(policy)?.tls.as_ref().err())
    }
}

// === impl ServicePolicies ===

impl ServicePolicies {
    fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.whole.iter().chain(self.by_port.values())
    }
}

fn target_exists(objects: &Objects, service: &ObjectName, target: &PolicyTargetReference) -> Result<(), String> {
    if (target.group.as_str(), target.kind.as_str()) != ("", "Service") {
        return Err(format!(
            "{} {}: only a Service (group \"\") can be a target",
            shown_kind(&target.group, &target.kind),
            target.name
        ));
    }
    let Some(found) = objects.services.get(service) else { return Err(format!("Service {service} does not exist")) };
    match &target.section_name {
        Some(port) if !has_port(found, port) => Err(format!("Service {service} has no port named {port}")),
        _ => Ok(()),
    }
}

fn has_port(service: &Service, name: &str) -> bool {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
    ports.is_some_and(|ports| ports.iter().any(|port| port.name.as_deref() == Some(name)))
}

/// Reads what a policy asks for.
fn read(objects: &Objects, edges: &Edges, name: &ObjectName, policy: &BackendTLSPolicy) -> PolicyOutcome {
    let validation = &policy.spec.validation;
    let mut outcome = PolicyOutcome {
        tls: Err(refusal("Invalid", "")),
        refused: None,
        unresolved: None,
        services: Vec::new(),
        config_maps: Vec::new(),
    };
    outcome.tls = roots(objects, edges, name, policy, &mut outcome).and_then(|roots| {
        if let Some(option) = policy.spec.options.keys().next() {
            return Err(refusal("Invalid", format!("options: {option} is not known")));
        }
        let server_name = ServerName::try_from(validation.hostname.clone())
            .map_err(|_| refusal("Invalid", format!("validation.hostname: {} is no host name", validation.hostname)))?;
        let name = |san: &portolan_crds::backend_tls_policy::SubjectAltName| match san.kind {
            SubjectAltNameType::Hostname => SubjectAltName::Dns(san.hostname.to_ascii_lowercase().into()),
            SubjectAltNameType::URI => SubjectAltName::Uri(san.uri.as_str().into()),
        };
        let subject_alt_names = validation.subject_alt_names.iter().map(name).collect();
        Ok(Arc::new(BackendTls { server_name, roots, subject_alt_names, client_certificate: None }))
    });
    outcome
}

fn roots(
    objects: &Objects,
    edges: &Edges,
    name: &ObjectName,
    policy: &BackendTLSPolicy,
    outcome: &mut PolicyOutcome,
) -> Result<Roots, Refusal> {
    let validation = &policy.spec.validation;
    if validation.ca_certificate_refs.is_empty() {
        return match validation.well_known_ca_certificates.as_deref() {
            Some("System") => Ok(Roots::System),
            Some(other) => Err(refusal(
                "Invalid",
                format!("validation.wellKnownCACertificates: {other} is not known, only System is"),
            )),
            None => Err(refusal("Invalid", "validation: caCertificateRefs or wellKnownCACertificates must be given")),
        };
    }
    let (mut certificates, mut refused) = (Vec::new(), Vec::new());
    for (at, reference) in validation.ca_certificate_refs.iter().enumerate() {
        let place = format!("validation.caCertificateRefs[{at}]");
        if (reference.group.as_str(), reference.kind.as_str()) != ("", "ConfigMap") {
            let kind = shown_kind(&reference.group, &reference.kind);
            refused.push(refusal("InvalidKind", format!("{place}: {kind} is not supported, only ConfigMap is")));
            continue;
        }
        let map = ObjectName::new(name.namespace.clone(), reference.name.as_str());
        match authorities(objects, edges, &map) {
            Ok(found) => certificates.extend(found),
            Err(why) => refused.push(refusal(why.reason, format!("{place}: {}", why.message))),
        }
        outcome.config_maps.push(map);
    }
    outcome.unresolved = Refusal::merged(refused);
    if certificates.is_empty() {
        let why = outcome.unresolved.as_ref().map_or("", |why| &why.message);
        return Err(refusal("NoValidCACertificate", why));
    }
    Ok(Roots::Certificates(certificates.into()))
}
