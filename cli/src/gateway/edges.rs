//! What a gateway's pod knows that no object says, and which objects it watches.

use crate::modules::Modules;
use k8s_openapi::{Metadata, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use portolan_controller::{CONTROLLER_NAME, Generations};
use portolan_source::{
    Kind, ObjectName, Objects,
    kubernetes::{ROUTING_KINDS, Selection, View},
};
use portolan_translate::{
    Edges, LastCertificates, Translation,
    edges::{ClientPort, GatewayAddresses},
    objects::Store,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
};

/// What is watched for a Gateway; Secrets and ConfigMaps only those that the last translation looked for, by name.
pub fn selections(gateway: &ObjectName, last: Option<&Translation>) -> BTreeSet<Selection> {
    let references = last.and_then(|last| last.references.get(gateway)).into_iter().flatten();
    let references = references.filter(|reference| reference.can_exist());
    let own = [Selection::named(Kind::Gateway, gateway), Selection::all(Kind::EndpointSlice)];
    ROUTING_KINDS.into_iter().map(Selection::all).chain(own).chain(references.map(Selection::referenced)).collect()
}

/// Makes the edges of each translation.
pub struct EdgesOf {
    gateway: ObjectName,
    addresses: Vec<IpAddr>,
    certificates: LastCertificates,
}

impl EdgesOf {
    /// The edges of a Gateway's pod.
    pub fn new(gateway: ObjectName) -> Self {
        Self { gateway, addresses: any_addresses(), certificates: LastCertificates::default() }
    }

    /// The edges for what is seen.
    pub fn of(&mut self, view: &View, modules: &mut Modules) -> Edges {
        let (objects, forbidden) = (&view.objects, view.forbidden());
        let (assigned, running) = (self.addresses.clone(), true);
        let addresses = GatewayAddresses { assigned, running, ..GatewayAddresses::default() };
        // A class that is deleted by mistake must not end what it once let run; one of another controller does.
        let class = objects.gateways.get(&self.gateway).map(|own| own.spec.gateway_class_name.as_str().into());
        Edges {
            controller_name: CONTROLLER_NAME.into(),
            implicit_class: class,
            client_port: ClientPort::Declared,
            gateways: BTreeMap::from([(self.gateway.clone(), addresses)]),
            last_certificates: self.certificates.look(&objects.secrets),
            modules: modules.load(objects, &forbidden, &mut BTreeSet::new()),
            forbidden,
            ..Edges::default()
        }
    }
}

/// The generations of what a translation of these objects serves.
pub fn generations(objects: &Objects) -> Generations {
    fn of<T: Metadata<Ty = ObjectMeta>>(objects: &Store<T>) -> BTreeMap<String, i64> {
        let generation = |(name, object): (&ObjectName, &std::sync::Arc<T>)| {
            (name.to_string(), object.metadata().generation.unwrap_or_default())
        };
        objects.iter().map(generation).collect()
    }
    Generations { gateways: of(&objects.gateways), listener_sets: of(&objects.listener_sets), ..Default::default() }
}

/// The addresses that stand for all of this pod's, of the families that the kernel has.
fn any_addresses() -> Vec<IpAddr> {
    let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    all.into_iter().filter(|address| UdpSocket::bind((*address, 0)).is_ok()).collect()
}
