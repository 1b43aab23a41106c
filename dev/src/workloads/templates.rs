//! One template a pod: workloads unfolded into their replicas, with names, labels and container ports. Knows no
//! Service.

use super::{DEV_COMMAND, Note, Player, Workloads, transport};
use crate::{PortKey, QualifiedName};
use k8s_openapi::{
    api::core::v1::{PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use std::collections::BTreeMap;

/// Pods of one workload.
const REPLICAS_MAX: i32 = 100;
/// Pods of all workloads.
const PODS_MAX: usize = 1000;

/// A pod before Services are looked at.
#[derive(Clone, Debug)]
pub(super) struct Template {
    pub labels: BTreeMap<String, String>,
    /// Container ports in the order of the manifest.
    pub ports: Vec<ContainerPort>,
    pub player: Player,
}

#[derive(Clone, Debug)]
pub(super) struct ContainerPort {
    pub key: PortKey,
    pub name: Option<String>,
}

/// The replicas of a workload are numbered from here.
#[derive(Clone, Copy)]
struct Replicas {
    first: i32,
    count: i32,
}

pub(super) type Templates = BTreeMap<QualifiedName, Template>;

struct Unfolding<'a> {
    templates: Templates,
    notes: &'a mut Vec<Note>,
}

/// All pods of the workloads.
pub(super) fn unfold(workloads: &Workloads<'_>, notes: &mut Vec<Note>) -> Templates {
    let mut unfolding = Unfolding { templates: BTreeMap::new(), notes };
    for deployment in &workloads.deployments {
        let Some(spec) = &deployment.spec else { continue };
        let replicas = Replicas { first: 0, count: spec.replicas.unwrap_or(1) };
        unfolding.workload("Deployment", &deployment.metadata, &spec.template, replicas);
    }
    for set in &workloads.stateful_sets {
        let Some(spec) = &set.spec else { continue };
        let first = spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
        unfolding.workload(
            "StatefulSet",
            &set.metadata,
            &spec.template,
            Replicas { first, count: spec.replicas.unwrap_or(1) },
        );
    }
    for set in &workloads.daemon_sets {
        let Some(spec) = &set.spec else { continue };
        unfolding.workload("DaemonSet", &set.metadata, &spec.template, Replicas { first: 0, count: 1 });
    }
    for pod in &workloads.pods {
        let name = qualified(&pod.metadata);
        let template = unfolding.template("Pod", &name, "spec", &pod.metadata, pod.spec.as_ref());
        unfolding.add("Pod", &name, name.clone(), template);
    }
    unfolding.templates
}

/// The object's name; without a namespace it is in `default`.
pub(super) fn qualified(metadata: &ObjectMeta) -> QualifiedName {
    let namespace = metadata.namespace.clone().filter(|namespace| !namespace.is_empty());
    QualifiedName::new(namespace.unwrap_or_else(|| "default".to_owned()), metadata.name.clone().unwrap_or_default())
}

// === impl Unfolding ===

impl Unfolding<'_> {
    fn workload(&mut self, kind: &'static str, metadata: &ObjectMeta, template: &PodTemplateSpec, replicas: Replicas) {
        let name = qualified(metadata);
        let empty = ObjectMeta::default();
        let pod = template.metadata.as_ref().unwrap_or(&empty);
        let template = self.template(kind, &name, "spec.template.spec", pod, template.spec.as_ref());
        let count = replicas.count.clamp(0, REPLICAS_MAX);
        if count < replicas.count {
            let message = format!("{} replicas are wanted, {REPLICAS_MAX} are played", replicas.count);
            self.note(kind, &name, "spec.replicas", message);
        }
        for number in 0..count {
            let number = i64::from(replicas.first) + i64::from(number);
            let pod = QualifiedName::new(name.namespace.clone(), format!("{}-{number}", name.name));
            self.add(kind, &name, pod, template.clone());
        }
    }

    fn add(&mut self, kind: &'static str, owner: &QualifiedName, pod: QualifiedName, template: Template) {
        if self.templates.contains_key(&pod) {
            self.note(
                kind,
                owner,
                "metadata.name",
                format!("another workload has a pod {pod}; this one is not played"),
            );
        } else if self.templates.len() >= PODS_MAX {
            self.note(kind, owner, "spec.replicas", format!("pod {pod} is not played: {PODS_MAX} pods are enough"));
        } else {
            self.templates.insert(pod, template);
        }
    }

    fn template(
        &mut self,
        kind: &'static str,
        owner: &QualifiedName,
        path: &str,
        metadata: &ObjectMeta,
        spec: Option<&PodSpec>,
    ) -> Template {
        let ports = spec.map(|spec| self.ports(kind, owner, path, spec)).unwrap_or_default();
        let command = metadata.annotations.as_ref().and_then(|annotations| annotations.get(DEV_COMMAND));
        let player = match command {
            None => Player::Echo,
            Some(command) => Player::Command {
                command: command.clone(),
                env: spec.map(|spec| self.env(kind, owner, path, spec)).unwrap_or_default(),
            },
        };
        Template { labels: metadata.labels.clone().unwrap_or_default(), ports, player }
    }

    fn ports(&mut self, kind: &'static str, owner: &QualifiedName, path: &str, spec: &PodSpec) -> Vec<ContainerPort> {
        let mut ports: Vec<ContainerPort> = Vec::new();
        for (c, container) in spec.containers.iter().enumerate() {
            for (p, port) in container.ports.iter().flatten().enumerate() {
                let field = format!("{path}.containers[{c}].ports[{p}]");
                let Ok(number @ 1..) = u16::try_from(port.container_port) else {
                    let message = format!("{} is no port number", port.container_port);
                    self.note(kind, owner, &format!("{field}.containerPort"), message);
                    continue;
                };
                let Some(transport) = transport(port.protocol.as_deref()) else {
                    let message = format!("{} is not played", port.protocol.as_deref().unwrap_or_default());
                    self.note(kind, owner, &format!("{field}.protocol"), message);
                    continue;
                };
                let key = PortKey { number, transport };
                if ports.iter().any(|other| other.key == key && other.name == port.name) {
                    continue;
                }
                ports.push(ContainerPort { key, name: port.name.clone() });
            }
        }
        ports
    }

    fn env(&mut self, kind: &'static str, owner: &QualifiedName, path: &str, spec: &PodSpec) -> Vec<(String, String)> {
        let mut env = Vec::new();
        let Some(container) = spec.containers.first() else { return env };
        for (index, variable) in container.env.iter().flatten().enumerate() {
            match &variable.value_from {
                None => env.push((variable.name.clone(), variable.value.clone().unwrap_or_default())),
                Some(_) => {
                    let field = format!("{path}.containers[0].env[{index}].valueFrom");
                    self.note(kind, owner, &field, format!("{} is not set for the dev-command", variable.name));
                }
            }
        }
        if container.env_from.as_ref().is_some_and(|sources| !sources.is_empty()) {
            let field = format!("{path}.containers[0].envFrom");
            self.note(kind, owner, &field, "is not set for the dev-command".to_owned());
        }
        env
    }

    fn note(&mut self, kind: &'static str, name: &QualifiedName, field: &str, message: String) {
        self.notes.push(Note { kind, name: name.clone(), field: field.to_owned(), message });
    }
}
