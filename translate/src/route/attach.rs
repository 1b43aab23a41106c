//! Attachment of routes to their parents: which listeners or ports take a route, under which host names, or why none
//! does. Which of several routes wins is decided afterwards.

use super::{Compiled, Compiler, Route, Validity};
use crate::{
    changes::Changes,
    conditions::{Conditions, Refusal, created, refusal},
    edges::Edges,
    gateway::{Gateways, ListenerEntry, Protocol},
    mesh,
    objects::{ObjectName, Objects},
    recent::Recent,
    refs::resolver::{Context, Side},
    snapshot::{Hostname, RouteKind},
    statuses::{Note, Severity},
};
use portolan_crds::{
    GATEWAY_GROUP,
    common::{GatewayDefaultScope, ParentReference, RouteParentStatus, RouteStatus},
};
use std::{collections::BTreeSet, sync::Arc};

/// Host names that a message lists at most.
const NAMED_MAX: usize = 5;

/// What became of one route.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) kind: RouteKind,
    pub(crate) name: ObjectName,
    /// For precedence by age.
    pub(crate) created: i64,
    /// Its host names.
    pub(crate) hostnames: Box<[Hostname]>,
    /// Its parents that are ours.
    pub(crate) parents: Vec<ParentOutcome>,
    /// Its status, if it loses against no other route.
    pub(crate) status: Arc<RouteStatus>,
    pub(crate) notes: Vec<Note>,
    generation: Option<i64>,
    contexts: Vec<(Context, Arc<Compiled>)>,
    services: Vec<ObjectName>,
}

/// What became of a route under one parent.
#[derive(Debug)]
pub(crate) struct ParentOutcome {
    pub(crate) parent_ref: Arc<ParentReference>,
    pub(crate) target: ParentTarget,
    /// Why the parent does not take it.
    pub(crate) refused: Option<Refusal>,
    /// What it compiles to there, as far as its status goes.
    pub(crate) compiled: Arc<Compiled>,
}

/// Where a route is attached; nowhere if it is refused.
#[derive(Debug)]
pub(crate) enum ParentTarget {
    /// At listeners of a Gateway or ListenerSet.
    Listeners(Vec<Attachment>),
    /// At ports of a Service.
    Service(ObjectName, Vec<u16>),
}

/// Host names of a route at a listener; `None` for any.
type Hosts = Box<[Option<Hostname>]>;

/// A route at a listener.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// Position of the listener.
    pub(crate) listener: usize,
    /// The route's host names that intersect with the listener's; `None` for any.
    pub(crate) hosts: Hosts,
    pub(crate) compiled: Arc<Compiled>,
}

/// Everything that attachment looks at.
pub(crate) struct Attacher<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) edges: &'a Edges,
    pub(crate) gateways: &'a Gateways,
    pub(crate) changes: &'a Changes,
    /// Whether listeners are what they were at the last translation.
    pub(crate) same_listeners: bool,
    pub(crate) compiler: Compiler<'a>,
    /// Thousands of routes have the same parents, and the same to say of them.
    pub(crate) parent_refs: Recent<ParentReference>,
    pub(crate) statuses: Recent<RouteStatus>,
}

/// A route that is being attached.
struct Attaching<'r, T> {
    name: &'r ObjectName,
    route: &'r T,
    hostnames: Box<[Hostname]>,
    /// What of the last translation is still valid, then what was compiled now.
    contexts: Vec<(Context, Arc<Compiled>)>,
    used: Vec<(Context, Arc<Compiled>)>,
    services: Vec<ObjectName>,
    notes: Vec<Note>,
}

// === impl Attacher ===

