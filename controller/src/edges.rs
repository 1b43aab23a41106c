//! What the cluster says of Gateways that no object of theirs says: addresses from their Services, ready pods from their
//! EndpointSlices.

use crate::{
    CONTROLLER_NAME, Generations,
    infrastructure::{GATEWAY_LABEL, Names, OWN_LABELS, Refusals},
    replicas::{Answers, Question, Questions, verdict},
    versions::Bundles,
};
use k8s_openapi::{api::discovery::v1::EndpointSlice, jiff::Timestamp};
use portolan_crds::Gateway;
use portolan_source::Objects;
use portolan_translate::{
    Edges, LastCertificates, ObjectName, Reference,
    edges::{ClientPort, GatewayAddresses},
    snapshot::ModuleDigest,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// What became of each filter's module.
pub type ModuleOutcomes = BTreeMap<ObjectName, Result<ModuleDigest, Arc<str>>>;

/// How long a load balancer is given for an address: that it will not give it, it says nowhere.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known beside the objects.
pub struct Known<'a> {
    /// What gateways' pods answered.
    pub answers: &'a Answers,
    /// What the API server refused.
    pub refusals: &'a Refusals,
    /// What the controller may not read.
    pub forbidden: BTreeSet<Reference>,
    /// The versions of the Gateway API's CRDs.
    pub bundles: Arc<Bundles>,
    /// The time.
    pub now: Timestamp,
}

/// The edges for these objects.
pub fn edges(
    objects: &Objects,
    questions: &Questions,
    known: Known<'_>,
    certificates: &mut LastCertificates,
    modules: ModuleOutcomes,
) -> Edges {
    let all = services(objects);
    let gateways = questions.iter().filter_map(|(name, question)| {
        let gateway = objects.gateways.get(name)?;
        let names = Names::of(name, &gateway.spec.gateway_class_name);
        let given = all.get(&(&*name.namespace, names.label.as_str())).cloned().unwrap_or_default();
        let missing = missing(gateway, &given.addresses);
        let (awaited, unusable) = match given.is_new(known.now) {
            true => (missing, Vec::new()),
            false => (Vec::new(), missing.into_iter().map(|address| (address, NOT_GIVEN.to_owned())).collect()),
        };
        let refused = known.refusals.get(&(name.namespace.to_string(), names.label)).cloned();
        let replicas = verdict(question, known.answers);
        let assigned = given.addresses;
        Some((name.clone(), GatewayAddresses { assigned, awaited, unusable, refused, replicas }))
    });
    Edges {
        controller_name: CONTROLLER_NAME.into(),
        client_port: ClientPort::Declared,
        gateways: gateways.collect(),
        last_certificates: certificates.look(&objects.secrets),
        forbidden: known.forbidden,
        bundles: known.bundles,
        modules,
        ..Edges::default()
    }
}

/// Why an address that is asked for is not there.
const NOT_GIVEN: &str = "the cluster's load balancer does not give it";

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

/// What the Services of a Gateway have been given.
#[derive(Clone, Debug, Default)]
struct Given {
    addresses: Vec<IpAddr>,
    /// When the last of them was made.
    made: Option<Timestamp>,
}

impl Given {
    /// Whether there was no time to give them an address. (A clock that is ahead of ours says nothing.)
    fn is_new(&self, now: Timestamp) -> bool {
        let age = self.made.map(|made| now.as_second() - made.as_second());
        age.is_none_or(|age| (0..PATIENCE.as_secs().cast_signed()).contains(&age))
    }
}

/// What the Services of Gateways have been given, by namespace and label of the Gateway.
fn services(objects: &Objects) -> HashMap<(&str, &str), Given> {
    let mut all: HashMap<(&str, &str), Given> = HashMap::new();
    for (name, service) in &objects.services {
        let labels =
            service.metadata.labels.as_ref().filter(|labels| {
                OWN_LABELS.iter().all(|(key, value)| labels.get(*key).is_some_and(|own| own == value))
            });
        let Some(label) = labels.and_then(|labels| labels.get(GATEWAY_LABEL)) else { continue };
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
        let given = all.entry((&*name.namespace, label)).or_default();
        given.addresses.extend(ingress.filter_map(|one| one.ip.as_ref()?.parse::<IpAddr>().ok()));
        let made = service.metadata.creation_timestamp.as_ref().map(|time| time.0);
        given.made = given.made.max(made);
    }
    all
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

    #[test]
    fn an_address_is_waited_for_a_moment_and_not_for_ever() {
        let at = |second| Timestamp::from_second(second).expect("it is a time");
        let given = |made: Option<i64>| Given { made: made.map(at), ..Given::default() };
        assert!(given(None).is_new(at(100)), "there is no Service yet");
        assert!(given(Some(97)).is_new(at(100)));
        assert!(!given(Some(90)).is_new(at(100)));
        assert!(!given(Some(4000)).is_new(at(100)), "another clock");
    }
}
