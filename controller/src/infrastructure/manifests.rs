//! The manifests of what runs for a Gateway.

use super::{CLASS_LABEL, GATEWAY_LABEL, NAMESPACE_LABEL, Names, OWN_LABELS, Settings, Wanted, class_label};
use portolan_crds::{
    GATEWAY_GROUP, PORTOLAN_GROUP,
    gateway_config::{AccessLog, Autoscaling, ExternalTrafficPolicy, ServiceType},
};
use portolan_translate::{ListenerPort, edges::pod_port, snapshot::Transport};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// The port at which gateways tell of health, metrics and loaded generations.
pub const READ_ONLY_PORT: u16 = 15_020;
/// Pods of a Gateway, unless its configuration says how many: so that one can go.
const REPLICAS: u32 = 2;
/// The use of CPU that autoscaling aims at, unless the configuration says another.
const CPU_PERCENT: u32 = 80;
/// Time that a gateway has to leave and to answer what is under way.
const GRACE_SECONDS: u32 = 60;
/// How long it takes connections once it is to end, where a load balancer sends to nodes that have a pod: it has to find
/// out by its own health checks, one every some seconds, that a node's last one goes.
const LOCAL_LEAVING_SECONDS: u32 = 25;

/// Kinds that run for a Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each variant is the kind of its name")]
pub enum Resource {
    ServiceAccount,
    Role,
    RoleBinding,
    ClusterRoleBinding,
    Service,
    Deployment,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
}

/// One object as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its kind.
    pub resource: Resource,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All of it.
    pub object: Value,
}

// === impl Resource ===

impl Resource {
    /// Every kind, in the order in which they are made.
    pub const ALL: [Resource; 8] = [
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::ClusterRoleBinding,
        Self::Service,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
    ];

    /// Its API group (empty for the core group), version, kind and plural.
    pub fn api(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Role => ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
            Self::RoleBinding => ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
            Self::ClusterRoleBinding => {
                ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings")
            }
            Self::Service => ("", "v1", "Service", "services"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        }
    }
}

/// All that runs for a Gateway, in the order in which it is made.
pub fn manifests(wanted: &Wanted, settings: &Settings) -> Vec<Manifest> {
    let writer = Writer::new(wanted);
    let mut all = vec![writer.own(Resource::ServiceAccount, json!({ "automountServiceAccountToken": false }))];
    for (namespace, (secrets, config_maps)) in wanted.by_namespace() {
        all.extend(writer.roles(namespace, &secrets, &config_maps));
    }
    all.extend(wanted.addresses().into_iter().map(|address| writer.service(address)));
    all.push(writer.own(Resource::Deployment, json!({ "spec": writer.deployment(settings) })));
    all.extend(wanted.config.autoscaling.as_ref().map(|autoscaling| writer.autoscaler(autoscaling)));
    let budget = json!({ "spec": { "maxUnavailable": 1, "selector": { "matchLabels": writer.selector() } } });
    all.push(writer.own(Resource::PodDisruptionBudget, budget));
    all.sort_by_key(|manifest| manifest.resource);
    all
}

/// Gives all gateways, by the namespaces and names of their ServiceAccounts, the right on what every one of them watches.
/// One object, since nothing that a Gateway owns can be
/// without a namespace.
pub fn cluster_binding(accounts: &[(String, String)], settings: &Settings) -> Manifest {
    let subject = |(namespace, name): &(String, String)| json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace });
    let subjects: Vec<_> = accounts.iter().map(subject).collect();
    let name = &settings.cluster_role;
    let labels = BTreeMap::from(OWN_LABELS);
    let content = json!({
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": subjects,
    });
    manifest(Resource::ClusterRoleBinding, json!({ "name": name, "labels": labels }), content)
}

struct Writer<'a> {
    wanted: &'a Wanted,
    names: Names,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

// === impl Writer ===

impl<'a> Writer<'a> {
    fn new(wanted: &'a Wanted) -> Self {
        let names = Names::of(&wanted.name, &wanted.gateway.spec.gateway_class_name);
        let infrastructure = wanted.gateway.spec.infrastructure.as_ref();
        let mut labels = infrastructure.map(|one| one.labels.clone()).unwrap_or_default();
        // It would say that this is a part of another Gateway.
        labels.remove(NAMESPACE_LABEL);
        let class = class_label(&wanted.gateway.spec.gateway_class_name);
        let own = [(GATEWAY_LABEL, names.label.as_str()), (CLASS_LABEL, &class)];
        labels.extend(own.into_iter().chain(OWN_LABELS).map(|(key, value)| (key.to_owned(), value.to_owned())));
        let annotations = infrastructure.map(|one| one.annotations.clone()).unwrap_or_default();
        Self { wanted, names, labels, annotations }
    }

    /// The object of its kind in the Gateway's namespace, which goes when the Gateway goes.
    fn own(&self, resource: Resource, content: Value) -> Manifest {
        self.named(resource, self.names.own.clone(), content)
    }

