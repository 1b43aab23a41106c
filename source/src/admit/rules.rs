//! What the API server does to typed objects of Kubernetes' own kinds, as far as Portolan depends on it, and where a
//! WasmFilter's file lies.

use super::FieldFault;
use crate::{
    kinds::Object,
    places::{Step, keys},
};
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{Secret, Service},
        discovery::v1::EndpointSlice,
    },
};
use portolan_crds::WasmFilter;
use std::{collections::BTreeSet, ops::RangeInclusive, path::Path, sync::Arc};

const PORTS: RangeInclusive<i32> = 1..=65535;
const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
/// Most ports of an EndpointSlice.
const SLICE_PORTS_MAX: usize = 20_000;
/// Most endpoints of an EndpointSlice.
const SLICE_ENDPOINTS_MAX: usize = 1000;

/// Completes the object and reports what the API server would refuse.
pub(super) fn apply(object: &mut Object, folder: &Path) -> Vec<FieldFault> {
    match object {
        Object::Secret(secret) => {
            fold_string_data(Arc::make_mut(secret));
            Vec::new()
        }
        Object::WasmFilter(filter) => resolve_file(Arc::make_mut(filter), folder).into_iter().collect(),
        Object::Service(service) => service_faults(service),
        Object::EndpointSlice(slice) => slice_faults(slice),
        _ => Vec::new(),
    }
}

/// `stringData` is for writing alone; its entries win over those of `data`.
fn fold_string_data(secret: &mut Secret) {
    if let Some(texts) = secret.string_data.take() {
        let entries = texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes())));
        secret.data.get_or_insert_default().extend(entries);
    }
}

/// A module's file is relative to the manifest that names it.
fn resolve_file(filter: &mut WasmFilter, folder: &Path) -> Option<FieldFault> {
    let file = filter.spec.module.file.as_mut()?;
    let fault = |message: String| Some(FieldFault::new(keys(&["spec", "module", "file"]), message));
    match std::path::absolute(folder.join(&*file)) {
        Ok(path) => match path.into_os_string().into_string() {
            Ok(path) => *file = path,
            Err(path) => return fault(format!("the path {} is no UTF-8", path.display())),
        },
        Err(error) => return fault(format!("is no path: {error}")),
    }
    None
}

fn port_path(index: usize, field: &str) -> Vec<Step> {
    vec![Step::Key("spec".to_owned()), Step::Key("ports".to_owned()), Step::Index(index), Step::Key(field.to_owned())]
}

/// The types let a port that is missing be 0.
fn service_faults(service: &Service) -> Vec<FieldFault> {
    let mut faults = Vec::new();
    let Some(spec) = &service.spec else { return faults };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        if !PORTS.contains(&port.port) {
            faults.push(FieldFault::new(
                port_path(index, "port"),
                format!("{} is no port: 1 to 65535 is allowed", port.port),
            ));
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if !PROTOCOLS.contains(&protocol) {
            faults.push(FieldFault::new(
                port_path(index, "protocol"),
                format!("{protocol:?} is none of {}", PROTOCOLS.join(", ")),
            ));
        }
        let name = port.name.as_deref().unwrap_or_default();
        if name.is_empty() && ports.len() > 1 {
            faults.push(FieldFault::new(port_path(index, "name"), "required: a Service with several ports names each"));
        } else if !names.insert(name) {
            faults.push(FieldFault::new(port_path(index, "name"), format!("{name:?} is the name of another port too")));
        }
        if !numbers.insert((protocol, port.port)) {
            faults.push(FieldFault::new(
                port_path(index, "port"),
                format!("{protocol} port {} is there before", port.port),
            ));
        }
    }
    let needs_ports = spec.type_.as_deref() != Some("ExternalName") && spec.cluster_ip.as_deref() != Some("None");
    if ports.is_empty() && needs_ports {
        faults.push(FieldFault::new(keys(&["spec", "ports"]), "required"));
    }
    faults
}

fn slice_faults(slice: &EndpointSlice) -> Vec<FieldFault> {
    if !["IPv4", "IPv6", "FQDN"].contains(&slice.address_type.as_str()) {
        return vec![FieldFault::new(keys(&["addressType"]), "must be IPv4, IPv6 or FQDN")];
    }
    let mut faults = Vec::new();
    let ports = slice.ports.as_deref().unwrap_or_default();
    if ports.len() > SLICE_PORTS_MAX {
        faults.push(FieldFault::new(keys(&["ports"]), format!("more than {SLICE_PORTS_MAX} ports")));
    }
    if slice.endpoints.len() > SLICE_ENDPOINTS_MAX {
        faults.push(FieldFault::new(
            keys(&["endpoints"]),
            format!("more than {SLICE_ENDPOINTS_MAX} endpoints: use several slices"),
        ));
    }
    for (index, port) in ports.iter().enumerate() {
        if port.port.is_some_and(|port| !PORTS.contains(&port)) {
            let path = vec![Step::Key("ports".to_owned()), Step::Index(index), Step::Key("port".to_owned())];
            faults.push(FieldFault::new(path, "is no port: 1 to 65535 is allowed"));
        }
    }
    for (index, endpoint) in slice.endpoints.iter().enumerate() {
        let ip_kind = |address: &String| match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => "IPv4",
            Ok(std::net::IpAddr::V6(_)) => "IPv6",
            Err(_) => "FQDN",
        };
        if endpoint.addresses.is_empty()
            || !endpoint.addresses.iter().all(|address| ip_kind(address) == slice.address_type)
        {
            let path = vec![Step::Key("endpoints".to_owned()), Step::Index(index), Step::Key("addresses".to_owned())];
            faults.push(FieldFault::new(path, format!("must be addresses of the type {:?}", slice.address_type)));
        }
    }
    faults
}
