//! `portolan check --cluster`: whether a cluster has what Portolan needs, and what of its objects does not work, each
//! with what to do about it.

use super::{client, look, ours, rights};
use anyhow::{Context, Result};
use k8s_openapi::{
    api::coordination::v1::Lease, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::Timestamp,
};
use kube::{Api, Client, api::ListParams};
use portolan_controller::{BUNDLE_VERSION, CONTROLLER_NAME, LEASE, pods_of};
use portolan_crds::{GATEWAY_GROUP, Gateway, PORTOLAN_GROUP, common::ParentReference};
use portolan_source::{Kind, kubernetes::View};
use portolan_translate::{
    ObjectName, is_supported_bundle,
    objects::Store,
    statuses::{Reported, distinct},
};
use serde::Serialize;
use std::{collections::BTreeSet, fmt};

/// Kinds that are looked at.
pub(super) const KINDS: [Kind; 11] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::HTTPRoute,
    Kind::GRPCRoute,
    Kind::TLSRoute,
    Kind::TCPRoute,
    Kind::UDPRoute,
    Kind::BackendTLSPolicy,
    Kind::WasmFilter,
    Kind::GatewayConfig,
];
/// The oldest Kubernetes that evaluates the rules of the Gateway API's CRDs.
const KUBERNETES_MINOR_MIN: u32 = 31;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// What it is.
    pub what: String,
    /// What to do about it; empty if nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but.
    Warning,
    /// It does not work.
    Problem,
}

/// Looks at the cluster.
pub async fn findings() -> Result<Vec<Finding>> {
    let client = client().await?;
    let mut all = vec![version(&client).await?];
    all.extend(crds(&client).await?);
    let view = look(client.clone(), &KINDS).await?;
    all.push(controller(&client).await?);
    all.extend(rights::findings(&client).await);
    all.extend(classes(&view));
    all.extend(objects(&view));
    Ok(all)
}

pub(super) fn ok(what: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Ok, what: what.into(), next: String::new() }
}

pub(super) fn warning(what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Warning, what: what.into(), next: next.into() }
}

pub(super) fn problem(what: impl Into<String>, next: impl Into<String>) -> Finding {
    Finding { verdict: Verdict::Problem, what: what.into(), next: next.into() }
}

async fn version(client: &Client) -> Result<Finding> {
    let version = client.apiserver_version().await.context("the API server does not answer")?;
    let minor: String = version.minor.chars().take_while(char::is_ascii_digit).collect();
    Ok(match minor.parse::<u32>() {
        Ok(minor) if minor < KUBERNETES_MINOR_MIN => problem(
            format!("Kubernetes {}", version.git_version),
            format!("upgrade to 1.{KUBERNETES_MINOR_MIN} or newer"),
        ),
        _ => ok(format!("Kubernetes {}", version.git_version)),
    })
}

/// The CRDs of each kind that is looked at.
async fn crds(client: &Client) -> Result<Vec<Finding>> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let there = api.list(&ListParams::default()).await.context("cannot list CustomResourceDefinitions")?.items;
    let mut all = Vec::new();
    // What to do is the same for all kinds of a group, and said once.
    let mut advised = BTreeSet::new();
    for kind in KINDS {
        let name = format!("{}.{}", kind.plural(), kind.group());
        let found = there.iter().find(|crd| crd.metadata.name.as_deref() == Some(name.as_str()));
        let next = match kind.group() {
            PORTOLAN_GROUP => "helm upgrade --install portolan-crds",
            _ => "install the Gateway API's CRDs, v1.6.1; TCPRoute and UDPRoute are of its standard channel since v1.6",
        };
        let Some(crd) = found else {
            let next = if advised.insert(kind.group()) { next } else { "" };
            all.push(match kind {
                Kind::GatewayClass | Kind::Gateway | Kind::HTTPRoute => {
                    problem(format!("the CRD {name} is missing"), next)
                }
                _ => warning(format!("the CRD {name} is missing: no {} is served", kind.name()), next),
            });
            continue;
        };
        let version = kind.api_version().rsplit('/').next().unwrap_or_default();
        if !crd.spec.versions.iter().any(|one| one.served && one.name == version) {
            all.push(problem(format!("the CRD {name} does not serve {version}"), next));
        } else if kind == Kind::Gateway {
            all.push(bundle(crd));
        }
    }
    let of_groups = |group: &str| KINDS.iter().filter(|kind| kind.group() == group).count();
    if all.iter().all(|finding| finding.verdict == Verdict::Ok) {
        let (gateway, own) = (of_groups(GATEWAY_GROUP), of_groups(PORTOLAN_GROUP));
        all.push(ok(format!("{gateway} kinds of the Gateway API and {own} of Portolan are installed")));
    }
    Ok(all)
}

