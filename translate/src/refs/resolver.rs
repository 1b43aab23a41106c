//! Backend references: from what a route or filter names to a backend of the snapshot, or to what is wrong with it.

use super::{
    backends::{Backends, shown},
    endpoints::service_port,
    grants::{Grants, Referent, Referrer},
    policies::{Policies, PolicyEffect},
};
use crate::{
    conditions::{Refusal, refusal, shown_kind},
    objects::{ObjectName, Objects},
    snapshot::{BackendIndex, BackendKey, BackendProtocol, Target},
};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use portolan_crds::common::BackendObjectReference;

/// Resolves references; knows everything that they may depend on.
pub(crate) struct Resolver<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) grants: &'a Grants,
    pub(crate) policies: &'a Policies,
    pub(crate) backends: &'a mut Backends,
}

/// From where and for what a route is compiled: where it differs, so may the result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Context {
    /// Who it is that forwards.
    pub(crate) side: Side,
    /// Whether TLS was ended before (TLSRoute).
    pub(crate) terminated: bool,
}

/// Who forwards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// A Gateway; the one that is named presents a certificate to backends.
    Gateway(Option<ObjectName>),
    /// The mesh: no grants are needed, since a mesh reaches all Services anyway.
    Mesh,
}

/// What is to be spoken to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// HTTP, as the Service's port says.
    Http,
    /// gRPC, which needs HTTP/2.
    Grpc,
    /// The inside of TLS that ended here.
    Terminated,
    /// Bytes as they come.
    Tcp,
    /// Datagrams.
    Udp,
}

/// What the result of a compilation hangs on beside the object itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dependencies {
    pub(crate) services: Vec<ObjectName>,
    pub(crate) filters: Vec<ObjectName>,
    pub(crate) grants: bool,
    pub(crate) backends: Vec<BackendIndex>,
    pub(crate) unresolved: Vec<Refusal>,
}

// === impl Dependencies ===

impl Dependencies {
    /// Hangs on those too; what of them is not resolved is left out.
    pub(crate) fn add(&mut self, others: Self) {
        self.services.extend(others.services);
        self.filters.extend(others.filters);
        self.grants |= others.grants;
        self.backends.extend(others.backends);
    }
}

// === impl Resolver ===

impl Resolver<'_> {
    /// A target for a reference of `from`; what is wrong with it is noted in `found` with its place.
    pub(crate) fn target(
        &mut self,
        from: Referrer<'_>,
        context: &Context,
        purpose: Purpose,
        reference: &BackendObjectReference,
        place: &str,
        found: &mut Dependencies,
    ) -> Target {
        match self.backend(from, context, purpose, reference, found) {
            Ok(index) => {
                found.backends.push(index);
                Target::Backend(index)
            }
            Err(why) => {
                let namespace = reference.namespace.as_deref().unwrap_or(from.namespace);
                let port = reference.port.map(|port| format!(":{port}")).unwrap_or_default();
                let target = Target::Invalid {
                    reference: format!("{} {namespace}/{}{port}", reference.kind(), reference.name).into(),
                    reason: why.message.as_str().into(),
                };
                found.unresolved.push(refusal(why.reason, format!("{place}: {}", why.message)));
                target
            }
        }
    }

    fn backend(
        &mut self,
        from: Referrer<'_>,
        context: &Context,
        purpose: Purpose,
        reference: &BackendObjectReference,
        found: &mut Dependencies,
    ) -> Result<BackendIndex, Refusal> {
        if (reference.group(), reference.kind()) != ("", "Service") {
            let kind = shown_kind(reference.group(), reference.kind());
            return Err(refusal("InvalidKind", format!("{kind} is not supported, only Service (group \"\") is")));
        }
        let name = ObjectName::new(reference.namespace.as_deref().unwrap_or(from.namespace), reference.name.as_str());
        let to = Referent::core("Service", &name);
        if context.side != Side::Mesh && from.namespace != &*name.namespace {
            found.grants = true;
            if !self.grants.allow(from, to) {
                return Err(refusal("RefNotPermitted", to.not_permitted(from)));
            }
        }
        let missing = |what: String| refusal("BackendNotFound", what);
        // The name of the store is shared by all that refer to the Service.
        let Some((name, service)) = self.objects.services.get_key_value(&name) else {
            found.services.push(name.clone());
            return Err(missing(format!("Service {name} does not exist")));
        };
        found.services.push(name.clone());
        if is_external(service) {
            let message = format!("Service {name} is of the type ExternalName, which is not supported as a backend");
            return Err(refusal("UnsupportedValue", message));
        }
        let number = reference.port.ok_or_else(|| missing(format!("the port of Service {name} must be given")))?;
        let udp = purpose == Purpose::Udp;
        let port = service_port(service, number, udp).ok_or_else(|| match service_port(service, number, !udp) {
            Some(_) => {
                let speaks = if udp { "TCP" } else { "UDP" };
                refusal("UnsupportedProtocol", format!("{} is a {speaks} port", shown(name, number)))
            }
            None => missing(format!("Service {name} has no port {number}")),
        })?;
        self.key(context, purpose, name.clone(), port, number).map(|key| self.backends.intern(key))
    }

    fn key(
        &self,
        context: &Context,
        purpose: Purpose,
        service: ObjectName,
        port: &ServicePort,
        number: u16,
    ) -> Result<BackendKey, Refusal> {
        let effect = match purpose {
            Purpose::Tcp | Purpose::Udp => PolicyEffect::None,
            _ => self.policies.effect(&service, port.name.as_deref()),
        };
        let tls = match effect {
            PolicyEffect::None => false,
            PolicyEffect::Tls(_) => true,
            PolicyEffect::Broken(policy, why) => {
                let message =
                    format!("BackendTLSPolicy {policy} of {} is invalid: {}", shown(&service, number), why.message);
                return Err(refusal("InvalidBackendTLSPolicy", message));
            }
        };
        let protocol = protocol(purpose, port.app_protocol.as_deref(), tls).map_err(|why| {
            let named = port.app_protocol.as_deref().unwrap_or_default();
            refusal("UnsupportedProtocol", format!("{} has the appProtocol {named}, {why}", shown(&service, number)))
        })?;
        let client = match &context.side {
            Side::Gateway(client) if tls => client.clone(),
            _ => None,
        };
        Ok(BackendKey { service, port: number, client, protocol })
    }
}

