//! What the cluster says of Gateways that no object of theirs says: addresses from their Services, ready pods from their
//! EndpointSlices.

use crate::{
    CONTROLLER_NAME, Generations,
    infrastructure::{GATEWAY_LABEL, Names, OWN_LABELS, Refusals},
    replicas::{Answers, Question, Questions, verdict},
    versions::Versions,
};
use k8s_openapi::{
    api::{core::v1::Service, discovery::v1::EndpointSlice},
    jiff::{SignedDuration, Timestamp},
};
use portolan_crds::Gateway;
use portolan_source::Objects;
use portolan_translate::{
    Edges, LastCertificates, ObjectName, Reference,
    edges::{ClientPort, GatewayAddresses, ModuleOutcomes},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// How long a load balancer is given for an address: that it will not give it, it says nowhere.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// How far a clock of the API server may be ahead of ours.
const SKEW: SignedDuration = SignedDuration::from_secs(-10);
/// Why an address that is asked for is not there.
const NOT_GIVEN: &str = "the cluster's load balancer does not give it";

/// What is known beside the objects.
pub struct Known<'a> {
    /// What gateways' pods answered.
    pub answers: &'a Answers,
    /// What the API server refused.
    pub refusals: &'a Refusals,
    /// What [`names_taken`] says.
    pub taken: &'a BTreeMap<ObjectName, ObjectName>,
    /// What the controller may not read.
    pub forbidden: BTreeSet<Reference>,
    /// The versions of the Gateway API's CRDs.
    pub versions: Versions,
    /// The time.
    pub now: Timestamp,
}

/// The edges for these objects, and whether some load balancer is given a moment more, so that time alone changes them.
pub fn edges(
    objects: &Objects,
    questions: &Questions,
    known: Known<'_>,
    certificates: &mut LastCertificates,
    modules: ModuleOutcomes,
) -> (Edges, bool) {
    let mut wait = false;
    let mut gateways = BTreeMap::new();
    for (name, question) in questions {
        let Some(gateway) = objects.gateways.get(name) else { continue };
        let (addresses, waiting) = addresses(objects, name, gateway, question, &known);
        wait |= waiting;
        gateways.insert(name.clone(), addresses);
    }
    let (bundles, bundles_unseen) = match known.versions {
        Versions::Seen(bundles) => (bundles, false),
        Versions::Forbidden => (Arc::default(), true),
    };
    let edges = Edges {
        controller_name: CONTROLLER_NAME.into(),
        client_port: ClientPort::Declared,
        gateways,
        last_certificates: certificates.look(&objects.secrets),
        forbidden: known.forbidden,
        bundles,
        bundles_unseen,
        modules,
        ..Edges::default()
    };
    (edges, wait)
}

/// What is known of a Gateway's addresses, and whether time alone may change that.
fn addresses(
    objects: &Objects,
    name: &ObjectName,
    gateway: &Gateway,
    question: &Question,
    known: &Known<'_>,
) -> (GatewayAddresses, bool) {
    let names = Names::of(name, &gateway.spec.gateway_class_name);
    let mut given = Given::default();
    // Of one whose names another one has, nothing runs.
    if !known.taken.contains_key(name) {
        services(objects, name, gateway).for_each(|service| given.add(service));
    }
    let Given { addresses: assigned, hostnames } = given;
    let (mut awaited, mut unusable, mut wait) = (Vec::new(), Vec::new(), false);
    for missing in missing(gateway, &assigned) {
        match patience(objects, name, &names, &missing, known.now) {
            Patience::Over => unusable.push((missing, NOT_GIVEN.to_owned())),
            Patience::Service => awaited.push(missing),
            Patience::Time => {
                wait = true;
                awaited.push(missing);
            }
        }
    }
    let refused = match known.taken.get(name) {
        Some(owner) => Some(format!("what runs for it would have the names of what runs for the Gateway {owner}")),
        None => known.refusals.get(&(name.namespace.to_string(), names.label)).cloned(),
    };
    let running = !assigned.is_empty() || !hostnames.is_empty();
    let replicas = verdict(question, known.answers);
    (GatewayAddresses { assigned, hostnames, awaited, unusable, refused, replicas, running }, wait)
}

/// Whether a Gateway is of a class of ours.
pub fn is_ours(objects: &Objects, gateway: &Gateway) -> bool {
    controller_of(objects, gateway).is_some_and(|controller| controller == CONTROLLER_NAME)
}

/// Whether a Gateway is of a class of another controller. One whose class does not exist is nobody's: what ran for it when
/// the class did runs on.
pub fn is_foreign(objects: &Objects, gateway: &Gateway) -> bool {
    controller_of(objects, gateway).is_some_and(|controller| controller != CONTROLLER_NAME)
}

