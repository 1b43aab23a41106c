//! What the admin port shows: the snapshot as JSON, the numbers of `portolan status`, explanations.

use anyhow::{Context, Result};
use portolan_proxy::{
    Shared,
    explain::{self, Explanation, Question},
    shared::Published,
};
use portolan_telemetry::metrics::{Registry, Summary};
use portolan_translate::{
    ObjectName, Snapshot, Statuses,
    snapshot::{Port, percent_decoded},
    statuses::{ROUTE_KINDS, Reported, distinct},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// A snapshot as JSON.
pub fn snapshot(published: &Published) -> serde_json::Value {
    let snapshot = &published.snapshot;
    let backends: Vec<_> = snapshot
        .backends
        .iter()
        .zip(snapshot.endpoints.iter())
        .filter_map(|(backend, endpoints)| {
            let key = &backend.as_ref()?.key;
            let endpoints: Vec<_> = endpoints.list.iter().map(|endpoint| endpoint.address.to_string()).collect();
            Some(serde_json::json!({
                "service": key.service, "port": key.port, "protocol": key.protocol,
                "tls": backend.as_ref()?.tls.is_some(), "endpoints": endpoints,
            }))
        })
        .collect();
    let ports: Vec<_> = snapshot.ports.iter().map(|port| port_view(port)).collect();
    serde_json::json!({ "generation": published.generation, "ports": ports, "backends": backends })
}

fn port_view(port: &Port) -> serde_json::Value {
    let rules: Vec<_> = explain::rules(port)
        .map(|(listener, hostname, rule, path)| {
            serde_json::json!({ "listener": listener, "hostname": hostname, "rule": rule, "match": path })
        })
        .collect();
    serde_json::json!({
        "bind": port.bind, "declared": port.declared, "transport": port.transport, "parent": port.parent.to_string(),
        "rules": rules,
    })
}

/// The numbers of `portolan status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Publications so far.
    pub generation: u64,
    /// When these numbers were taken, in milliseconds since the epoch: rates come from two of them.
    pub taken_ms: u64,
    /// What is listened on.
    pub ports: Vec<PortStatus>,
    /// Requests by route and rule.
    pub routes: Vec<Summary>,
    /// Failed requests by route and rule.
    pub route_errors: Vec<Summary>,
    /// Tries by backend.
    pub backends: Vec<Summary>,
    /// Failed tries by backend.
    pub backend_errors: Vec<Summary>,
    /// Endpoints by backend: in, and ejected.
    pub endpoints: BTreeMap<String, (usize, usize)>,
    /// Calls of filters.
    pub filters: Vec<Summary>,
    /// Failures of filters.
    pub filter_failures: Vec<Summary>,
    /// Limits that were reached.
    pub limits: Vec<Summary>,
    /// What is not accepted or not resolved.
    pub problems: Vec<String>,
}

/// What is listened on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PortStatus {
    /// The Gateway or Service.
    pub parent: String,
    /// Where.
    pub bind: SocketAddr,
    /// For what.
    pub protocol: String,
    /// Number of rules.
    pub rules: usize,
}

/// The numbers of `portolan status`, now.
pub fn status(shared: &Shared, metrics: &Registry, statuses: &Statuses) -> Status {
    let published = shared.published().load_full();
    let snapshot = metrics.snapshot();
    let all = |_: &portolan_telemetry::Labels| true;
    let error = |labels: &portolan_telemetry::Labels| labels.get("error.type").is_some();
    let by_rule = ["portolan.route", "portolan.rule"];
    let taken = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Status {
        generation: published.generation,
        taken_ms: taken.as_millis() as u64,
        ports: published.snapshot.ports.iter().map(|port| port_status(port)).collect(),
        routes: snapshot.group_by("http.server.request.duration", &by_rule, all),
        route_errors: snapshot.group_by("http.server.request.duration", &by_rule, error),
        backends: snapshot.group_by("http.client.request.duration", &["portolan.backend"], all),
        backend_errors: snapshot.group_by("http.client.request.duration", &["portolan.backend"], error),
        endpoints: endpoints(&published.snapshot, shared),
        filters: snapshot.group_by("portolan.filter.duration", &["portolan.filter"], all),
        filter_failures: snapshot.group_by("portolan.filter.failures", &["portolan.filter"], all),
        limits: snapshot.group_by("portolan.limit.reached", &["portolan.limit"], all),
        problems: problems(&published.snapshot, statuses),
    }
}

/// What is wrong; of filters those alone that some route uses: of others a gateway sees no module.
fn problems(snapshot: &Snapshot, statuses: &Statuses) -> Vec<String> {
    let used = |name: &ObjectName| snapshot.wasm_filters.iter().any(|filter| filter.name == *name);
    let matters = statuses.problems().filter(|problem| problem.kind != "WasmFilter" || used(problem.object));
    matters.map(|problem| problem.to_string()).collect()
}

fn endpoints(snapshot: &Snapshot, shared: &Shared) -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (backend, endpoints) in snapshot.backends.iter().zip(snapshot.endpoints.iter()) {
        let Some(backend) = backend else { continue };
        counts.insert(format!("{}:{}", backend.key.service, backend.key.port), (endpoints.list.len(), 0));
    }
    for (key, _) in shared.health.ejected() {
        if let Some(count) = counts.get_mut(&format!("{}:{}", key.service, key.port)) {
            count.1 += 1;
        }
    }
    counts
}

fn port_status(port: &Port) -> PortStatus {
    PortStatus {
        parent: port.parent.to_string(),
        bind: port.bind,
        protocol: explain::protocol(port).to_owned(),
        rules: explain::rules(port).count(),
    }
}

/// Answers `?method=…&url=…&header=…&from=…`.
pub fn explain(snapshot: &Snapshot, statuses: &Statuses, query: &str) -> Result<Explanation> {
    let mut question = Question::default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decoded(value).into_owned();
        match name {
            "method" => question.method = value,
            "url" => question.url = value,
            "from" => question.from = Some(value),
            "header" => {
                let (name, value) = value.split_once(':').context("a header has the form name: value")?;
                question.headers.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => {}
        }
    }
    explained(snapshot, statuses, &question)
}

/// The matcher's answer; where no rule takes the request, with the routes that are not accepted, since one of those may
/// have been meant to; where nothing even listens, with what is wrong with Gateways and their listeners too.
pub fn explained(snapshot: &Snapshot, statuses: &Statuses, question: &Question) -> Result<Explanation> {
    let mut explanation = explain::explain(snapshot, question)?;
    if explanation.winner.is_none() {
        let unheard = explanation.parent.is_none();
        let keeps_out = |problem: &Reported<'_>| match problem.kind {
            "Gateway" | "ListenerSet" => unheard,
            kind => problem.condition.type_ == "Accepted" && ROUTE_KINDS.iter().any(|route| route.as_str() == kind),
        };
        let faults = distinct(statuses.problems().filter(keeps_out));
        explanation.not_accepted = faults.map(|fault| fault.to_string()).collect();
    }
    Ok(explanation)
}