/// What to speak to a port, from its `appProtocol` (KEP-3726) and what the route is for.
fn protocol(purpose: Purpose, app_protocol: Option<&str>, tls: bool) -> Result<BackendProtocol, &'static str> {
    let http = match purpose {
        Purpose::Tcp => return Ok(BackendProtocol::Tcp),
        Purpose::Udp => return Ok(BackendProtocol::Udp),
        Purpose::Terminated => return Ok(if tls { BackendProtocol::Tls } else { BackendProtocol::Tcp }),
        Purpose::Http => BackendProtocol::Http,
        Purpose::Grpc => BackendProtocol::Http2,
    };
    const NEEDS_TLS: &str = "for which there must be a BackendTLSPolicy";
    let name = app_protocol.unwrap_or_default().to_ascii_lowercase();
    match name.as_str() {
        "https" | "kubernetes.io/wss" if !tls => Err(NEEDS_TLS),
        "kubernetes.io/ws" | "kubernetes.io/wss" if purpose == Purpose::Grpc => Err("which cannot carry gRPC"),
        "kubernetes.io/ws" | "kubernetes.io/wss" => Ok(BackendProtocol::WebSocket),
        "kubernetes.io/h2c" | "h2c" | "http2" | "grpc" => Ok(BackendProtocol::Http2),
        other if other.starts_with("kubernetes.io/") => Err("which is not known"),
        // Names of IANA that say nothing of HTTP are what the Service's owner calls it, and no reason to refuse.
        _ => Ok(http),
    }
}

/// Whether a Service is nothing but a DNS name.
pub(crate) fn is_external(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("ExternalName")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_protocol_and_purpose_decide_what_is_spoken() {
        use BackendProtocol as P;
        let cases = [
            (Purpose::Http, None, false, Ok(P::Http)),
            (Purpose::Grpc, None, false, Ok(P::Http2)),
            (Purpose::Grpc, Some("http"), false, Ok(P::Http2)),
            (Purpose::Http, Some("kubernetes.io/h2c"), false, Ok(P::Http2)),
            (Purpose::Http, Some("kubernetes.io/ws"), false, Ok(P::WebSocket)),
            (Purpose::Http, Some("kubernetes.io/wss"), true, Ok(P::WebSocket)),
            (Purpose::Http, Some("HTTPS"), true, Ok(P::Http)),
            (Purpose::Http, Some("redis"), false, Ok(P::Http)),
            (Purpose::Tcp, Some("https"), false, Ok(P::Tcp)),
            (Purpose::Terminated, None, true, Ok(P::Tls)),
        ];
        for (purpose, name, tls, expected) in cases {
            assert_eq!(protocol(purpose, name, tls), expected, "{purpose:?} {name:?} {tls}");
        }
        for (purpose, name) in [
            (Purpose::Http, "https"),
            (Purpose::Http, "kubernetes.io/wss"),
            (Purpose::Http, "kubernetes.io/new"),
            (Purpose::Grpc, "kubernetes.io/ws"),
        ] {
            assert!(protocol(purpose, Some(name), false).is_err(), "{purpose:?} {name}");
        }
    }
}