/// The controller of a Gateway's class, if that exists.
fn controller_of<'o>(objects: &'o Objects, gateway: &Gateway) -> Option<&'o str> {
    let class = objects.gateway_classes.get(&ObjectName::new("", gateway.spec.gateway_class_name.as_str()))?;
    Some(&class.spec.controller_name)
}

/// Whether something runs for a Gateway.
pub fn is_running(objects: &Objects, name: &ObjectName, gateway: &Gateway) -> bool {
    services(objects, name, gateway).next().is_some()
}

/// Gateways of ours the names of whose parts an older one has, and that one: `GATEWAY-CLASS` may be the same for two.
pub fn names_taken(objects: &Objects) -> BTreeMap<ObjectName, ObjectName> {
    let mut ours: Vec<_> = objects.gateways.iter().filter(|(_, gateway)| is_ours(objects, gateway)).collect();
    ours.sort_by_key(|(name, gateway)| (gateway.metadata.creation_timestamp.clone(), *name));
    let mut owners: HashMap<(&str, String), &ObjectName> = HashMap::new();
    let mut taken = BTreeMap::new();
    for (name, gateway) in ours {
        let own = Names::of(name, &gateway.spec.gateway_class_name).own;
        let owner = *owners.entry((&*name.namespace, own)).or_insert(name);
        if owner != name {
            taken.insert(name.clone(), owner.clone());
        }
    }
    taken
}

/// What is to be asked of the pods of each Gateway of our classes.
pub fn questions(objects: &Objects) -> Questions {
    let ready = ready(objects);
    let mut questions = Questions::new();
    for (name, gateway) in &objects.gateways {
        if !is_ours(objects, gateway) {
            continue;
        }
        let names = Names::of(name, &gateway.spec.gateway_class_name);
        let mut wanted = Generations::default();
        wanted.gateways.insert(name.to_string(), gateway.metadata.generation.unwrap_or_default());
        let addresses = ready.get(&(&*name.namespace, names.label.as_str())).cloned().unwrap_or_default();
        questions.insert(name.clone(), Question { wanted, ready: addresses });
    }
    for (name, set) in &objects.listener_sets {
        let parent = &set.spec.parent_ref;
        let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
        if let Some(question) = questions.get_mut(&ObjectName::new(namespace, parent.name.as_str())) {
            question.wanted.listener_sets.insert(name.to_string(), set.metadata.generation.unwrap_or_default());
        }
    }
    questions
}

/// Addresses of ready pods by namespace and label of their Gateway; of one family, since each pod is asked once.
fn ready(objects: &Objects) -> HashMap<(&str, &str), BTreeSet<IpAddr>> {
    let mut pods: HashMap<(&str, &str), BTreeMap<String, IpAddr>> = HashMap::new();
    for (name, slice) in &objects.endpoint_slices {
        let Some(label) = slice.metadata.labels.as_ref().and_then(|labels| labels.get(GATEWAY_LABEL)) else { continue };
        let own = pods.entry((&*name.namespace, label)).or_default();
        for (pod, address) in ready_endpoints(slice) {
            // IPv4 comes before IPv6.
            let kept = own.entry(pod).or_insert(address);
            *kept = address.min(*kept);
        }
    }
    pods.into_iter().map(|(key, pods)| (key, pods.into_values().collect())).collect()
}

fn ready_endpoints(slice: &EndpointSlice) -> impl Iterator<Item = (String, IpAddr)> {
    let ready = slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
    ready.filter_map(|endpoint| {
        let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.clone());
        Some((pod.unwrap_or_else(|| address.to_string()), address))
    })
}

/// Where the Services of a Gateway are.
#[derive(Debug, Default)]
struct Given {
    addresses: Vec<IpAddr>,
    /// What a load balancer without addresses gives.
    hostnames: Vec<String>,
}

/// The Services that run for a Gateway. By their names: somebody may have given its labels to another one.
fn services<'o>(objects: &'o Objects, name: &ObjectName, gateway: &Gateway) -> impl Iterator<Item = &'o Arc<Service>> {
    let names = Names::of(name, &gateway.spec.gateway_class_name);
    let addresses = gateway.spec.addresses.iter().filter_map(|wanted| wanted.value.parse().ok());
    let all: BTreeSet<String> = addresses.map(|address| names.at(address)).chain([names.own.clone()]).collect();
    let namespace = name.namespace.clone();
    let found = all.into_iter().filter_map(move |one| objects.services.get(&ObjectName::new(namespace.clone(), one)));
    found.filter(|service| {
        let labels = service.metadata.labels.as_ref();
        OWN_LABELS.iter().all(|(key, value)| labels.and_then(|all| all.get(*key)).is_some_and(|own| own == value))
    })
}

impl Given {
    /// A Service without a load balancer is at its addresses in the cluster.
    fn add(&mut self, service: &Service) {
        let Some(spec) = &service.spec else { return };
        if spec.type_.as_deref() != Some("LoadBalancer") {
            let own = spec.cluster_ips.iter().flatten();
            return self.addresses.extend(own.filter_map(|address| address.parse::<IpAddr>().ok()));
        }
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        for one in balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten() {
            match one.ip.as_ref().and_then(|address| address.parse().ok()) {
                Some(address) => self.addresses.push(address),
                None => self.hostnames.extend(one.hostname.clone()),
            }
        }
    }
}

