//! Which objects are watched.

use crate::kinds::{Kind, Scope};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
    runtime::watcher,
};
use portolan_translate::{ObjectName, Reference};
use std::{fmt, sync::Arc};

/// The kinds on which a translation depends as a whole, but for Gateways and endpoints: not everybody needs all of those.
pub const ROUTING_KINDS: [Kind; 13] = [
    Kind::GatewayClass,
    Kind::ListenerSet,
    Kind::HTTPRoute,
    Kind::GRPCRoute,
    Kind::TLSRoute,
    Kind::TCPRoute,
    Kind::UDPRoute,
    Kind::ReferenceGrant,
    Kind::BackendTLSPolicy,
    Kind::WasmFilter,
    Kind::GatewayConfig,
    Kind::Service,
    Kind::Namespace,
];

/// Objects of one kind: all that there are, those of a namespace, one of a name, those of some labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selection {
    /// Their kind.
    pub kind: Kind,
    /// Their namespace; all unless it is given.
    pub namespace: Option<Arc<str>>,
    /// Their name; any unless it is given. A right on the object of this name is enough to watch it.
    pub name: Option<Arc<str>>,
    /// A label selector as the API writes it.
    pub labels: Option<Arc<str>>,
}

impl Selection {
    /// All objects of a kind.
    pub fn all(kind: Kind) -> Self {
        Self { kind, namespace: None, name: None, labels: None }
    }

    /// The one object of a name.
    pub fn named(kind: Kind, name: &ObjectName) -> Self {
        let namespace = (kind.scope() == Scope::Namespaced).then(|| name.namespace.clone());
        Self { kind, namespace, name: Some(name.name.clone()), labels: None }
    }

    /// The one object that is referred to.
    pub fn referenced(reference: &Reference) -> Self {
        match reference {
            Reference::Secret(name) => Self::named(Kind::Secret, name),
            Reference::ConfigMap(name) => Self::named(Kind::ConfigMap, name),
        }
    }

    /// What refers to the one object, if it is one that is referred to.
    pub fn reference(&self) -> Option<Reference> {
        let name = ObjectName::new(self.namespace.clone()?, self.name.clone()?);
        match self.kind {
            Kind::Secret => Some(Reference::Secret(name)),
            Kind::ConfigMap => Some(Reference::ConfigMap(name)),
            _ => None,
        }
    }

    /// The objects of a kind with some labels, in all namespaces.
    pub fn labelled(kind: Kind, labels: impl Into<Arc<str>>) -> Self {
        Self { labels: Some(labels.into()), ..Self::all(kind) }
    }

    /// The API of the objects.
    pub fn api(&self, client: Client) -> Api<DynamicObject> {
        let version = self.kind.api_version();
        let resource = ApiResource {
            group: self.kind.group().to_owned(),
            version: version.rsplit('/').next().unwrap_or(version).to_owned(),
            api_version: version.to_owned(),
            kind: self.kind.name().to_owned(),
            plural: self.kind.plural().to_owned(),
        };
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    pub(super) fn watcher_config(&self) -> watcher::Config {
        let mut config = watcher::Config::default();
        if let Some(name) = &self.name {
            config = config.fields(&format!("metadata.name={name}"));
        }
        if let Some(labels) = &self.labels {
            config = config.labels(labels);
        }
        config
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => write!(f, "{} {namespace}/{name}", self.kind.name())?,
            (None, Some(name)) => write!(f, "{} {name}", self.kind.name())?,
            (Some(namespace), None) => write!(f, "{} in namespace {namespace}", self.kind.plural())?,
            (None, None) => f.write_str(self.kind.plural())?,
        }
        self.labels.iter().try_for_each(|labels| write!(f, " with labels {labels}"))
    }
}
