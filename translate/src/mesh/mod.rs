//! GAMMA: routes whose parent is a Service, and the ports at which Services are listened on
//! (<https://gateway-api.sigs.k8s.io/mesh/>). Host names of routes mean nothing here but to TLSRoutes.

mod frontends;

pub(crate) use frontends::{FrontendMemo, Frontends, frontends};

use crate::{
    conditions::{Refusal, refusal},
    objects::ObjectName,
    refs::resolver::is_external,
    snapshot::RouteKind,
};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use portolan_crds::common::ParentReference;
use std::net::IpAddr;

/// The ports of a Service that a parentRef means, for a kind of route.
pub(crate) fn ports(
    service: &Service,
    name: &ObjectName,
    parent: &ParentReference,
    kind: RouteKind,
) -> Result<Vec<u16>, Refusal> {
    let none = |why: String| Err(refusal("NoMatchingParent", why));
    if is_external(service) || addresses(service).next().is_none() {
        return none(format!("Service {name} has no cluster IP at which a route could apply"));
    }
    let section = parent.section_name.as_deref().filter(|name| !name.is_empty());
    let udp = kind == RouteKind::UDPRoute;
    let meant = |port: &&ServicePort| {
        is_udp(port) == udp
            && section.is_none_or(|name| port.name.as_deref() == Some(name))
            && parent.port.is_none_or(|number| i32::from(number) == port.port)
    };
    let ports: Vec<u16> = service_ports(service).filter(meant).filter_map(number).collect();
    if ports.is_empty() {
        let transport = if udp { "UDP" } else { "TCP" };
        return none(format!("Service {name} has no {transport} port as the parentRef names it"));
    }
    Ok(ports)
}

/// The addresses of a Service, none if it is headless.
fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> + '_ {
    let spec = service.spec.as_ref();
    let many = spec.and_then(|spec| spec.cluster_ips.as_ref()).filter(|ips| !ips.is_empty());
    let one = spec.and_then(|spec| spec.cluster_ip.as_ref()).filter(|_| many.is_none());
    many.into_iter().flatten().chain(one).filter_map(|ip| ip.parse().ok())
}

fn service_ports(service: &Service) -> impl Iterator<Item = &ServicePort> {
    service.spec.as_ref().and_then(|spec| spec.ports.as_ref()).into_iter().flatten()
}

fn is_udp(port: &ServicePort) -> bool {
    port.protocol.as_deref() == Some("UDP")
}

fn number(port: &ServicePort) -> Option<u16> {
    u16::try_from(port.port).ok().filter(|number| *number > 0)
}