    fn named(&self, resource: Resource, name: String, content: Value) -> Manifest {
        let owner = json!({
            "apiVersion": format!("{GATEWAY_GROUP}/v1"), "kind": "Gateway", "name": self.wanted.gateway.metadata.name,
            "uid": self.wanted.gateway.metadata.uid, "controller": true, "blockOwnerDeletion": false,
        });
        let metadata = json!({
            "name": name, "namespace": &*self.wanted.name.namespace, "labels": self.labels,
            "annotations": self.annotations, "ownerReferences": [owner],
        });
        manifest(resource, metadata, content)
    }

    /// The right to read some Secrets and ConfigMaps of a namespace, by name.
    fn roles(&self, namespace: &str, secrets: &BTreeSet<&str>, config_maps: &BTreeSet<&str>) -> [Manifest; 2] {
        let rule = |resource: &str, names: &BTreeSet<&str>| {
            (!names.is_empty()).then(|| {
                json!({ "apiGroups": [""], "resources": [resource], "resourceNames": names,
                        "verbs": ["get", "list", "watch"] })
            })
        };
        let rules: Vec<_> = [rule("secrets", secrets), rule("configmaps", config_maps)].into_iter().flatten().collect();
        let own = *namespace == *self.wanted.name.namespace;
        let name = if own { &self.names.own } else { &self.names.elsewhere };
        let binding = json!({
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "name": self.names.own,
                           "namespace": &*self.wanted.name.namespace }],
        });
        let both = [(Resource::Role, json!({ "rules": rules })), (Resource::RoleBinding, binding)];
        both.map(|(resource, content)| match own {
            true => self.own(resource, content),
            false => {
                let mut labels = self.labels.clone();
                labels.insert(NAMESPACE_LABEL.to_owned(), self.wanted.name.namespace.to_string());
                let metadata = json!({ "name": name, "namespace": namespace, "labels": labels });
                manifest(resource, metadata, content)
            }
        })
    }

    /// What the pods are found by: nothing that may change.
    fn selector(&self) -> Value {
        let class = class_label(&self.wanted.gateway.spec.gateway_class_name);
        json!({ GATEWAY_LABEL: self.names.label, CLASS_LABEL: class })
    }

    fn service(&self, address: Option<IpAddr>) -> Manifest {
        let config = self.wanted.config.service.clone().unwrap_or_default();
        let kind = config.kind.unwrap_or_default();
        let mut spec = json!({
            "type": kind, "selector": self.selector(), "ports": service_ports(&self.wanted.ports),
        });
        if kind != ServiceType::ClusterIP {
            spec["externalTrafficPolicy"] = json!(config.external_traffic_policy.unwrap_or_default());
        }
        if let (ServiceType::LoadBalancer, Some(class)) = (kind, &config.load_balancer_class) {
            spec["loadBalancerClass"] = json!(class);
        }
        let name = match address {
            None => {
                spec["ipFamilyPolicy"] = json!("PreferDualStack");
                self.names.own.clone()
            }
            Some(address) => {
                spec["ipFamilyPolicy"] = json!("SingleStack");
                spec["ipFamilies"] = json!([if address.is_ipv4() { "IPv4" } else { "IPv6" }]);
                let field = if kind == ServiceType::LoadBalancer { "loadBalancerIP" } else { "clusterIP" };
                spec[field] = json!(address);
                self.names.at(address)
            }
        };
        let mut service = self.named(Resource::Service, name, json!({ "spec": spec }));
        let annotations = self.annotations.iter().chain(&config.annotations).collect::<BTreeMap<_, _>>();
        service.object["metadata"]["annotations"] = json!(annotations);
        service
    }

    fn deployment(&self, settings: &Settings) -> Value {
        let mut labels = self.labels.clone();
        labels.insert(format!("{PORTOLAN_GROUP}/component"), "gateway".to_owned());
        let config = &self.wanted.config;
        let mut spec = json!({
            "selector": { "matchLabels": self.selector() },
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
            "template": {
                "metadata": { "labels": labels, "annotations": self.annotations },
                "spec": self.pod(settings),
            },
        });
        // Where an autoscaler counts the pods, nobody else says how many there are.
        if config.autoscaling.is_none() {
            spec["replicas"] = json!(config.replicas.unwrap_or(REPLICAS));
        }
        spec
    }

    fn autoscaler(&self, autoscaling: &Autoscaling) -> Manifest {
        let target = autoscaling.target_cpu_utilization_percentage.unwrap_or(CPU_PERCENT);
        let least = autoscaling.min_replicas.unwrap_or(REPLICAS.min(autoscaling.max_replicas));
        let spec = json!({
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": self.names.own },
            "minReplicas": least, "maxReplicas": autoscaling.max_replicas,
            "metrics": [{ "type": "Resource", "resource": {
                "name": "cpu", "target": { "type": "Utilization", "averageUtilization": target },
            } }],
        });
        self.own(Resource::HorizontalPodAutoscaler, json!({ "spec": spec }))
    }

    fn pod(&self, settings: &Settings) -> Value {
        let config = &self.wanted.config;
        let mut pod = json!({
            "serviceAccountName": self.names.own,
            "automountServiceAccountToken": true,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": self.selector() },
            }],
            "containers": [self.container(settings)],
            "volumes": [{ "name": "modules", "emptyDir": { "sizeLimit": "256Mi" } }],
        });
        let secrets: Vec<_> = settings.image_pull_secrets.iter().map(|name| json!({ "name": name })).collect();
        let given = [
            ("imagePullSecrets", Some(json!(secrets)).filter(|_| !secrets.is_empty())),
            ("nodeSelector", config.node_selector.as_ref().map(|given| json!(given))),
            ("tolerations", config.tolerations.as_ref().map(|given| json!(given))),
            ("affinity", config.affinity.as_ref().map(|given| json!(given))),
        ];
        for (field, value) in given {
            value.into_iter().for_each(|value| pod[field] = value);
        }
        pod
    }

    fn container(&self, settings: &Settings) -> Value {
        let config = &self.wanted.config;
        let log_level = format!("{:?}", config.log_level.unwrap_or_default()).to_lowercase();
        let least = json!({ "requests": { "cpu": "100m", "memory": "64Mi" } });
        let resources = config.resources.as_ref().map_or(least, |resources| json!(resources));
        let probe = |path: &str, period: u32, failures: u32| {
            json!({ "httpGet": { "path": path, "port": READ_ONLY_PORT },
                    "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures })
        };
        json!({
            "name": "gateway",
            "image": settings.image,
            "imagePullPolicy": settings.image_pull_policy,
            "args": self.arguments(),
            "env": [{ "name": "PORTOLAN_LOG", "value": log_level }],
            "ports": [{ "name": "read-only", "containerPort": READ_ONLY_PORT }],
            "startupProbe": probe("/healthz", 1, 60),
            "readinessProbe": probe("/readyz", 1, 3),
            "livenessProbe": probe("/healthz", 10, 3),
            "resources": resources,
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "modules", "mountPath": "/var/cache/portolan" }],
        })
    }
}