impl Attacher<'_> {
    /// The outcome of a route: that of the last translation, if nothing changed on which it depends.
    pub(crate) fn outcome<T: Route>(
        &mut self,
        name: &ObjectName,
        route: &T,
        last: Option<&Arc<Outcome>>,
        route_changed: bool,
    ) -> Arc<Outcome> {
        let last = last.filter(|_| !route_changed);
        let fresh = |compiled: &Compiled| !affected(compiled, self.changes);
        if let Some(last) = last.filter(|last| {
            self.same_listeners
                && !last.services.iter().any(|service| self.changes.services.has(service))
                && last.contexts.iter().all(|(_, compiled)| fresh(compiled))
        }) {
            return last.clone();
        }
        let kept = last.iter().flat_map(|last| &last.contexts).filter(|(_, compiled)| fresh(compiled));
        let mut attaching = Attaching {
            name,
            route,
            hostnames: route.hostnames().iter().map(|text| Hostname::new(text)).collect(),
            contexts: kept.cloned().collect(),
            used: Vec::new(),
            services: Vec::new(),
            notes: Vec::new(),
        };
        Arc::new(self.attach(&mut attaching))
    }

    fn attach<T: Route>(&mut self, attaching: &mut Attaching<'_, T>) -> Outcome {
        // What is kept of thousands of routes has no room to grow.
        let mut parents = Vec::with_capacity(attaching.route.parents().len());
        for (at, parent) in attaching.route.parents().iter().enumerate() {
            let namespace = parent.namespace.as_deref().unwrap_or(&attaching.name.namespace);
            let name = ObjectName::new(namespace, parent.name.as_str());
            match (parent.group(), parent.kind()) {
                (GATEWAY_GROUP, "Gateway") => parents.extend(self.gateway(attaching, parent, &name, at)),
                (GATEWAY_GROUP, "ListenerSet") => parents.extend(self.listener_set(attaching, parent, &name, at)),
                ("", "Service") if self.edges.frontends => parents.extend(self.service(attaching, parent, &name, at)),
                ("", "Service") => {}
                (group, kind) => {
                    let why = format!("{group}/{kind} is not supported, only Gateway, ListenerSet and Service are");
                    attaching.note(at, Severity::Problem, &why);
                }
            }
        }
        if attaching.route.default_gateways() == Some(GatewayDefaultScope::All) {
            self.default_gateways(attaching, &mut parents);
        }
        if parents.is_empty() && attaching.route.parents().is_empty() {
            let message = "spec.parentRefs: the route has no parent".to_owned();
            attaching.notes.push(attaching.about(Severity::Info, message));
        }
        attaching.used.shrink_to_fit();
        let meta = attaching.route.meta();
        let status = status(meta.generation, &self.edges.controller_name, &parents, |_| None);
        Outcome {
            kind: T::KIND,
            name: attaching.name.clone(),
            created: created(meta),
            hostnames: std::mem::take(&mut attaching.hostnames),
            parents,
            status: self.statuses.share(status),
            notes: std::mem::take(&mut attaching.notes),
            generation: meta.generation,
            contexts: std::mem::take(&mut attaching.used),
            services: std::mem::take(&mut attaching.services),
        }
    }

    fn gateway<T: Route>(
        &mut self,
        attaching: &mut Attaching<'_, T>,
        parent: &ParentReference,
        name: &ObjectName,
        at: usize,
    ) -> Option<ParentOutcome> {
        let gateways = self.gateways;
        let Some(position) = gateways.gateway_by_name.get(name) else {
            if !self.objects.gateways.contains_key(name) {
                attaching.note(at, Severity::Problem, &format!("Gateway {name} does not exist"));
            }
            return None;
        };
        Some(self.listeners(attaching, parent, *position, &gateways.gateways[*position].listeners))
    }

    fn listener_set<T: Route>(
        &mut self,
        attaching: &mut Attaching<'_, T>,
        parent: &ParentReference,
        name: &ObjectName,
        at: usize,
    ) -> Option<ParentOutcome> {
        let gateways = self.gateways;
        let Some(position) = gateways.set_by_name.get(name) else {
            if !self.objects.listener_sets.contains_key(name) {
                attaching.note(at, Severity::Problem, &format!("ListenerSet {name} does not exist"));
            }
            return None;
        };
        let set = &gateways.sets[*position];
        let mut outcome = self.listeners(attaching, parent, set.gateway, &set.listeners);
        if let Some(why) = set.refused.as_ref().filter(|_| set.listeners.is_empty()) {
            let message = format!("ListenerSet {name} is not accepted: {}", why.message);
            outcome.refused = Some(refusal("NoMatchingParent", message));
        }
        Some(outcome)
    }

    fn default_gateways<T: Route>(&mut self, attaching: &mut Attaching<'_, T>, parents: &mut Vec<ParentOutcome>) {
        let gateways = self.gateways;
        for (position, gateway) in gateways.gateways.iter().enumerate() {
            let name = &gateway.name;
            let named = attaching.route.parents().iter().any(|parent| {
                parent.kind() == "Gateway"
                    && *parent.name == *name.name
                    && parent.namespace.as_deref().unwrap_or(&attaching.name.namespace) == &*name.namespace
            });
            if gateway.object.spec.default_scope != Some(GatewayDefaultScope::All) || named {
                continue;
            }
            let parent = ParentReference {
                group: Some(GATEWAY_GROUP.to_owned()),
                kind: Some("Gateway".to_owned()),
                namespace: Some(name.namespace.to_string()),
                name: name.name.to_string(),
                ..Default::default()
            };
            parents.push(self.listeners(attaching, &parent, position, &gateway.listeners));
        }
    }

    /// Attaches to those of `all` that the parentRef means and that take the route.
    fn listeners<T: Route>(
        &mut self,
        attaching: &mut Attaching<'_, T>,
        parent: &ParentReference,
        gateway: usize,
        all: &[usize],
    ) -> ParentOutcome {
        let client = &self.gateways.gateways[gateway];
        let side = Side::Gateway(client.client_certificate.is_some().then(|| client.name.clone()));
        let chosen = self.choose::<T>(attaching, parent, all);
        let (chosen, mut refused) = match chosen {
            Ok(chosen) => (chosen, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let mut attachments = Vec::with_capacity(chosen.len());
        for (listener, hosts) in chosen {
            let terminated = self.gateways.listeners[listener].protocol == Some(Protocol::TlsTerminate);
            let compiled = attaching.compiled(&Context { side: side.clone(), terminated }, &mut self.compiler);
            attachments.push(Attachment { listener, hosts, compiled });
        }
        let compiled = match attachments.first() {
            Some(attachment) => attachment.compiled.clone(),
            None => attaching.compiled(&Context { side, terminated: false }, &mut self.compiler),
        };
        if let Some(why) = compiled.refused() {
            refused.get_or_insert_with(|| why.clone());
            attachments.clear();
        }
        let parent_ref = self.parent_refs.share(parent.clone());
        ParentOutcome { parent_ref, target: ParentTarget::Listeners(attachments), refused, compiled }
    }

    fn choose<T: Route>(
        &self,
        attaching: &Attaching<'_, T>,
        parent: &ParentReference,
        all: &[usize],
    ) -> Result<Vec<(usize, Hosts)>, Refusal> {
        let section = parent.section_name.as_deref().filter(|name| !name.is_empty());
        let meant = |listener: &ListenerEntry| {
            section.is_none_or(|name| *listener.id.name == *name)
                && parent.port.is_none_or(|port| port == listener.spec.port)
        };
        let listeners: Vec<usize> = all.iter().copied().filter(|at| meant(&self.gateways.listeners[*at])).collect();
        if listeners.is_empty() {
            let section = section.map(|name| format!(" named {name}")).unwrap_or_default();
            let port = parent.port.map(|port| format!(" at port {port}")).unwrap_or_default();
            let message = format!("{} {} has no listener{section}{port}", parent.kind(), parent.name);
            return Err(refusal("NoMatchingParent", message));
        }
        let namespace = &attaching.name.namespace;
        let labels = self.objects.namespaces.get(&ObjectName::new("", namespace.clone())).map(|object| &**object);
        let admits = |listener: &ListenerEntry| {
            listener.kinds.contains(&T::KIND) && listener.admits_namespace(namespace, labels)
        };
        let listeners: Vec<usize> = listeners.into_iter().filter(|at| admits(&self.gateways.listeners[*at])).collect();
        if listeners.is_empty() {
            let kind = T::KIND.as_str();
            let message = format!("no listener admits {kind}s of namespace {namespace} (protocol, allowedRoutes)");
            return Err(refusal("NotAllowedByListeners", message));
        }
        let matching: Vec<_> = listeners
            .iter()
            .filter_map(|at| Some((*at, hosts(&attaching.hostnames, &self.gateways.listeners[*at])?)))
            .collect();
        if matching.is_empty() {
            let of_listeners = listeners.iter().filter_map(|at| self.gateways.listeners[*at].hostname.as_ref());
            let (own, theirs) = (some_of(&attaching.hostnames), some_of(of_listeners));
            let message = format!("spec.hostnames: none of {own} intersects with the listeners' host names {theirs}");
            return Err(refusal("NoMatchingListenerHostname", message));
        }
        Ok(matching)
    }

    fn service<T: Route>(
        &mut self,
        attaching: &mut Attaching<'_, T>,
        parent: &ParentReference,
        name: &ObjectName,
        at: usize,
    ) -> Option<ParentOutcome> {
        attaching.services.push(name.clone());
        let Some(service) = self.objects.services.get(name) else {
            attaching.note(at, Severity::Problem, &format!("Service {name} does not exist"));
            return None;
        };
        let compiled = attaching.compiled(&Context { side: Side::Mesh, terminated: false }, &mut self.compiler);
        let ports = mesh::ports(service, name, parent, T::KIND);
        let ports = ports.and_then(|ports| compiled.refused().map_or(Ok(ports), |why| Err(why.clone())));
        let (ports, refused) = match ports {
            Ok(ports) => (ports, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        let target = ParentTarget::Service(name.clone(), ports);
        let parent_ref = self.parent_refs.share(parent.clone());
        Some(ParentOutcome { parent_ref, target, refused, compiled })
    }
}

/// Whether something changed that a compiled route depends on.
fn affected(compiled: &Compiled, changes: &Changes) -> bool {
    let dependencies = &compiled.dependencies;
    dependencies.services.iter().any(|service| changes.services.has(service))
        || dependencies.filters.iter().any(|filter| changes.wasm_filters.has(filter))
        || (dependencies.grants && changes.reference_grants.any())
}

/// The host names of a route under which it is at a listener; `None` if the two have no name in common. They stay as the
/// route writes them, since precedence goes by their length; what the listener's name excludes does not reach it.
fn hosts(hostnames: &[Hostname], listener: &ListenerEntry) -> Option<Hosts> {
    let named = !matches!(listener.protocol, Some(Protocol::Tcp | Protocol::Udp));
    if hostnames.is_empty() || !named {
        return Some(Box::new([None]));
    }
    let meets = |name: &&Hostname| listener.hostname.as_ref().is_none_or(|own| own.intersects(name));
    let met: Box<[_]> = hostnames.iter().filter(meets).map(|name| Some(name.clone())).collect();
    (!met.is_empty()).then_some(met)
}

/// The first of these, each once, and how many more there are.
fn some_of<'h>(hostnames: impl IntoIterator<Item = &'h Hostname>) -> String {
    let all: BTreeSet<String> = hostnames.into_iter().map(Hostname::to_string).collect();
    let shown: Vec<&str> = all.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = all.len() - shown.len();
    let shown = shown.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

// === impl Attaching ===

impl<T: Route> Attaching<'_, T> {
    fn compiled(&mut self, context: &Context, compiler: &mut Compiler<'_>) -> Arc<Compiled> {
        if let Some((_, compiled)) = self.used.iter().find(|(own, _)| own == context) {
            return compiled.clone();
        }
        let kept = self.contexts.iter().find(|(own, _)| own == context).map(|(_, compiled)| compiled.clone());
        let compiled = kept.unwrap_or_else(|| Arc::new(self.route.compile(self.name, context, compiler)));
        self.used.push((context.clone(), compiled.clone()));
        compiled
    }

    fn note(&mut self, at: usize, severity: Severity, why: &str) {
        let note = self.about(severity, format!("spec.parentRefs[{at}]: {why}"));
        self.notes.push(note);
    }

    fn about(&self, severity: Severity, message: String) -> Note {
        Note { kind: T::KIND.as_str(), object: self.name.clone(), severity, message }
    }
}

// === impl Outcome ===

impl Outcome {
    /// All that the route compiled to.
    pub(crate) fn compiled(&self) -> impl Iterator<Item = &Arc<Compiled>> {
        self.contexts.iter().map(|(_, compiled)| compiled)
    }

    /// The listeners where the route is attached, each once.
    pub(crate) fn attachments(&self) -> impl Iterator<Item = &Attachment> {
        self.parents.iter().enumerate().flat_map(move |(at, parent)| {
            let own = parent.attachments();
            own.iter().filter(move |one| {
                let earlier = self.parents[..at].iter().flat_map(ParentOutcome::attachments);
                !earlier.into_iter().any(|other| other.listener == one.listener)
            })
        })
    }

    /// The status of a route that lost: `lost` tells for each parent, by position, why nothing is left there.
    pub(crate) fn status_without(&self, controller: &Arc<str>, lost: impl Fn(usize) -> Option<Refusal>) -> RouteStatus {
        status(self.generation, controller, &self.parents, lost)
    }
}

impl ParentOutcome {
    /// The listeners where the route is attached.
    pub(crate) fn attachments(&self) -> &[Attachment] {
        match &self.target {
            ParentTarget::Listeners(attachments) => attachments,
            ParentTarget::Service(..) => &[],
        }
    }
}

fn status(
    generation: Option<i64>,
    controller: &Arc<str>,
    parents: &[ParentOutcome],
    lost: impl Fn(usize) -> Option<Refusal>,
) -> RouteStatus {
    let one = |(at, parent): (usize, &ParentOutcome)| {
        let mut conditions = Conditions::at(generation);
        let lost = lost(at);
        let refused = parent.refused.as_ref().or(lost.as_ref());
        conditions.verdict("Accepted", "Accepted", refused).verdict(
            "ResolvedRefs",
            "ResolvedRefs",
            parent.compiled.unresolved.as_ref(),
        );
        if let (Validity::Partial(why), None) = (&parent.compiled.validity, refused) {
            conditions.set("PartiallyInvalid", true, why.reason, why.message.as_str());
        }
        RouteParentStatus {
            parent_ref: ParentReference::clone(&parent.parent_ref),
            controller_name: controller.to_string(),
            conditions: conditions.finish(),
        }
    };
    RouteStatus { parents: parents.iter().enumerate().map(one).collect() }
}