/// What an address that a Gateway does not have yet waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// A Service that asks for it.
    Service,
    /// The load balancer, for a moment more.
    Time,
    /// Nothing.
    Over,
}

fn patience(objects: &Objects, name: &ObjectName, names: &Names, address: &str, now: Timestamp) -> Patience {
    let Ok(address) = address.parse() else { return Patience::Over };
    let service = objects.services.get(&ObjectName::new(name.namespace.clone(), names.at(address)));
    let Some(service) = service else { return Patience::Service };
    let made = service.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    if (SKEW..PATIENCE).contains(&now.duration_since(made)) { Patience::Time } else { Patience::Over }
}

/// The addresses that a Gateway asks for and does not have.
fn missing(gateway: &Gateway, assigned: &[IpAddr]) -> Vec<String> {
    let wanted = gateway.spec.addresses.iter();
    let of_ips = wanted.filter(|wanted| wanted.kind.as_deref().unwrap_or("IPAddress") == "IPAddress");
    let missing = of_ips.filter(|wanted| {
        !wanted.value.is_empty() && !wanted.value.parse().is_ok_and(|address: IpAddr| assigned.contains(&address))
    });
    missing.map(|wanted| wanted.value.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(value: serde_json::Value) -> Service {
        serde_json::from_value(value).expect("it is a Service")
    }

    #[test]
    fn an_address_is_waited_for_a_moment_and_not_for_ever() {
        let name = ObjectName::new("n", "g");
        let names = Names::of(&name, "c");
        let at = |second| Timestamp::from_second(second).expect("it is a time");
        let mut objects = Objects::default();
        let judge = |objects: &Objects, second| patience(objects, &name, &names, "10.0.0.1", at(second));
        assert_eq!(judge(&objects, 100), Patience::Service);
        let made = service(json!({ "metadata": { "creationTimestamp": "1970-01-01T00:01:40Z" } }));
        objects.services.insert(ObjectName::new("n", names.at([10, 0, 0, 1].into())), made.into());
        assert_eq!([98, 100, 129].map(|now| judge(&objects, now)), [Patience::Time; 3]);
        assert_eq!(judge(&objects, 130), Patience::Over);
        assert_eq!(judge(&objects, 10), Patience::Over, "another clock");
        assert_eq!(patience(&objects, &name, &names, "10.0.0.2", at(900)), Patience::Service, "another address");
    }

    #[test]
    fn of_two_gateways_whose_parts_would_have_the_same_names_the_older_one_has_them() {
        let mut objects = Objects::default();
        for class in ["portolan", "internal-portolan"] {
            let spec = json!({ "metadata": { "name": class }, "spec": { "controllerName": CONTROLLER_NAME } });
            let class = serde_json::from_value::<portolan_crds::GatewayClass>(spec).expect("it is a class");
            let name = class.metadata.name.clone().expect("it has a name");
            objects.gateway_classes.insert(ObjectName::new("", name), class.into());
        }
        for (namespace, name, class, created) in [
            ("n", "web", "internal-portolan", "2024-01-02T00:00:00Z"),
            ("n", "web-internal", "portolan", "2024-01-01T00:00:00Z"),
            ("m", "web", "internal-portolan", "2024-01-03T00:00:00Z"),
            ("n", "other", "nobodys", "2024-01-03T00:00:00Z"),
        ] {
            let gateway: Gateway = serde_json::from_value(json!({
                "metadata": { "name": name, "namespace": namespace, "creationTimestamp": created },
                "spec": { "gatewayClassName": class },
            }))
            .expect("it is a Gateway");
            assert!(!is_foreign(&objects, &gateway), "its class is ours, or nobody's");
            objects.gateways.insert(ObjectName::new(namespace, name), gateway.into());
        }
        let taken = BTreeMap::from([(ObjectName::new("n", "web"), ObjectName::new("n", "web-internal"))]);
        assert_eq!(names_taken(&objects), taken);
    }

    #[test]
    fn a_service_is_at_its_load_balancers_addresses_or_names_or_else_at_its_own() {
        let mut given = Given::default();
        given.add(&service(json!({ "spec": { "type": "ClusterIP", "clusterIPs": ["10.0.0.1", "fd00::1"] } })));
        given.add(&service(json!({
            "spec": { "type": "LoadBalancer", "clusterIPs": ["10.0.0.2"] },
            "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }, { "hostname": "lb.example.com" }] } },
        })));
        let addresses: Vec<_> = given.addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1", "fd00::1", "192.0.2.1"]);
        assert_eq!(given.hostnames, ["lb.example.com"]);
    }
}
