//! Why a request goes where it goes: the answer of the matcher that serves traffic, with the rules that lost and the
//! condition at which each did.

use crate::{http as proxy_http, worker::backend_name};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use portolan_translate::{
    Snapshot,
    snapshot::{
        Belongs, Candidate, FailureMode, Filter, FrontendRoutes, Hostname, HttpListener, L4Rule, ListenerId, ParentId,
        Port, PortKind, RequestView, Rule, Target, TlsAction,
    },
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// Method; GET if it is empty.
    pub method: String,
    /// Target with scheme and host.
    pub url: String,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Namespace of the client.
    pub from: Option<String>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadQuestion(String);

/// The answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Method and normalised target.
    pub request: String,
    /// Where it is listened on.
    pub bind: Option<SocketAddr>,
    /// The Gateway or Service.
    pub parent: Option<String>,
    /// The listener.
    pub listener: Option<String>,
    /// Its host name; `*` for any.
    pub listener_hostname: Option<String>,
    /// What becomes of the request, in a word or two.
    pub outcome: String,
    /// The rule that wins.
    pub winner: Option<Considered>,
    /// Filters in order.
    pub filters: Vec<String>,
    /// Backends with their shares.
    pub backends: Vec<BackendShare>,
    /// The other rules for the host, in order of precedence.
    pub runners_up: Vec<Considered>,
    /// Where no rule takes the request: what keeps routes, or Gateways and their listeners, from being looked at at all.
    /// Whoever asks fills it in, since a snapshot holds only what is served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_accepted: Vec<String>,
}

/// A rule that was looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Considered {
    /// The rule.
    pub rule: String,
    /// The host name under which it stands; `*` for any.
    pub hostname: String,
    /// Its condition on the path.
    pub path: String,
    /// Why it lost; empty for the winner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lost: String,
}

/// A backend with its share.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendShare {
    /// The Service and port, or the reference that is invalid.
    pub backend: String,
    /// Its weight.
    pub weight: u32,
    /// Its share in percent.
    pub percent: f64,
    /// Its endpoints.
    pub endpoints: Vec<SocketAddr>,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
}

/// Answers a question from a snapshot.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Result<Explanation, BadQuestion> {
    let bad = |what: String| BadQuestion(what);
    let uri: Uri = question.url.parse().map_err(|error| bad(format!("{:?} is no URL: {error}", question.url)))?;
    let authority =
        uri.authority().ok_or_else(|| bad(format!("{:?} has no host; write http://host/path", question.url)))?;
    let tls = uri.scheme_str() == Some("https");
    let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let method = if question.method.is_empty() { "GET" } else { &question.method };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad(format!("{method:?} is no method")))?;
    let mut headers = HeaderMap::new();
    for (name, value) in &question.headers {
        let name: HeaderName = name.parse().map_err(|_| bad(format!("{name:?} is no header name")))?;
        headers.append(name, HeaderValue::from_str(value).map_err(|_| bad(format!("{value:?} is no header value")))?);
    }
    let connect_to = proxy_http::host_of(authority.as_str()).ok_or_else(|| bad("the host is malformed".to_owned()))?;
    let host = headers.get(http::header::HOST).and_then(|value| value.to_str().ok()).and_then(proxy_http::host_of);
    let host = host.unwrap_or_else(|| connect_to.clone());
    let path = proxy_http::normalise(uri.path()).ok_or_else(|| bad("the path leads nowhere: 400".to_owned()))?;
    let request = format!("{method} {}://{host}{path}", if tls { "https" } else { "http" });
    let namespace = question.from.as_deref().unwrap_or("default");
    let mut explanation = Explanation { request, ..Explanation::default() };
    let Some(port) = find_port(snapshot, &connect_to, &host, port, tls, namespace) else {
        let scheme = if tls { "https" } else { "http" };
        explanation.outcome = format!("nothing listens for {scheme} on port {port}; {}", listened_on(snapshot));
        return Ok(explanation);
    };
    explanation.bind = Some(port.bind);
    explanation.parent = Some(port.parent.to_string());
    let view = RequestView { host: &host, path: &path, query: uri.query(), method: &method, headers: &headers };
    match port.kind.listener(tls.then_some(&host), &host, namespace) {
        Belongs::To(listener) => route(snapshot, listener, &view, &mut explanation),
        Belongs::Nowhere => explanation.outcome = "404: no listener of the port has this host".to_owned(),
        Belongs::Elsewhere => explanation.outcome = "421: the host belongs to another listener".to_owned(),
    }
    Ok(explanation)
}

/// The ports of Gateways that clients can reach, for people.
fn listened_on(snapshot: &Snapshot) -> String {
    let of_gateways = snapshot.ports.iter().filter(|port| matches!(port.parent, ParentId::Gateway(_)));
    let ports: BTreeSet<_> = of_gateways.map(|port| (port.client_port, protocol(port))).collect();
    if ports.is_empty() {
        return "no Gateway has a port that is listened on".to_owned();
    }
    let ports: Vec<String> = ports.iter().map(|(port, protocol)| format!("{port} ({protocol})")).collect();
    format!("Gateways have {}", ports.join(", "))
}

