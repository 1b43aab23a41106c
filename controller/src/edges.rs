//! What the cluster says of Gateways that no object of theirs says: addresses from their Services, ready pods from their
//! EndpointSlices.

use crate::{
    CONTROLLER_NAME, Generations,
    infrastructure::{GATEWAY_LABEL, Names, OWN_LABELS},
    replicas::{Answers, Question, Questions, verdict},
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use portolan_crds::Gateway;
use portolan_source::Objects;
use portolan_translate::{
    Edges, LastCertificates, ObjectName,
    edges::{ClientPort, GatewayAddresses},
    snapshot::ModuleDigest,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// What became of each filter's module.
pub type ModuleOutcomes = BTreeMap<ObjectName, Result<ModuleDigest, Arc<str>>>;

/// The edges for these objects. `serving` says which Gateways are ours.
pub fn edges(
    objects: &Objects,
    questions: &Questions,
    answers: &Answers,
    certificates: &mut LastCertificates,
    modules: ModuleOutcomes,
) -> Edges {
    let all = addresses(objects);
    let gateways = questions.iter().filter_map(|(name, question)| {
        let gateway = objects.gateways.get(name)?;
        let names = Names::of(name, &gateway.spec.gateway_class_name);
        let assigned = all.get(&(&*name.namespace, names.label.as_str())).cloned().unwrap_or_default();
        let unusable = unusable(gateway, &assigned);
        Some((name.clone(), GatewayAddresses { assigned, unusable, replicas: verdict(question, answers) }))
    });
    Edges {
        controller_name: CONTROLLER_NAME.into(),
        client_port: ClientPort::Declared,
        gateways: gateways.collect(),
        last_certificates: certificates.look(&objects.secrets),
        modules,
        ..Edges::default()
    }
}

/// What is to be asked of the pods of each Gateway of our classes.
pub fn questions(objects: &Objects) -> Questions {
    let ready = ready(objects);
    let mut questions = Questions::new();
    for (name, gateway) in &objects.gateways {
        let class = objects.gateway_classes.get(&ObjectName::new("", gateway.spec.gateway_class_name.as_str()));
        if class.is_none_or(|class| class.spec.controller_name != CONTROLLER_NAME) {
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

/// The addresses that Services of Gateways have been given, by namespace and label of the Gateway.
fn addresses(objects: &Objects) -> HashMap<(&str, &str), Vec<IpAddr>> {
    let mut all: HashMap<(&str, &str), Vec<IpAddr>> = HashMap::new();
    for (name, service) in &objects.services {
        let labels =
            service.metadata.labels.as_ref().filter(|labels| {
                OWN_LABELS.iter().all(|(key, value)| labels.get(*key).is_some_and(|own| own == value))
            });
        let Some(label) = labels.and_then(|labels| labels.get(GATEWAY_LABEL)) else { continue };
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
        let given = ingress.filter_map(|one| one.ip.as_ref()?.parse::<IpAddr>().ok());
        all.entry((&*name.namespace, label)).or_default().extend(given);
    }
    all
}

/// The addresses that a Gateway asks for and does not have.
fn unusable(gateway: &Gateway, assigned: &[IpAddr]) -> Vec<(String, String)> {
    let wanted = gateway.spec.addresses.iter();
    let of_ips = wanted.filter(|wanted| wanted.kind.as_deref().unwrap_or("IPAddress") == "IPAddress");
    let missing = of_ips.filter(|wanted| {
        !wanted.value.is_empty() && !wanted.value.parse().is_ok_and(|address: IpAddr| assigned.contains(&address))
    });
    missing.map(|wanted| (wanted.value.clone(), "the cluster's load balancer does not give it".to_owned())).collect()
}
