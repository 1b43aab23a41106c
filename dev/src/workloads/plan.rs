//! Joins pods and the Services that select them.

use super::{
    Membership, MembershipPort, Note, Plan, PodPlan, PodPort, Workloads, echo_protocol,
    templates::{ContainerPort, Template, Templates, qualified, unfold},
    transport,
};
use crate::{PortKey, QualifiedName};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use std::collections::BTreeMap;

/// A Service that selects pods.
struct Selecting<'a> {
    name: QualifiedName,
    spec: &'a ServiceSpec,
    selector: &'a BTreeMap<String, String>,
}

/// The pods to play. The same objects give the same plan, whatever their order.
pub fn plan(workloads: &Workloads<'_>) -> Plan {
    let mut notes = Vec::new();
    let templates = unfold(workloads, &mut notes);
    let mut services: Vec<Selecting<'_>> =
        workloads.services.iter().filter_map(|service| Selecting::of(service)).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    for service in &services {
        service.check(&templates, &mut notes);
    }
    let mut by_namespace: BTreeMap<&str, Vec<&Selecting<'_>>> = BTreeMap::new();
    for service in &services {
        by_namespace.entry(&service.name.namespace).or_default().push(service);
    }
    let pods = templates.into_iter().map(|(name, template)| {
        let services = by_namespace.get(name.namespace.as_str()).map_or(&[][..], Vec::as_slice);
        pod(name, template, services, &mut notes)
    });
    let pods = pods.collect();
    Plan { pods, notes }
}

fn pod(name: QualifiedName, template: Template, services: &[&Selecting<'_>], notes: &mut Vec<Note>) -> PodPlan {
    let memberships: Vec<Membership> = services
        .iter()
        .filter(|service| service.selects(&template.labels))
        .map(|service| service.membership(&template))
        .collect();
    let mut ports: Vec<PodPort> = Vec::new();
    for ContainerPort { key, name } in template.ports {
        if !ports.iter().any(|port| port.key == key) {
            ports.push(PodPort { key, name, protocol: echo_protocol(key.transport, None) });
        }
    }
    let mut decided: BTreeMap<PortKey, &str> = BTreeMap::new();
    for membership in &memberships {
        for MembershipPort { app_protocol, target, .. } in &membership.ports {
            let protocol = echo_protocol(target.transport, app_protocol.as_deref());
            match ports.iter_mut().find(|port| port.key == *target) {
                None => ports.push(PodPort { key: *target, name: None, protocol }),
                Some(_) if app_protocol.is_none() => {}
                Some(port) => match decided.get(target) {
                    Some(other) if port.protocol != protocol => notes.push(Note {
                        kind: "Service",
                        name: QualifiedName::new(name.namespace.clone(), membership.service.clone()),
                        field: "spec.ports".to_owned(),
                        message: format!("pod {name} speaks what Service {other} says on port {target}"),
                    }),
                    Some(_) => {}
                    None => port.protocol = protocol,
                },
            }
            if app_protocol.is_some() {
                decided.entry(*target).or_insert(&membership.service);
            }
        }
    }
    PodPlan { name, labels: template.labels, ports, player: template.player, memberships }
}

// === impl Selecting ===

impl<'a> Selecting<'a> {
    /// `None` for a Service whose endpoints are the user's business.
    fn of(service: &'a Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
        let is_external = spec.type_.as_deref() == Some("ExternalName");
        (!is_external).then(|| Self { name: qualified(&service.metadata), spec, selector })
    }

    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    fn ports(&self) -> &'a [ServicePort] {
        self.spec.ports.as_deref().unwrap_or_default()
    }

    fn membership(&self, template: &Template) -> Membership {
        let ports = self.ports().iter().filter_map(|port| {
            Some(MembershipPort {
                name: port.name.clone(),
                app_protocol: port.app_protocol.clone(),
                target: target(port, template)?,
            })
        });
        Membership {
            service: self.name.name.clone(),
            publishes_not_ready: self.spec.publish_not_ready_addresses == Some(true),
            ports: ports.collect(),
        }
    }

    /// Notes what keeps the Service, or one of its ports, without endpoints.
    fn check(&self, templates: &Templates, notes: &mut Vec<Note>) {
        let mut note = |field: String, message: String| {
            notes.push(Note { kind: "Service", name: self.name.clone(), field, message });
        };
        let selected: Vec<&Template> = templates
            .iter()
            .filter(|(pod, template)| pod.namespace == self.name.namespace && self.selects(&template.labels))
            .map(|(_, template)| template)
            .collect();
        if selected.is_empty() {
            note("spec.selector".to_owned(), "selects no pod, so it has no endpoint".to_owned());
            return;
        }
        for (index, port) in self.ports().iter().enumerate() {
            if transport(port.protocol.as_deref()).is_none() {
                let protocol = port.protocol.as_deref().unwrap_or_default();
                note(format!("spec.ports[{index}].protocol"), format!("{protocol} is not played"));
            } else if let missing @ 1.. = selected.iter().filter(|pod| target(port, pod).is_none()).count() {
                let wanted = match &port.target_port {
                    Some(IntOrString::String(name)) => name.clone(),
                    Some(IntOrString::Int(number)) => number.to_string(),
                    None => port.port.to_string(),
                };
                let message = format!("{missing} of {} pods have no port {wanted}", selected.len());
                note(format!("spec.ports[{index}].targetPort"), message);
            }
        }
    }
}

/// The pod's port that the Service's port means; `None` if it has none of that name and transport.
fn target(port: &ServicePort, template: &Template) -> Option<PortKey> {
    let transport = transport(port.protocol.as_deref())?;
    let number = |number: i32| u16::try_from(number).ok().filter(|number| *number > 0);
    match &port.target_port {
        None => Some(PortKey { number: number(port.port)?, transport }),
        Some(IntOrString::Int(target)) => Some(PortKey { number: number(*target)?, transport }),
        Some(IntOrString::String(target)) => {
            let has_name = |port: &&ContainerPort| {
                port.name.as_deref() == Some(target.as_str()) && port.key.transport == transport
            };
            template.ports.iter().find(has_name).map(|port| port.key)
        }
    }
}
