//! `portolan status --cluster`: every Gateway, route and filter of a cluster that is ours, as its status says it is.

use super::{check, client, look, ours};
use crate::table::Table;
use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, api::ListParams};
use portolan_controller::{CONTROLLER_NAME, GATEWAY_LABEL, gateway_label, own_selector};
use portolan_crds::{Condition, Gateway, common::RouteParentStatus, gateway::GatewayStatus};
use portolan_source::kubernetes::View;
use portolan_translate::{
    ObjectName, Statuses,
    snapshot::RouteKind,
    statuses::{Part, ROUTE_KINDS},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// What a cluster has of ours.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Overview {
    /// The controller that leads (`namespace/pod`), if one does.
    pub controller: Option<String>,
    /// Gateways of our classes.
    pub gateways: Vec<GatewayRow>,
    /// Routes, a row for each parent.
    pub routes: Vec<RouteRow>,
    /// WasmFilters.
    pub filters: Vec<FilterRow>,
    /// Conditions that are not as they should be.
    pub problems: usize,
}

/// A Gateway.
#[derive(Clone, Debug, Default, Serialize)]
pub struct GatewayRow {
    /// `namespace/name`.
    pub name: String,
    /// Its class.
    pub class: String,
    /// Where it is served.
    pub addresses: Vec<String>,
    /// `True`, or why not.
    pub programmed: String,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that there are.
    pub replicas: i32,
    /// Listeners.
    pub listeners: usize,
    /// Routes that are attached, over all its listeners.
    pub routes: i32,
}

/// A route under one of its parents.
#[derive(Clone, Debug, Serialize)]
pub struct RouteRow {
    /// Its kind.
    pub kind: &'static str,
    /// `namespace/name`.
    pub name: String,
    /// Its host names.
    pub hostnames: Vec<String>,
    /// The parent.
    pub parent: String,
    /// `True`, or why not.
    pub accepted: String,
    /// `True`, or why not.
    pub resolved: String,
}

/// A WasmFilter.
#[derive(Clone, Debug, Serialize)]
pub struct FilterRow {
    /// `namespace/name`.
    pub name: String,
    /// `True`, or why not.
    pub accepted: String,
    /// `True`, or why not.
    pub resolved: String,
    /// `True`, or why not.
    pub programmed: String,
}

/// Looks at the cluster.
pub async fn overview() -> Result<Overview> {
    let client = client().await?;
    let view = look(client.clone(), &check::KINDS).await?;
    let leader = check::leader(&client).await?.filter(|leader| leader.alive);
    let statuses = ours(&view);
    Ok(Overview {
        controller: leader.map(|leader| leader.name),
        gateways: gateways(&view, &statuses, &replicas(&client).await?),
        routes: ROUTE_KINDS.into_iter().flat_map(|kind| routes(&view, &statuses, kind)).collect(),
        filters: filters(&view, &statuses),
        problems: statuses.problems().count(),
    })
}

/// Pods that are ready and pods that there are, by namespace and label of the Gateway.
async fn replicas(client: &Client) -> Result<BTreeMap<(String, String), (i32, i32)>> {
    let api: Api<Deployment> = Api::all(client.clone());
    let list = api.list(&ListParams::default().labels(&own_selector())).await.context("cannot list Deployments")?;
    let each = list.items.into_iter().filter_map(|deployment| {
        let label = deployment.metadata.labels?.remove(GATEWAY_LABEL)?;
        let status = deployment.status.unwrap_or_default();
        let counts = (status.ready_replicas.unwrap_or_default(), status.replicas.unwrap_or_default());
        Some(((deployment.metadata.namespace?, label), counts))
    });
    Ok(each.collect())
}

fn gateways(view: &View, statuses: &Statuses, replicas: &BTreeMap<(String, String), (i32, i32)>) -> Vec<GatewayRow> {
    let all =
        statuses.gateways.iter().filter_map(|(name, status)| Some((name, view.objects.gateways.get(name)?, status)));
    let row = |(name, gateway, status): (&ObjectName, &Arc<Gateway>, &Arc<GatewayStatus>)| {
        let key = (name.namespace.to_string(), gateway_label(name));
        let (ready, replicas) = replicas.get(&key).copied().unwrap_or_default();
        GatewayRow {
            name: name.to_string(),
            class: gateway.spec.gateway_class_name.clone(),
            addresses: status.addresses.iter().map(|address| address.value.clone()).collect(),
            programmed: said(&status.conditions, "Programmed"),
            ready,
            replicas,
            listeners: gateway.spec.listeners.len(),
            routes: status.listeners.iter().map(|listener| listener.attached_routes).sum(),
        }
    };
    all.map(row).collect()
}