impl Writer<'_> {
    /// The command line of the gateway.
    fn arguments(&self) -> Vec<String> {
        let Wanted { name, config, .. } = self.wanted;
        let mut all = vec!["gateway".to_owned()];
        let mut add = |option: &str, value: String| all.extend([option.to_owned(), value]);
        add("--namespace", name.namespace.to_string());
        add("--name", name.name.to_string());
        add("--read-only", format!("[::]:{READ_ONLY_PORT}"));
        // Made by the gateway itself, so that it is its own: the volume's is root's.
        add("--module-cache", "/var/cache/portolan/modules".to_owned());
        let service = config.service.clone().unwrap_or_default();
        if service.external_traffic_policy == Some(ExternalTrafficPolicy::Local) {
            add("--leaving", LOCAL_LEAVING_SECONDS.to_string());
        }
        let telemetry = config.telemetry.clone().unwrap_or_default();
        if let Some(endpoint) = telemetry.otlp_endpoint {
            add("--otlp", endpoint);
        }
        if let Some(percent) = telemetry.trace_sampling_percentage {
            add("--trace-ratio", (f64::from(percent) / 100.0).to_string());
        }
        if telemetry.access_log == Some(AccessLog::Stdout) {
            add("--access-log", "stdout".to_owned());
        }
        all
    }
}

fn manifest(resource: Resource, metadata: Value, content: Value) -> Manifest {
    let (group, version, kind, _) = resource.api();
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
    let (namespace, name) = (text("namespace"), text("name"));
    let mut object = Map::from_iter([
        ("apiVersion".to_owned(), json!(api_version)),
        ("kind".to_owned(), json!(kind)),
        ("metadata".to_owned(), metadata),
    ]);
    if let Value::Object(content) = content {
        object.extend(content);
    }
    Manifest { resource, namespace, name, object: Value::Object(object) }
}

/// The ports of the Service; of HTTPS listeners UDP too, for HTTP/3.
fn service_ports(ports: &BTreeSet<ListenerPort>) -> Vec<Value> {
    let mut all = BTreeSet::new();
    for port in ports {
        all.insert((port.port, if port.transport == Transport::Udp { "UDP" } else { "TCP" }));
        if port.http3 {
            all.insert((port.port, "UDP"));
        }
    }
    let of = |(port, protocol): (u16, &str)| {
        json!({ "name": format!("{}-{port}", protocol.to_lowercase()), "port": port, "protocol": protocol,
                "targetPort": pod_port(port) })
    };
    all.into_iter().map(of).collect()
}
