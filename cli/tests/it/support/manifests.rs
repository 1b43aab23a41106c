//! Manifests in a line or two. Names may be written `namespace/name`.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU8, Ordering},
};

/// One plain listener on port 8080.
pub const HTTP: &str = "- {name: http, port: 8080, protocol: HTTP}";

const GATEWAY_API: &str = "gateway.networking.k8s.io/v1";

/// A loopback address that no other Gateway of these tests has.
pub fn unused_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = u8::try_from(std::process::id() % 250 + 2).unwrap();
    Ipv4Addr::new(127, 0, process, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Any object.
pub fn object(api_version: &str, kind: &str, name: &str, rest: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n{rest}")
}

/// A Gateway of our class with an address of its own.
pub fn gateway(name: &str, listeners: &str) -> String {
    gateway_with(name, listeners, "")
}

/// A Gateway at an address.
pub fn gateway_at(address: Ipv4Addr, name: &str, listeners: &str) -> String {
    gateway_in_full(address, name, listeners, "")
}

/// A Gateway with further fields in its spec.
pub fn gateway_with(name: &str, listeners: &str, more: &str) -> String {
    gateway_in_full(unused_address(), name, listeners, more)
}

fn gateway_in_full(address: Ipv4Addr, name: &str, listeners: &str, more: &str) -> String {
    let rest = format!(
        "spec:\n  gatewayClassName: portolan\n  addresses: [{{type: IPAddress, value: {address}}}]\n  listeners:\n{}\n{}",
        indented(listeners, 2),
        indented(more, 2)
    );
    object(GATEWAY_API, "Gateway", name, &rest)
}

/// The plain Gateway `web`.
pub fn web() -> String {
    gateway("web", HTTP)
}

/// A Deployment of echo servers and its Service on port 8080.
pub fn echo(name: &str) -> String {
    echo_with(name, 1, "- {port: 8080}")
}

/// A Deployment of echo servers and its Service with these ports.
pub fn echo_with(name: &str, replicas: u32, ports: &str) -> String {
    format!("{}\n---\n{}", deployment(name, replicas), service(name, name, ports))
}

/// A Deployment of echo servers, labelled with its own name.
pub fn deployment(name: &str, replicas: u32) -> String {
    let app = name.rsplit('/').next().unwrap();
    let rest = format!(
        "spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: {app}}}}}\n  template:\n    \
         metadata: {{labels: {{app: {app}}}}}\n    spec: {{containers: [{{name: echo, image: example.com/echo}}]}}"
    );
    object("apps/v1", "Deployment", name, &rest)
}

/// A Service that selects a Deployment.
pub fn service(name: &str, deployment: &str, ports: &str) -> String {
    let app = deployment.rsplit('/').next().unwrap();
    object("v1", "Service", name, &format!("spec:\n  selector: {{app: {app}}}\n  ports:\n{}", indented(ports, 2)))
}

/// A Service without a selector, and an EndpointSlice that gives it an address.
pub fn service_at(name: &str, address: std::net::SocketAddr, app_protocol: Option<&str>) -> String {
    let protocol = app_protocol.map(|protocol| format!(", appProtocol: {protocol}")).unwrap_or_default();
    let service = object("v1", "Service", name, &format!("spec: {{ports: [{{port: 8080{protocol}}}]}}"));
    format!("{service}\n---\n{}", slice(name, &format!("{name}-one"), address))
}

/// An EndpointSlice of a Service.
pub fn slice(service: &str, name: &str, address: std::net::SocketAddr) -> String {
    let (namespace, service) = service.split_once('/').unwrap_or(("default", service));
    let name = name.rsplit('/').next().unwrap();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  \
         labels: {{kubernetes.io/service-name: {service}}}\naddressType: IPv4\nports: [{{name: \"\", port: {}, protocol: TCP}}]\n\
         endpoints: [{{addresses: [\"{}\"], conditions: {{ready: true}}}}]",
        address.port(),
        address.ip()
    )
}

/// A route of any kind.
pub fn route(kind: &str, name: &str, spec: &str) -> String {
    object(GATEWAY_API, kind, name, &format!("spec:\n{}", indented(spec, 2)))
}

/// An HTTPRoute of the Gateway `web` with these rules.
pub fn rules(name: &str, rules: &str) -> String {
    route("HTTPRoute", name, &format!("parentRefs: [{{name: web}}]\nrules:\n{rules}"))
}

/// An HTTPRoute of the Gateway `web` with one rule.
pub fn one_rule(name: &str, rule: &str) -> String {
    rules(name, &format!("-\n{}", indented(rule, 2)))
}

/// A ReferenceGrant.
pub fn grant(name: &str, from_kind: &str, from_namespace: &str, to_kind: &str) -> String {
    let group = if from_kind == "Service" { "" } else { "gateway.networking.k8s.io" };
    let rest = format!(
        "spec:\n  from: [{{group: \"{group}\", kind: {from_kind}, namespace: {from_namespace}}}]\n  \
         to: [{{group: \"\", kind: {to_kind}}}]"
    );
    object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", name, &rest)
}

/// A Namespace with labels.
pub fn namespace(name: &str, labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}")
}

/// A block of YAML, further to the right.
pub fn indented(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n")
}

/// A WasmFilter whose module lies beside the manifests.
pub fn wasm_filter(name: &str, module: &str, more: &str) -> String {
    object(
        "portolan.dev/v1alpha1",
        "WasmFilter",
        name,
        &format!("spec:\n  module: {{file: {module}}}\n{}", indented(more, 2)),
    )
}

/// A filter of a rule that names a WasmFilter.
pub fn wasm(name: &str) -> String {
    format!("{{type: ExtensionRef, extensionRef: {{group: portolan.dev, kind: WasmFilter, name: {name}}}}}")
}