/// The port that a client would reach: by address, by the name of a Service, or by a listener's host name.
fn find_port<'a>(
    snapshot: &'a Snapshot,
    connect_to: &str,
    host: &str,
    number: u16,
    tls: bool,
    namespace: &str,
) -> Option<&'a Arc<Port>> {
    let numbered = |port: &&Arc<Port>| [port.bind.port(), port.declared.port(), port.client_port].contains(&number);
    let candidates: Vec<_> = snapshot.ports.iter().filter(numbered).collect();
    let by_address = connect_to.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
    let by_address = by_address
        .and_then(|ip| candidates.iter().find(|port| port.bind.ip() == ip || port.declared.ip() == ip).copied());
    let named = |port: &&&Arc<Port>| match &port.parent {
        ParentId::Service(service) => {
            let mut parts = connect_to.split('.');
            parts.next() == Some(&*service.name) && parts.next().unwrap_or(namespace) == &*service.namespace
        }
        ParentId::Gateway(_) => false,
    };
    let listens = |port: &&&Arc<Port>| {
        matches!(port.parent, ParentId::Gateway(_))
            && matches!(port.kind, PortKind::Tls(_)) == tls
            && matches!(port.kind.listener(tls.then_some(host), host, namespace), Belongs::To(_))
    };
    by_address
        .or_else(|| candidates.iter().find(named).copied())
        .or_else(|| candidates.iter().find(listens).copied())
        .or_else(|| candidates.iter().find(|port| matches!(port.kind, PortKind::Tls(_)) == tls).copied())
}

fn route(snapshot: &Snapshot, listener: &HttpListener, view: &RequestView<'_>, explanation: &mut Explanation) {
    explanation.listener = Some(listener.id.to_string());
    explanation.listener_hostname =
        Some(listener.hostname.as_ref().map_or_else(|| "*".to_owned(), Hostname::to_string));
    let winner = listener.routes.find(view);
    for considered in listener.routes.explain(view) {
        let candidate = considered.candidate;
        let won = winner.is_some_and(|winner| std::ptr::eq(winner, candidate));
        let lost = match (&considered.mismatch, won) {
            (_, true) => String::new(),
            (Some(mismatch), _) => mismatch.to_string(),
            (None, _) => "matches, but the winner takes precedence".to_owned(),
        };
        let hostname = considered.hostname.as_ref().map_or_else(|| "*".to_owned(), Hostname::to_string);
        let told = Considered {
            rule: candidate.rule.id.to_string(),
            hostname,
            path: candidate.matcher.path.to_string(),
            lost,
        };
        if won {
            explanation.winner = Some(told);
        } else {
            explanation.runners_up.push(told);
        }
    }
    match winner {
        Some(Candidate { rule, .. }) => {
            explanation.filters = rule.filters.iter().map(filter_name).collect();
            explanation.backends = backends(snapshot, rule);
            explanation.outcome = outcome(rule, &explanation.backends);
        }
        None => explanation.outcome = "404: no rule matches".to_owned(),
    }
}

fn outcome(rule: &Rule, backends: &[BackendShare]) -> String {
    for filter in &rule.filters {
        match filter {
            Filter::Redirect(redirect) => return format!("{}: a redirect", redirect.status.as_u16()),
            Filter::Unresolved { reference, reason } => return format!("500: {reference}: {reason}"),
            Filter::Wasm(filter) if filter.failure_mode == FailureMode::Closed => {
                if let Err(reason) = &filter.module {
                    return format!("503: WasmFilter {} cannot run: {reason}", filter.name);
                }
            }
            _ => {}
        }
    }
    let chosen = || backends.iter().filter(|backend| backend.weight > 0);
    let refused: Vec<_> = chosen().filter_map(|backend| Some((backend, refusal(backend)?))).collect();
    match (chosen().next(), refused.as_slice()) {
        (None, _) => "500: the rule has no backend".to_owned(),
        (_, []) => "forwarded".to_owned(),
        (_, [(_, why), ..]) if refused.len() == chosen().count() => why.clone(),
        (_, [(_, why), ..]) => {
            let percent: f64 = refused.iter().map(|(backend, _)| backend.percent).sum();
            format!("forwarded, but {percent:.1}% is answered {why}")
        }
    }
}

/// With what requests are answered that a backend is chosen for but cannot take.
fn refusal(backend: &BackendShare) -> Option<String> {
    let empty = || backend.endpoints.is_empty().then(|| format!("503: {} has no endpoint", backend.backend));
    backend.invalid.clone().or_else(empty)
}