fn routes(view: &View, statuses: &Statuses, kind: RouteKind) -> Vec<RouteRow> {
    let hostnames = |name: &ObjectName| match kind {
        RouteKind::HTTPRoute => view.objects.http_routes.get(name).map(|route| route.spec.hostnames.clone()),
        RouteKind::GRPCRoute => view.objects.grpc_routes.get(name).map(|route| route.spec.hostnames.clone()),
        RouteKind::TLSRoute => view.objects.tls_routes.get(name).map(|route| route.spec.hostnames.clone()),
        _ => None,
    };
    let row = |name: &ObjectName, parent: &RouteParentStatus| RouteRow {
        kind: kind.as_str(),
        name: name.to_string(),
        hostnames: hostnames(name).unwrap_or_default(),
        parent: Part::Parent(&parent.parent_ref).to_string().trim_start_matches(", parent ").to_owned(),
        accepted: said(&parent.conditions, "Accepted"),
        resolved: said(&parent.conditions, "ResolvedRefs"),
    };
    let all = statuses.routes(kind).into_iter().flatten();
    all.flat_map(|(name, status)| status.parents.iter().map(move |parent| row(name, parent))).collect()
}

fn filters(view: &View, statuses: &Statuses) -> Vec<FilterRow> {
    let row = |name: &ObjectName| {
        let status = statuses.wasm_filters.get(name);
        let conditions = status.map_or(&[][..], |status| &status.conditions);
        FilterRow {
            name: name.to_string(),
            accepted: said(conditions, "Accepted"),
            resolved: said(conditions, "ResolvedRefs"),
            programmed: said(conditions, "Programmed"),
        }
    };
    view.objects.wasm_filters.keys().map(row).collect()
}

/// A condition in a cell: its status, and its reason unless it is as it should be.
fn said(conditions: &[Condition], kind: &str) -> String {
    match conditions.iter().find(|condition| condition.type_ == kind) {
        None => "-".to_owned(),
        Some(condition) if condition.status == "True" => "True".to_owned(),
        Some(condition) => format!("{} {}", condition.status, condition.reason),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.controller {
            Some(name) => writeln!(f, "controller {name}\n")?,
            None => writeln!(f, "no controller leads: statuses may be old\n")?,
        }
        let mut gateways = Table::new(["GATEWAY", "CLASS", "ADDRESSES", "PROGRAMMED", "READY", "LISTENERS", "ROUTES"]);
        for row in &self.gateways {
            let numbers =
                [format!("{}/{}", row.ready, row.replicas), row.listeners.to_string(), row.routes.to_string()];
            let [ready, listeners, routes] = numbers;
            let (name, class, programmed) = (row.name.clone(), row.class.clone(), row.programmed.clone());
            gateways.row([name, class, listed(&row.addresses), programmed, ready, listeners, routes]);
        }
        let mut routes = Table::new(["ROUTE", "KIND", "HOSTNAMES", "PARENT", "ACCEPTED", "RESOLVEDREFS"]);
        for row in &self.routes {
            let (accepted, resolved) = (row.accepted.clone(), row.resolved.clone());
            let parent = row.parent.clone();
            routes.row([row.name.clone(), row.kind.to_owned(), listed(&row.hostnames), parent, accepted, resolved]);
        }
        let mut filters = Table::new(["WASMFILTER", "ACCEPTED", "RESOLVEDREFS", "PROGRAMMED"]);
        for row in &self.filters {
            filters.row([row.name.clone(), row.accepted.clone(), row.resolved.clone(), row.programmed.clone()]);
        }
        if gateways.is_empty() {
            writeln!(f, "there is no Gateway of a class of {CONTROLLER_NAME}")?;
        } else {
            gateways.fmt(f)?;
        }
        for table in [routes, filters].iter().filter(|table| !table.is_empty()) {
            write!(f, "\n{table}")?;
        }
        match self.problems {
            0 => Ok(()),
            1 => writeln!(f, "\n1 condition is not as it should be: portolan check --cluster says why"),
            many => writeln!(f, "\n{many} conditions are not as they should be: portolan check --cluster says why"),
        }
    }
}
