//! The stage: what was read from files, completed by what a cluster would add — addresses, endpoints, certificates,
//! compiled modules — and so ready for translation. Objects that nothing is added to stay the same allocation.

use crate::modules::Modules;
use k8s_openapi::{
    ByteString,
    api::{core::v1::Secret, core::v1::Service, discovery::v1::EndpointSlice},
};
use portolan_controller::CONTROLLER_NAME;
use portolan_dev::{
    QualifiedName,
    addresses::{AddressError, Allocator, Owner},
    ca::{Ca, Usage},
};
use portolan_source::{ObjectName, Objects};
use portolan_translate::{
    Edges, LastCertificates,
    edges::{ClientPort, GatewayAddresses},
    snapshot::Transport,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// The class that exists without being written.
pub const CLASS_NAME: &str = "portolan";

/// What the stage is set with; keeps what it added, so that unchanged objects stay the same.
pub struct Stage {
    allocator: Arc<Allocator>,
    ca: Ca,
    modules: Modules,
    services: HashMap<ObjectName, (Arc<Service>, Arc<Service>)>,
    secrets: HashMap<ObjectName, (Vec<String>, Arc<Secret>)>,
    certificates: LastCertificates,
    /// What was read last, and how it was completed.
    last: Option<(Objects, Set)>,
}

/// What translation gets, and what the user should know.
#[derive(Clone)]
pub struct Set {
    /// The completed objects.
    pub objects: Objects,
    /// What the edges know.
    pub edges: Edges,
    /// Remarks for the user, sorted.
    pub notes: BTreeSet<String>,
    /// Names that clients may use, and where they are served: for `portolan request`.
    pub names: Arc<BTreeMap<String, IpAddr>>,
}

impl Stage {
    /// A stage with these addresses and this CA.
    pub fn new(allocator: Arc<Allocator>, ca: Ca, modules: Modules) -> Self {
        Self {
            allocator,
            ca,
            modules,
            services: HashMap::new(),
            secrets: HashMap::new(),
            certificates: LastCertificates::default(),
            last: None,
        }
    }

    /// The local CA.
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// Compiled modules of the last set.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// Completes objects. `slices` are the endpoints of the pods that are played.
    pub fn set<'a>(
        &mut self,
        read: &Objects,
        slices: impl Iterator<Item = (ObjectName, &'a Arc<EndpointSlice>)>,
    ) -> Set {
        // Nothing is added to endpoints, and they change the most often.
        let mut set = match self.last.take() {
            Some((before, set)) if before.same_but_endpoints(read) => set,
            _ => self.complete(read),
        };
        self.last = Some((read.clone(), set.clone()));
        set.objects.endpoint_slices = read.endpoint_slices.clone();
        for (name, slice) in slices {
            set.objects.endpoint_slices.insert(name, slice.clone());
        }
        set.edges.modules = self.modules.load(read, &BTreeSet::new(), &mut set.notes);
        set
    }

    fn complete(&mut self, read: &Objects) -> Set {
        let mut set = Set {
            objects: read.clone(),
            edges: Edges {
                controller_name: CONTROLLER_NAME.into(),
                implicit_class: Some(CLASS_NAME.into()),
                client_port: ClientPort::Bound,
                frontends: true,
                ..Edges::default()
            },
            notes: BTreeSet::new(),
            names: Arc::default(),
        };
        for name in read.gateway_configs.keys() {
            set.notes
                .insert(format!("GatewayConfig {name} says how gateways run in a cluster: nothing of it applies here"));
        }
        self.place_gateways(&mut set);
        self.place_services(&mut set);
        self.place_clients(&mut set);
        self.make_secrets(&mut set);
        set.edges.last_certificates = self.certificates.look(&set.objects.secrets);
        if let Err(error) = self.allocator.save() {
            set.notes.insert(format!("addresses may change next time: {error}"));
        }
        set
    }

    fn place_gateways(&self, set: &mut Set) {
        let ports = listener_ports(&set.objects);
        for (name, gateway) in &set.objects.gateways.clone() {
            if !serves_class(&set.objects, &gateway.spec.gateway_class_name) {
                continue;
            }
            let owner = Owner::Gateway(qualified(name));
            let mut addresses = GatewayAddresses::default();
            for wanted in gateway
                .spec
                .addresses
                .iter()
                .filter(|wanted| wanted.kind.as_deref().unwrap_or("IPAddress") == "IPAddress")
            {
                match wanted.value.parse::<IpAddr>() {
                    Ok(address) if is_local(address) => addresses.assigned.push(address),
                    Ok(_) => {
                        addresses.unusable.push((wanted.value.clone(), "is not an address of this machine".to_owned()))
                    }
                    Err(_) => {}
                }
            }
            let given = addresses.assigned.is_empty();
            let wanted = ports.get(name).into_iter().flatten();
            let mut binds = Vec::new();
            let mut own = None;
            for (port, transport) in wanted.clone().filter(|_| given) {
                match self.allocator.listen(&owner, *port, dev_transport(*transport)) {
                    Ok(placement) => binds.push((*port, *transport, placement)),
                    Err(error) => self.complain(set, &error),
                }
            }
            if given {
                own = self.allocator.gateway(&qualified(name)).map_err(|error| self.complain(set, &error)).ok();
                addresses.assigned.extend(own.map(IpAddr::V4));
            }
            for (port, transport, placement) in binds {
                let declared = SocketAddr::new(own.map_or(placement.address.ip(), IpAddr::V4), port);
                self.moved(set, declared, transport, placement.address, placement.note);
            }
            for address in addresses.assigned.clone().into_iter().filter(|_| !given) {
                for (port, transport) in wanted.clone() {
                    match self.allocator.bind_port(address, *port, dev_transport(*transport)) {
                        Ok(bound) => {
                            let declared = SocketAddr::new(address, *port);
                            self.moved(set, declared, *transport, SocketAddr::new(address, bound.port), bound.note);
                        }
                        Err(error) => self.complain(set, &error),
                    }
                }
            }
            set.edges.gateways.insert(name.clone(), addresses);
        }
    }

    fn moved(
        &self,
        set: &mut Set,
        declared: SocketAddr,
        transport: Transport,
        bound: SocketAddr,
        note: Option<String>,
    ) {
        if declared != bound {
            set.edges.binds.insert((declared, transport), bound);
        }
        set.notes.extend(note);
    }

    fn complain(&self, set: &mut Set, error: &AddressError) {
        set.notes.insert(error.to_string());
    }

    /// Services get addresses of this machine, since nothing else can be listened on here.
    fn place_services(&mut self, set: &mut Set) {
        let (mut kept, mut names) = (HashMap::new(), BTreeMap::new());
        for (name, service) in &set.objects.services.clone() {
            let Some(spec) = &service.spec else { continue };
            if spec.type_.as_deref() == Some("ExternalName") || spec.cluster_ip.as_deref() == Some("None") {
                continue;
            }
            let owner = Owner::Service(qualified(name));
            let wanted = spec.cluster_ip.as_deref().and_then(|address| address.parse().ok());
            let mut placements = Vec::new();
            if let Err(error) = self.allocator.service(&qualified(name), wanted) {
                set.notes.insert(error.to_string());
            }
            for port in spec.ports.iter().flatten() {
                let transport = match port.protocol.as_deref() {
                    None | Some("TCP") => Transport::Tcp,
                    Some("UDP") => Transport::Udp,
                    Some(_) => continue,
                };
                let Ok(number) = u16::try_from(port.port) else { continue };
                match self.allocator.listen(&owner, number, dev_transport(transport)) {
                    Ok(placement) => placements.push((number, transport, placement)),
                    Err(error) => self.complain(set, &error),
                }
            }
            let address = match self.allocator.service(&qualified(name), wanted) {
                Ok(address) => IpAddr::V4(address),
                Err(_) => continue,
            };
            for (port, transport, placement) in placements {
                self.moved(set, SocketAddr::new(address, port), transport, placement.address, placement.note);
            }
            for alias in [
                format!("{}.{}", name.name, name.namespace),
                format!("{}.{}.svc.cluster.local", name.name, name.namespace),
            ] {
                names.insert(alias, address);
            }
            if &*name.namespace == "default" {
                names.insert(name.name.to_string(), address);
            }
            let amended = match self.services.remove(name) {
                Some((before, amended)) if Arc::ptr_eq(&before, service) && cluster_ip(&amended) == Some(address) => {
                    amended
                }
                _ => Arc::new(with_cluster_ip(service, address)),
            };
            set.objects.services.insert(name.clone(), amended.clone());
            kept.insert(name.clone(), (service.clone(), amended));
        }
        self.services = kept;
        set.names = Arc::new(names);
    }

    /// Each namespace that is mentioned has an address from which its clients connect.
    fn place_clients(&self, set: &mut Set) {
        let objects = &set.objects;
        let named = objects.namespaces.keys().map(|name| &name.name);
        let routes = objects.http_routes.keys().chain(objects.grpc_routes.keys()).chain(objects.tcp_routes.keys());
        let used = routes.chain(objects.services.keys()).map(|name| &name.namespace);
        let namespaces: BTreeSet<Arc<str>> = named.chain(used).cloned().collect();
        for namespace in namespaces {
            match self.allocator.namespace(&namespace) {
                Ok(Some(address)) => {
                    set.edges.clients.insert(address.into(), namespace);
                }
                Ok(None) => {}
                Err(error) => self.complain(set, &error),
            }
        }
    }

    /// TLS Secrets that a listener names and nobody wrote are made from the local CA.
    fn make_secrets(&mut self, set: &mut Set) {
        let mut kept = HashMap::new();
        for (name, hosts) in missing_secrets(&set.objects) {
            let mut hosts: Vec<String> = hosts.into_iter().collect();
            if hosts.is_empty() {
                hosts.push("localhost".to_owned());
            }
            let made = match self.secrets.remove(&name) {
                Some((before, secret)) if before == hosts => Ok(secret),
                _ => self
                    .ca
                    .issue(&hosts, Usage::Server)
                    .map(|issued| Arc::new(tls_secret(&name, issued.certificate_pem, issued.key_pem))),
            };
            match made {
                Ok(secret) => {
                    set.notes.insert(format!(
                        "Secret {name} is not in the manifests: made for {} by the local CA",
                        hosts.join(", ")
                    ));
                    set.objects.secrets.insert(name.clone(), secret.clone());
                    kept.insert(name, (hosts, secret));
                }
                Err(error) => {
                    set.notes.insert(format!("Secret {name} cannot be made: {error}"));
                }
            }
        }
        self.secrets = kept;
    }
}

fn qualified(name: &ObjectName) -> QualifiedName {
    QualifiedName::new(&*name.namespace, &*name.name)
}

/// A transport as the crate for laptops calls it.
pub fn dev_transport(transport: Transport) -> portolan_dev::Transport {
    match transport {
        Transport::Tcp => portolan_dev::Transport::Tcp,
        Transport::Udp => portolan_dev::Transport::Udp,
    }
}

/// Whether a class is ours: the implicit one, or one that names our controller.
fn serves_class(objects: &Objects, class: &str) -> bool {
    match objects.gateway_classes.get(&ObjectName::new("", class)) {
        Some(class) => class.spec.controller_name == CONTROLLER_NAME,
        None => class == CLASS_NAME,
    }
}

/// Whether an address can be listened on here.
fn is_local(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

/// Ports of each Gateway's listeners, those of its ListenerSets among them.
fn listener_ports(objects: &Objects) -> BTreeMap<ObjectName, BTreeSet<(u16, Transport)>> {
    let mut ports: BTreeMap<ObjectName, BTreeSet<(u16, Transport)>> = BTreeMap::new();
    let transport = |protocol: &str| if protocol == "UDP" { Transport::Udp } else { Transport::Tcp };
    for (name, gateway) in &objects.gateways {
        let listeners = gateway.spec.listeners.iter().map(|listener| (listener.port, transport(&listener.protocol)));
        ports.entry(name.clone()).or_default().extend(listeners);
    }
    for (name, set) in &objects.listener_sets {
        let parent = &set.spec.parent_ref;
        let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
        let listeners = set.spec.listeners.iter().map(|listener| (listener.port, transport(&listener.protocol)));
        ports.entry(ObjectName::new(namespace, &*parent.name)).or_default().extend(listeners);
    }
    ports
}

/// TLS Secrets that listeners name and that do not exist, with the host names that they are for.
fn missing_secrets(objects: &Objects) -> BTreeMap<ObjectName, BTreeSet<String>> {
    let mut missing: BTreeMap<ObjectName, BTreeSet<String>> = BTreeMap::new();
    let of_gateways =
        objects.gateways.iter().flat_map(|(name, gateway)| gateway.spec.listeners.iter().map(move |one| (name, one)));
    let of_sets =
        objects.listener_sets.iter().flat_map(|(name, set)| set.spec.listeners.iter().map(move |one| (name, one)));
    for (owner, listener) in of_gateways.chain(of_sets) {
        for reference in listener.tls.iter().flat_map(|tls| &tls.certificate_refs) {
            let namespace = reference.namespace.as_deref().unwrap_or(&owner.namespace);
            let name = ObjectName::new(namespace, &*reference.name);
            if reference.kind() == "Secret" && reference.group().is_empty() && !objects.secrets.contains_key(&name) {
                missing.entry(name).or_default().extend(listener.hostname.clone());
            }
        }
    }
    missing
}

fn tls_secret(name: &ObjectName, certificate: String, key: String) -> Secret {
    let mut secret = Secret { type_: Some("kubernetes.io/tls".to_owned()), ..Secret::default() };
    secret.metadata.name = Some(name.name.to_string());
    secret.metadata.namespace = Some(name.namespace.to_string());
    let data = [("tls.crt", certificate), ("tls.key", key)];
    secret.data = Some(data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect());
    secret
}

fn cluster_ip(service: &Service) -> Option<IpAddr> {
    service.spec.as_ref()?.cluster_ip.as_deref()?.parse().ok()
}

fn with_cluster_ip(service: &Service, address: IpAddr) -> Service {
    let mut amended = service.clone();
    if let Some(spec) = &mut amended.spec {
        spec.cluster_ip = Some(address.to_string());
        spec.cluster_ips = Some(vec![address.to_string()]);
    }
    amended
}