fn bundle(crd: &CustomResourceDefinition) -> Finding {
    let annotation = |name: &str| {
        let annotations = crd.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(name)).map_or("unknown", String::as_str)
    };
    let (version, channel) = (annotation(BUNDLE_VERSION), annotation("gateway.networking.k8s.io/channel"));
    let what = format!("the Gateway API's CRDs are of {version}, {channel} channel");
    match is_supported_bundle(version) {
        true => ok(what),
        false => warning(what, "install those of v1.6: of others, fields that Portolan does not know are not seen"),
    }
}

/// The controller that led last.
pub(super) struct Leader {
    /// `namespace/pod`.
    pub name: String,
    namespace: String,
    /// Whether it still does.
    pub alive: bool,
}

/// The controller that led last, if one ever did.
pub(super) async fn leader(client: &Client) -> Result<Option<Leader>> {
    let api: Api<Lease> = Api::all(client.clone());
    let leases = api.list(&ListParams::default().fields(&format!("metadata.name={LEASE}"))).await;
    let Some(lease) = leases.context("cannot list Leases")?.items.into_iter().next() else { return Ok(None) };
    let (namespace, spec) = (lease.metadata.namespace.unwrap_or_default(), lease.spec.unwrap_or_default());
    let holder = spec.holder_identity.unwrap_or_default();
    let age = spec.renew_time.map(|time| Timestamp::now().as_second() - time.0.as_second());
    let seconds = i64::from(spec.lease_duration_seconds.unwrap_or(15));
    let alive = !holder.is_empty() && age.is_some_and(|age| age <= seconds);
    Ok(Some(Leader { name: format!("{namespace}/{holder}"), namespace, alive }))
}

/// Whether some controller leads.
async fn controller(client: &Client) -> Result<Finding> {
    Ok(match leader(client).await? {
        None => problem("no controller has ever led", "helm install portolan; then see the logs of its Deployment"),
        Some(leader) if leader.alive => ok(format!("the controller {} leads", leader.name)),
        Some(leader) => problem(
            "no controller leads: statuses are not written",
            format!("kubectl logs -n {} -l app.kubernetes.io/name=portolan-controller", leader.namespace),
        ),
    })
}

fn our_classes(view: &View) -> impl Iterator<Item = &ObjectName> {
    let ours = view.objects.gateway_classes.iter().filter(|(_, class)| class.spec.controller_name == CONTROLLER_NAME);
    ours.map(|(name, _)| name)
}

fn classes(view: &View) -> Vec<Finding> {
    let judged = |name: &ObjectName| {
        let status = view.observed.statuses.gateway_classes.get(name)?;
        status.conditions.iter().find(|condition| condition.type_ == "Accepted" && condition.status != "Unknown")
    };
    let each = our_classes(view).map(|name| match judged(name) {
        Some(_) => ok(format!("GatewayClass {name}")),
        None => problem(
            format!("GatewayClass {name}: no controller has said yet whether it accepts it"),
            "it takes seconds; if it stays so, see the controller's logs",
        ),
    });
    let each: Vec<_> = each.collect();
    match each.is_empty() {
        true => vec![problem(
            format!("no GatewayClass has the controllerName {CONTROLLER_NAME}"),
            "helm upgrade portolan makes one, unless gatewayClass.create is false",
        )],
        false => each,
    }
}

/// What is not accepted, not resolved or not programmed, in the words of the statuses.
fn objects(view: &View) -> Vec<Finding> {
    let statuses = ours(view);
    let mut all = Vec::new();
    all.extend(distinct(statuses.problems()).map(|reported| problem(reported.to_string(), advice(&reported))));
    all.extend(classless(view));
    all.extend(orphans(view));
    let unreadable = view.unreadable.iter();
    all.extend(unreadable.map(|(object, why)| {
        problem(
            format!("{} {} cannot be read: {why}", object.kind.name(), object.name),
            "is its CRD of another version?",
        )
    }));
    if all.is_empty() {
        let count = statuses.objects().count();
        all.push(ok(format!("{count} objects with a status: everything is accepted, resolved and programmed")));
    }
    all
}

