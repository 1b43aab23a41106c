//! Addresses of Gateways: which types can be served, and whether those that were asked for are.

use crate::{
    ObjectName,
    conditions::{Refusal, refusal},
    edges::{GatewayAddresses, Replicas},
};
use portolan_crds::Gateway;

/// Why the addresses that a Gateway asks for are of a type that cannot be served. Only IP addresses can be bound; a
/// host name says nothing of where to listen.
pub(super) fn unsupported(gateway: &Gateway) -> Option<Refusal> {
    let kinds = gateway.spec.addresses.iter().map(|address| address.kind.as_deref().unwrap_or("IPAddress"));
    let (at, other) = kinds.enumerate().find(|(_, kind)| *kind != "IPAddress")?;
    Some(refusal(
        "UnsupportedAddress",
        format!("spec.addresses[{at}].type: {other} is not supported, only IPAddress is"),
    ))
}

/// Why those who serve the Gateway do not serve it as it is now.
pub(super) fn pending(addresses: &GatewayAddresses) -> Option<Refusal> {
    match &addresses.replicas {
        Replicas::Current => None,
        Replicas::Behind(why) => Some(refusal("Pending", why.as_str())),
    }
}

/// Why the Gateway is not run as it should be, or not at the addresses where it should be.
pub(super) fn unprogrammed(addresses: &GatewayAddresses, configs: &[ObjectName]) -> Option<Refusal> {
    if let Some(why) = &addresses.refused {
        let configs: Vec<_> = configs.iter().map(|name| format!("GatewayConfig {name}")).collect();
        let by = if configs.is_empty() { String::new() } else { format!(" (run as {} says)", configs.join(" and ")) };
        return Some(refusal("Invalid", format!("{why}{by}")));
    }
    if !addresses.unusable.is_empty() {
        let all: Vec<_> = addresses.unusable.iter().map(|(address, why)| format!("{address}: {why}")).collect();
        return Some(refusal("AddressNotUsable", format!("spec.addresses: {}", all.join("; "))));
    }
    if !addresses.awaited.is_empty() {
        let all = addresses.awaited.join(", ");
        return Some(refusal("AddressNotAssigned", format!("spec.addresses: {all}: not assigned yet")));
    }
    let nowhere = addresses.assigned.is_empty() && addresses.hostnames.is_empty();
    nowhere.then(|| refusal("AddressNotAssigned", "no address is assigned to the Gateway yet"))
}