fn filter_name(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaders(_) => "RequestHeaderModifier".to_owned(),
        Filter::ResponseHeaders(_) => "ResponseHeaderModifier".to_owned(),
        Filter::Redirect(_) => "RequestRedirect".to_owned(),
        Filter::Rewrite(_) => "URLRewrite".to_owned(),
        Filter::Mirror(mirror) => format!("RequestMirror {}/{}", mirror.numerator, mirror.denominator),
        Filter::Cors(_) => "CORS".to_owned(),
        Filter::ExternalAuth(_) => "ExternalAuth".to_owned(),
        Filter::Wasm(filter) => format!("WasmFilter {}", filter.name),
        Filter::Unresolved { reference, .. } => format!("{reference} (does not resolve)"),
    }
}

fn backends(snapshot: &Snapshot, rule: &Rule) -> Vec<BackendShare> {
    let total = rule.backends.total().max(1) as f64;
    let share = |(weight, backend): &(u32, portolan_translate::snapshot::HttpBackend)| {
        let percent = (f64::from(*weight) * 1000.0 / total).round() / 10.0;
        match &backend.target {
            Target::Backend(index) => BackendShare {
                backend: snapshot
                    .backend(*index)
                    .map_or_else(String::new, |backend| backend_name(&backend.key).to_string()),
                weight: *weight,
                percent,
                endpoints: snapshot
                    .endpoints(*index)
                    .into_iter()
                    .flat_map(|all| &all.list)
                    .map(|one| one.address)
                    .collect(),
                invalid: None,
            },
            Target::Invalid { reference, reason } => BackendShare {
                backend: reference.to_string(),
                weight: *weight,
                percent,
                endpoints: Vec::new(),
                invalid: Some(format!("500: {reason}")),
            },
        }
    };
    rule.backends.iter().map(share).collect()
}

/// A rule of a port: listener, host name, rule, condition on the path.
pub type RuleLine = (String, String, String, String);

/// Every rule of a port.
pub fn rules(port: &Port) -> Box<dyn Iterator<Item = RuleLine> + '_> {
    match &port.kind {
        PortKind::Http(port) => Box::new(port.listeners.iter().flat_map(|(_, listener)| http_rules(listener))),
        PortKind::Tls(port) => Box::new(port.listeners.iter().flat_map(|(_, listener)| match &listener.action {
            TlsAction::Http(_, inner) => http_rules(inner),
            TlsAction::Terminate(_, routes) | TlsAction::Passthrough(routes) => {
                Box::new(routes.iter().map(|(hostname, rule)| l4_rule(&listener.id, hostname, rule)))
            }
        })),
        PortKind::Tcp(id, rule) | PortKind::Udp(id, rule) => Box::new(rule.iter().map(|rule| l4_rule(id, None, rule))),
        PortKind::Frontend(frontend) => {
            let all = frontend.consumer.values().chain([&frontend.producer]);
            Box::new(all.flat_map(|routes| match routes {
                FrontendRoutes::Http(listener) => http_rules(listener),
                FrontendRoutes::Tls(routes) => {
                    Box::new(routes.iter().map(|(name, rule)| l4_rule(&frontend.id, name, rule)))
                }
                FrontendRoutes::L4(rule) => Box::new(std::iter::once(l4_rule(&frontend.id, None, rule))),
            }))
        }
    }
}

fn http_rules(listener: &HttpListener) -> Box<dyn Iterator<Item = RuleLine> + '_> {
    Box::new(listener.routes.iter().map(|(hostname, one)| {
        (listener.id.to_string(), any(hostname), one.rule.id.to_string(), one.matcher.path.to_string())
    }))
}

fn l4_rule(id: &ListenerId, hostname: Option<Hostname>, rule: &L4Rule) -> RuleLine {
    (id.to_string(), any(hostname), rule.id.to_string(), String::new())
}

fn any(hostname: Option<Hostname>) -> String {
    hostname.map_or_else(|| "*".to_owned(), |hostname| hostname.to_string())
}

/// What a port serves, in a word.
pub fn protocol(port: &Port) -> &'static str {
    match &port.kind {
        PortKind::Http(_) => "HTTP",
        PortKind::Tls(port) => {
            let https = |listener: &Arc<portolan_translate::snapshot::TlsListener>| {
                matches!(listener.action, TlsAction::Http(..))
            };
            if port.listeners.iter().any(|(_, listener)| https(listener)) { "HTTPS" } else { "TLS" }
        }
        PortKind::Tcp(..) => "TCP",
        PortKind::Udp(..) => "UDP",
        PortKind::Frontend(frontend) => match frontend.producer {
            FrontendRoutes::Http(_) => "HTTP",
            FrontendRoutes::Tls(_) => "TLS",
            FrontendRoutes::L4(_) if port.transport == portolan_translate::snapshot::Transport::Udp => "UDP",
            FrontendRoutes::L4(_) => "TCP",
        },
    }
}