/// Gateways of a class that does not exist: nobody writes a status for those either.
fn classless(view: &View) -> Vec<Finding> {
    let classes = &view.objects.gateway_classes;
    let ours: Vec<&str> = our_classes(view).map(|name| &*name.name).collect();
    let class = |gateway: &Gateway| gateway.spec.gateway_class_name.clone();
    let gateways = view.objects.gateways.iter().map(|(name, gateway)| (name, class(gateway)));
    let without = gateways.filter(|(_, class)| !classes.contains_key(&ObjectName::new("", class.as_str())));
    let next = match ours.is_empty() {
        true => "make the class: helm upgrade portolan does, unless gatewayClass.create is false".to_owned(),
        false => format!("of ours there are: {}", ours.join(", ")),
    };
    let finding = |(name, class)| problem(format!("Gateway {name}: its GatewayClass {class} does not exist"), &*next);
    without.map(finding).collect()
}

/// Routes whose parent is no Gateway that there is: nobody writes a status for those.
fn orphans(view: &View) -> Vec<Finding> {
    fn of<T>(all: &Store<T>, kind: &str, parents: impl Fn(&T) -> &[ParentReference], view: &View) -> Vec<Finding> {
        let mut found = Vec::new();
        for (name, route) in all.iter() {
            for parent in parents(route).iter().filter(|parent| parent.kind() == "Gateway") {
                let namespace = parent.namespace.as_deref().unwrap_or(&name.namespace);
                let gateway = ObjectName::new(namespace, parent.name.as_str());
                if !view.objects.gateways.contains_key(&gateway) {
                    let what = format!("{kind} {name}: its parent Gateway {gateway} does not exist");
                    found.push(problem(what, "name a Gateway that exists (kubectl get gateways -A), or make this one"));
                }
            }
        }
        found
    }
    let objects = &view.objects;
    let mut all = of(&objects.http_routes, "HTTPRoute", |route| &route.spec.parent_refs, view);
    all.extend(of(&objects.grpc_routes, "GRPCRoute", |route| &route.spec.parent_refs, view));
    all.extend(of(&objects.tls_routes, "TLSRoute", |route| &route.spec.parent_refs, view));
    all.extend(of(&objects.tcp_routes, "TCPRoute", |route| &route.spec.parent_refs, view));
    all.extend(of(&objects.udp_routes, "UDPRoute", |route| &route.spec.parent_refs, view));
    all
}

/// What to do about a condition.
fn advice(reported: &Reported<'_>) -> String {
    let says = |words: &str| reported.condition.message.contains(words);
    let advice = match (reported.condition.type_.as_str(), reported.condition.reason.as_str()) {
        (_, "AddressNotAssigned") => {
            "does the cluster have a load balancer (MetalLB, a cloud's) with a free address? One that takes no TCP and UDP \
             at one address gives HTTPS listeners none: http3: Disabled in a GatewayConfig"
        }
        (_, "AddressNotUsable") => "ask for an address of the load balancer's pools, or for none",
        ("Programmed", "Pending") if reported.kind == "Gateway" => {
            let (namespace, pods) = (&reported.object.namespace, pods_of(reported.object));
            return format!("kubectl describe pods -n {namespace} -l {pods} says what keeps its pods");
        }
        ("Programmed", "Invalid") if says("would have the names") => "name one of the two Gateways otherwise",
        // The message names both ways out.
        ("Programmed", "Invalid") if says("one of this name that is not this Gateway's") => "",
        ("Programmed", "Invalid") if reported.kind == "Gateway" => {
            "the message names what is wrong: a listener, or the GatewayConfig that parametersRef names"
        }
        (_, "FilterNotFound") => "make the WasmFilter in the route's namespace, or name another one",
        (_, "RefNotPermitted") => "make a ReferenceGrant in the namespace that is referred to",
        (_, "BackendNotFound") => "name a Service that exists, with one of its ports",
        (_, "InvalidCertificateRef") if says("does not exist") => "make the Secret, or name another one",
        (_, "InvalidCertificateRef" | "ModuleNotLoaded") if says("may not be read") => {
            "add its namespace to rbac.secretNamespaces in the chart's values"
        }
        (_, "InvalidCertificateRef") => "the Secret must be of the type kubernetes.io/tls, with tls.crt and tls.key",
        (_, "ModuleNotLoaded") => "name a ConfigMap with a module that loads, and its SHA-256 if spec.module gives one",
        (_, "InvalidParameters") => "make the GatewayConfig, or name another one",
        (_, "NoMatchingListenerHostname") => "a host name of the route must match one of the listener's",
        (_, "NotAllowedByListeners") => "allow the route's namespace and kind in the listener's allowedRoutes",
        (_, "NoMatchingParent") => "name a listener (sectionName, port) that the Gateway has",
        _ => "",
    };
    advice.to_owned()
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
        };
        write!(f, "{verdict:<8} {}", self.what)?;
        if self.next.is_empty() { Ok(()) } else { write!(f, "\n         → {}", self.next) }
    }
}
