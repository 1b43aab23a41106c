//! Objects and edges out of one YAML text. Objects go through the schemas of the API as they would on `kubectl apply`,
//! but keep their creation times. A document of the kind `Edges` says what the edges know.

use super::certificates;
use portolan_translate::{
    Edges, ObjectName, Objects, Reference,
    edges::{ClientPort, GatewayAddresses, LastModule, ModuleFailure},
    snapshot::Transport,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{net::SocketAddr, path::Path, sync::Arc};

/// The controller of all tests.
pub const CONTROLLER: &str = "portolan.dev/gateway";

/// A text's objects and edges.
pub struct Input {
    pub objects: Objects,
    pub edges: Edges,
}

/// Reads a text; panics where it is not in order. With `# admission: off` in it, objects that the API server would refuse
/// are read all the same.
pub fn read(text: &str) -> Input {
    let (documents, problems) = portolan_source::parse_str(Path::new("input.yaml"), text);
    assert!(problems.is_empty(), "{problems:?}");
    let mut objects = Objects::default();
    let mut edges = Edges {
        controller_name: CONTROLLER.into(),
        implicit_class: Some("portolan".into()),
        frontends: true,
        ..Edges::default()
    };
    let mut said = Value::Null;
    for document in documents {
        let mut value = document.value;
        certificates::expand(&mut value);
        match value["kind"].as_str() {
            None => continue,
            Some("Edges") => said = value,
            Some(_) => add(&mut objects, value, !text.contains("# admission: off")),
        }
    }
    for (at, (name, gateway)) in objects.gateways.iter().enumerate() {
        let asked = gateway.spec.addresses.iter().filter_map(|address| address.value.parse().ok());
        let mut assigned: Vec<_> = asked.collect();
        if assigned.is_empty() {
            assigned.push(format!("127.0.0.{}", at + 1).parse().unwrap());
        }
        edges.gateways.insert(name.clone(), GatewayAddresses { assigned, ..Default::default() });
    }
    override_edges(&mut edges, &said);
    Input { objects, edges }
}

fn override_edges(edges: &mut Edges, said: &Value) {
    let name = |text: &str| {
        let (namespace, name) = text.split_once('/').unwrap();
        ObjectName::new(namespace, name)
    };
    let entries = |field: &str| said[field].as_object().cloned().unwrap_or_default();
    if let Some(frontends) = said["frontends"].as_bool() {
        edges.frontends = frontends;
    }
    if said["clientPort"] == "Declared" {
        edges.client_port = ClientPort::Declared;
    }
    for (gateway, addresses) in entries("gateways") {
        let list = |field: &str| addresses[field].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let assigned = list("assigned").iter().map(|ip| text(ip).parse().unwrap()).collect();
        let unusable = list("unusable").iter().map(|one| (text(&one["address"]), text(&one["why"]))).collect();
        let awaited = list("awaited").iter().map(text).collect();
        let refused = addresses["refused"].as_str().map(str::to_owned);
        let hostnames = list("hostnames").iter().map(text).collect();
        let running = addresses["running"] == true;
        let addresses =
            GatewayAddresses { assigned, hostnames, awaited, unusable, refused, running, ..Default::default() };
        edges.gateways.insert(name(&gateway), addresses);
    }
    let names = |field: &str| said[field].as_array().into_iter().flatten().filter_map(Value::as_str).map(name);
    edges.forbidden.extend(names("forbiddenSecrets").map(Reference::Secret));
    edges.forbidden.extend(names("forbiddenConfigMaps").map(Reference::ConfigMap));
    for (declared, bind) in entries("binds") {
        let (declared, transport) = match declared.strip_suffix("/udp") {
            Some(declared) => (declared, Transport::Udp),
            None => (declared.as_str(), Transport::Tcp),
        };
        let declared: SocketAddr = declared.parse().unwrap();
        edges.binds.insert((declared, transport), bind.as_str().unwrap().parse().unwrap());
    }
    for (filter, result) in entries("modules") {
        let failed = |why: &Value, last| Err(ModuleFailure { why: why.as_str().unwrap().into(), last });
        let result = match result.get("specBefore") {
            Some(spec) => {
                let before = serde_json::json!({"metadata": {"name": "before"}, "spec": spec});
                let filter = Arc::new(serde_json::from_value(before).unwrap());
                failed(&result["failed"], Some(LastModule { digest: [8; 32], filter }))
            }
            None if result == "loaded" => Ok([7; 32]),
            None => failed(&result, None),
        };
        edges.modules.insert(name(&filter), result);
    }
    for (client, namespace) in entries("clients") {
        edges.clients.insert(client.parse().unwrap(), namespace.as_str().unwrap().into());
    }
}

/// Adds an object to those of its kind.
pub fn add(objects: &mut Objects, mut value: Value, admit: bool) {
    let (version, kind) =
        (value["apiVersion"].as_str().unwrap().to_owned(), value["kind"].as_str().unwrap().to_owned());
    let created = value["metadata"]["creationTimestamp"].clone();
    let cluster_scoped = matches!(kind.as_str(), "GatewayClass" | "Namespace");
    if !cluster_scoped && value["metadata"]["namespace"].is_null() {
        value["metadata"]["namespace"] = "default".into();
    }
    if let Some(schema) = portolan_crds::schema::lookup(&version, &kind) {
        let errors = schema.admit(&mut value);
        assert!(!admit || errors.is_empty(), "{kind} {}: {errors:?}", value["metadata"]["name"]);
    }
    if !created.is_null() {
        value["metadata"]["creationTimestamp"] = created;
    }
    value["metadata"]["generation"] = 3.into();
    insert(objects, &kind, value);
}

fn insert(objects: &mut Objects, kind: &str, value: Value) {
    let meta = &value["metadata"];
    let namespace = meta["namespace"].as_str().unwrap_or_default().to_owned();
    let name = ObjectName::new(namespace, meta["name"].as_str().unwrap().to_owned());
    match kind {
        "GatewayClass" => drop(objects.gateway_classes.insert(name, typed(value))),
        "Gateway" => drop(objects.gateways.insert(name, typed(value))),
        "ListenerSet" => drop(objects.listener_sets.insert(name, typed(value))),
        "HTTPRoute" => drop(objects.http_routes.insert(name, typed(value))),
        "GRPCRoute" => drop(objects.grpc_routes.insert(name, typed(value))),
        "TLSRoute" => drop(objects.tls_routes.insert(name, typed(value))),
        "TCPRoute" => drop(objects.tcp_routes.insert(name, typed(value))),
        "UDPRoute" => drop(objects.udp_routes.insert(name, typed(value))),
        "ReferenceGrant" => drop(objects.reference_grants.insert(name, typed(value))),
        "BackendTLSPolicy" => drop(objects.backend_tls_policies.insert(name, typed(value))),
        "WasmFilter" => drop(objects.wasm_filters.insert(name, typed(value))),
        "GatewayConfig" => drop(objects.gateway_configs.insert(name, typed(value))),
        "Service" => drop(objects.services.insert(name, typed(value))),
        "EndpointSlice" => drop(objects.endpoint_slices.insert(name, typed(value))),
        "Secret" => drop(objects.secrets.insert(name, typed(value))),
        "ConfigMap" => drop(objects.config_maps.insert(name, typed(value))),
        "Namespace" => drop(objects.namespaces.insert(name, typed(value))),
        "Deployment" | "Pod" | "ServiceAccount" | "Role" | "RoleBinding" => {}
        other => panic!("no test has a use for {other}"),
    }
}

fn typed<T: DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}
