//! Endpoints of backends out of EndpointSlices. Never touches a route.

use crate::{
    changes::{Changed, Changes},
    objects::{ObjectName, Objects},
    snapshot::{Backend, BackendProtocol, Endpoint, Endpoints},
};
use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    discovery::v1::{EndpointConditions, EndpointPort, EndpointSlice},
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The label that names the Service of a slice.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Slices of the Services whose endpoints are looked for.
#[derive(Debug, Default)]
pub(crate) struct Slices<'a> {
    by_service: HashMap<&'a ObjectName, Vec<&'a EndpointSlice>>,
}

/// The Service of each slice: also tells whose endpoints change when a slice goes.
pub(crate) type SliceServices = HashMap<ObjectName, ObjectName>;

// === impl Slices ===

impl<'a> Slices<'a> {
    /// The slices of the Services that are `wanted`.
    pub(crate) fn new(objects: &'a Objects, services: &'a SliceServices, wanted: impl Fn(&ObjectName) -> bool) -> Self {
        let mut by_service: HashMap<_, Vec<_>> = HashMap::new();
        for (name, service) in services.iter().filter(|(_, service)| wanted(service)) {
            if let Some(slice) = objects.endpoint_slices.get(name) {
                by_service.entry(service).or_default().push(&**slice);
            }
        }
        // The first slice by name wins where two have one address.
        by_service.values_mut().for_each(|slices: &mut Vec<&EndpointSlice>| {
            slices.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        });
        Self { by_service }
    }

    /// The endpoints of a backend.
    pub(crate) fn endpoints(&self, backend: &Backend, service: Option<&Service>) -> Endpoints {
        let udp = backend.key.protocol == BackendProtocol::Udp;
        let Some(port) = service.and_then(|service| service_port(service, backend.key.port, udp)) else {
            return Endpoints::default();
        };
        let slices = self.by_service.get(&backend.key.service).map_or(&[][..], Vec::as_slice);
        let mut found = Found::default();
        for slice in slices {
            let ports = slice.ports.as_ref().map_or(&[][..], Vec::as_slice);
            let fits = |p: &&EndpointPort| {
                p.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default()
                    && (p.protocol.as_deref() == Some("UDP")) == udp
            };
            // Slices of FQDNs have no addresses that could be used; a note says so.
            let numbers = ports.iter().filter(fits).filter_map(|p| u16::try_from(p.port?).ok().filter(|n| *n > 0));
            numbers.for_each(|number| found.add(slice, number));
        }
        found.finish()
    }
}

/// The Service that a slice belongs to.
fn service_of(name: &ObjectName, slice: &EndpointSlice) -> Option<ObjectName> {
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
    Some(ObjectName::new(name.namespace.clone(), service.as_str()))
}

/// The Service of each slice; only what changed is looked at.
pub(crate) fn slice_services(
    objects: &Objects,
    changes: &Changes,
    before: Option<&Arc<SliceServices>>,
) -> Arc<SliceServices> {
    let (Some(before), Changed::Some(changed)) = (before, &changes.endpoint_slices) else {
        let pairs = objects.endpoint_slices.iter();
        let services = pairs.filter_map(|(name, slice)| Some((name.clone(), service_of(name, slice)?)));
        return Arc::new(services.collect());
    };
    let mut services = before.clone();
    for name in changed {
        let now = objects.endpoint_slices.get(name).and_then(|slice| service_of(name, slice));
        if before.get(name) == now.as_ref() {
            continue;
        }
        match now {
            Some(service) => Arc::make_mut(&mut services).insert(name.clone(), service),
            None => Arc::make_mut(&mut services).remove(name),
        };
    }
    services
}

/// Services whose slices changed; `None` if all may have.
pub(crate) fn changed_services(
    changes: &Changes,
    before: Option<&SliceServices>,
    now: &SliceServices,
) -> Option<HashSet<ObjectName>> {
    let (Changed::Some(slices), Some(before)) = (&changes.endpoint_slices, before) else { return None };
    Some(slices.iter().flat_map(|slice| before.get(slice).into_iter().chain(now.get(slice))).cloned().collect())
}

/// The port of a Service with a number and a transport. (One number may stand for a TCP and a UDP port.)
pub(crate) fn service_port(service: &Service, number: u16, udp: bool) -> Option<&ServicePort> {
    let ports = service.spec.as_ref()?.ports.as_ref()?;
    ports.iter().find(|port| port.port == i32::from(number) && (port.protocol.as_deref() == Some("UDP")) == udp)
}

/// Endpoints that were found: by address, the ready ones and those that end but still serve.
#[derive(Default)]
struct Found {
    ready: BTreeMap<SocketAddr, Endpoint>,
    draining: BTreeMap<SocketAddr, Endpoint>,
}

impl Found {
    fn add(&mut self, slice: &EndpointSlice, port: u16) {
        for endpoint in &slice.endpoints {
            let Some(state) = State::of(endpoint.conditions.as_ref()) else { continue };
            let into = match state {
                State::Ready => &mut self.ready,
                State::Draining => &mut self.draining,
            };
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let pod: Option<Arc<str>> = pod.and_then(|target| target.name.as_deref()).map(Into::into);
            let zone: Option<Arc<str>> = endpoint.zone.as_deref().map(Into::into);
            // Kubernetes: the addresses of one endpoint are fungible, and clients take the first.
            let Some(ip) = endpoint.addresses.first().and_then(|address| address.parse::<IpAddr>().ok()) else {
                continue;
            };
            let address = SocketAddr::new(ip, port);
            into.entry(address).or_insert_with(|| Endpoint { address, id: identity(address), pod, zone });
        }
    }

    fn finish(self) -> Endpoints {
        let list = if self.ready.is_empty() { self.draining } else { self.ready };
        Endpoints { list: list.into_values().collect() }
    }
}

/// Whether an endpoint takes traffic.
enum State {
    Ready,
    Draining,
}

impl State {
    fn of(conditions: Option<&EndpointConditions>) -> Option<Self> {
        // Absent means ready: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions
        let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
        let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
        let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
        match (ready, terminating && serving) {
            (true, _) => Some(Self::Ready),
            (false, true) => Some(Self::Draining),
            (false, false) => None,
        }
    }
}

/// An identity that is the same in every process and tells nothing of the address.
fn identity(address: SocketAddr) -> u64 {
    let digest = Sha256::digest(address.to_string());
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}
