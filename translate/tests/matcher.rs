//! The route table against a naive reference, written straight from the specification
//! (<https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule>): on random routes and requests both choose the same
//! rule.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use http::{HeaderMap, HeaderName, Method};
use portolan_translate::{
    Objects,
    snapshot::{PortKind, RequestView},
    translate,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use regex::Regex;
use serde_json::json;
use support::input;

const HOSTS: [&str; 9] = ["a.com", "b.a.com", "c.b.a.com", "a.org", "*.com", "*.a.com", "*.b.a.com", "*.org", "x.org"];
const REQUEST_HOSTS: [&str; 7] = ["a.com", "b.a.com", "c.b.a.com", "d.c.b.a.com", "a.org", "x.org", "else.net"];
const PATHS: [&str; 9] = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/a/bc", "/a/b/"];
const REGEXES: [&str; 4] = ["/a.*", "/a|/b", "/[ab]/b", ".*c"];
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
const NAMES: [&str; 3] = ["x-a", "X-B", "X-A"];
const VALUES: [&str; 3] = ["1", "2", "12"];
const LISTENERS: [Option<&str>; 3] = [None, Some("*.a.com"), Some("x.org")];

#[derive(Clone, Debug)]
struct Match {
    path: Option<(u8, &'static str)>,
    method: Option<&'static str>,
    headers: Vec<(&'static str, &'static str, bool)>,
    query: Vec<(&'static str, &'static str, bool)>,
}

#[derive(Clone, Debug)]
struct Route {
    created: Option<i32>,
    hosts: Vec<&'static str>,
    rules: Vec<Vec<Match>>,
}

#[derive(Clone, Debug)]
struct Request {
    host: &'static str,
    path: &'static str,
    method: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    query: Vec<(&'static str, &'static str)>,
}

fn a_match() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        4 => (0..2u8).prop_flat_map(|kind| select(&PATHS[..]).prop_map(move |path| (kind, path))),
        1 => select(&REGEXES[..]).prop_map(|regex| (2, regex)),
    ];
    let condition = || (select(&NAMES[..]), select(&VALUES[..]), prop::bool::weighted(0.2));
    (option::of(path), option::weighted(0.3, select(&METHODS[..])), vec(condition(), 0..3), vec(condition(), 0..2))
        .prop_map(|(path, method, headers, query)| Match { path, method, headers, query })
}

fn a_route() -> impl Strategy<Value = Route> {
    (option::of(0..3i32), vec(select(&HOSTS[..]), 0..3), vec(vec(a_match(), 0..3), 1..4))
        .prop_map(|(created, hosts, rules)| Route { created, hosts, rules })
}

fn a_request() -> impl Strategy<Value = Request> {
    let pairs = || vec((select(&["x-a", "x-b", "X-A"][..]), select(&VALUES[..])), 0..3);
    (select(&REQUEST_HOSTS[..]), select(&PATHS[..]), select(&METHODS[..]), pairs(), pairs())
        .prop_map(|(host, path, method, headers, query)| Request { host, path, method, headers, query })
}

// === The reference ===

/// The position of the route and of the rule that serve a request.
fn reference(routes: &[Route], request: &Request) -> Option<(usize, usize)> {
    // A request belongs to the listener with the most specific host name, and sees its routes alone.
    let listener = LISTENERS.iter().filter(|name| name.is_none_or(|name| covers(name, request.host)));
    let listener = listener.max_by_key(|name| name.map(specificity))?;
    let mut best: Option<(Key, (usize, usize))> = None;
    for (at, route) in routes.iter().enumerate() {
        if listener.is_some_and(|own| !route.hosts.is_empty() && !route.hosts.iter().any(|host| meet(own, host))) {
            continue;
        }
        let hosts = route.hosts.iter().filter(|host| covers(host, request.host)).map(|host| specificity(host));
        let host = match hosts.max() {
            Some(host) => host,
            None if route.hosts.is_empty() => (0, 0),
            None => continue,
        };
        for (rule, matches) in route.rules.iter().enumerate() {
            let everything = [Match { path: None, method: None, headers: vec![], query: vec![] }];
            let matches = if matches.is_empty() { &everything[..] } else { matches };
            for (n, one) in matches.iter().enumerate().filter(|(_, one)| holds(one, request)) {
                let age = route.created.map_or(i32::MAX, |created| created);
                // All but the criteria of the match itself prefer what is smaller.
                let key = (host, criteria(one), (-i64::from(age), Smaller(name(at)), Smaller((rule, n))));
                if best.as_ref().is_none_or(|(other, _)| key > *other) {
                    best = Some((key, (at, rule)));
                }
            }
        }
    }
    best.map(|(_, found)| found)
}

type Key = ((usize, usize), (u8, usize, bool, usize, usize), (i64, Smaller<String>, Smaller<(usize, usize)>));

#[derive(PartialEq, Eq)]
struct Smaller<T>(T);

impl<T: Ord> PartialOrd for Smaller<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        other.0.partial_cmp(&self.0)
    }
}

fn name(at: usize) -> String {
    format!("r{at}")
}

/// Characters of a host name without a wildcard, then characters of any.
fn specificity(host: &str) -> (usize, usize) {
    if host.starts_with("*.") { (0, host.len()) } else { (host.len(), host.len()) }
}

fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
        None => pattern == host,
    }
}

fn meet(a: &str, b: &str) -> bool {
    a == b
        || covers(a, b.trim_start_matches("*."))
        || covers(b, a.trim_start_matches("*."))
        || match (a.strip_prefix('*'), b.strip_prefix('*')) {
            (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
            _ => false,
        }
}

fn criteria(one: &Match) -> (u8, usize, bool, usize, usize) {
    let (kind, path) = one.path.unwrap_or((1, "/"));
    let (class, length) = match kind {
        0 => (3, path.len()),
        2 => (2, path.len() + "^(?:)$".len()),
        _ => (1, path.trim_end_matches('/').len()),
    };
    (
        class,
        length,
        one.method.is_some(),
        first_of_each(&one.headers, true).len(),
        first_of_each(&one.query, false).len(),
    )
}

fn first_of_each(list: &[(&'static str, &'static str, bool)], ignore_case: bool) -> Vec<(String, &'static str, bool)> {
    let mut kept: Vec<(String, &'static str, bool)> = Vec::new();
    for (name, value, regex) in list {
        let name = if ignore_case { name.to_ascii_lowercase() } else { (*name).to_owned() };
        if kept.iter().all(|(other, ..)| *other != name) {
            kept.push((name, value, *regex));
        }
    }
    kept
}

fn holds(one: &Match, request: &Request) -> bool {
    let path = match one.path.unwrap_or((1, "/")) {
        (0, exact) => request.path == exact,
        (2, regex) => whole(regex, request.path),
        (_, prefix) => {
            let elements = |path: &'static str| path.split('/').filter(|element| !element.is_empty());
            let mut own = elements(request.path);
            elements(prefix).all(|element| own.next() == Some(element))
        }
    };
    let value_holds =
        |wanted: &str, regex: bool, value: &str| if regex { whole(wanted, value) } else { wanted == value };
    let headers = first_of_each(&one.headers, true).into_iter().all(|(name, wanted, regex)| {
        let values: Vec<_> = request
            .headers
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(&name))
            .map(|(_, value)| *value)
            .collect();
        !values.is_empty() && value_holds(wanted, regex, &values.join(", "))
    });
    let query = first_of_each(&one.query, false).into_iter().all(|(name, wanted, regex)| {
        request.query.iter().find(|(own, _)| **own == *name).is_some_and(|(_, value)| value_holds(wanted, regex, value))
    });
    path && headers && query && one.method.is_none_or(|method| method == request.method)
}

fn whole(regex: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{regex})$")).unwrap().is_match(text)
}

// === The implementation ===

fn objects(routes: &[Route]) -> Objects {
    let mut objects = Objects::default();
    let listeners = LISTENERS.iter().enumerate().map(|(at, hostname)| {
        let mut listener = json!({"name": format!("l{at}"), "port": 80, "protocol": "HTTP"});
        hostname.iter().for_each(|hostname| listener["hostname"] = (*hostname).into());
        listener
    });
    let gateway = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "gw"},
        "spec": {"gatewayClassName": "portolan", "listeners": listeners.collect::<Vec<_>>()},
    });
    input::add(&mut objects, gateway, true);
    for (at, route) in routes.iter().enumerate() {
        let rules: Vec<_> = route
            .rules
            .iter()
            .map(|rule| json!({"matches": rule.iter().map(a_json_match).collect::<Vec<_>>()}))
            .collect();
        let mut object = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": name(at)},
            "spec": {"parentRefs": [{"name": "gw"}], "hostnames": route.hosts, "rules": rules},
        });
        if let Some(created) = route.created {
            object["metadata"]["creationTimestamp"] = format!("202{created}-01-01T00:00:00Z").into();
        }
        // What the API server would refuse (a header twice) must be read as the specification says all the same.
        input::add(&mut objects, object, false);
    }
    objects
}

fn a_json_match(one: &Match) -> serde_json::Value {
    let kinds = ["Exact", "PathPrefix", "RegularExpression"];
    let condition = |(name, value, regex): &(&str, &str, bool)| json!({"name": name, "value": value, "type": if *regex { "RegularExpression" } else { "Exact" }});
    let mut json = json!({
        "headers": one.headers.iter().map(condition).collect::<Vec<_>>(),
        "queryParams": one.query.iter().map(condition).collect::<Vec<_>>(),
    });
    one.path.iter().for_each(|(kind, value)| json["path"] = json!({"type": kinds[usize::from(*kind)], "value": value}));
    one.method.iter().for_each(|method| json["method"] = (*method).into());
    json
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_table_chooses_as_the_specification_says(
        routes in vec(a_route(), 1..8),
        requests in vec(a_request(), 20),
    ) {
        let edges = input::read("").edges;
        let objects = objects(&routes);
        let mut edges = portolan_translate::Edges { frontends: false, ..edges };
        let address = portolan_translate::edges::GatewayAddresses { assigned: vec!["127.0.0.1".parse().unwrap()], ..Default::default() };
        edges.gateways.insert(portolan_translate::ObjectName::new("default", "gw"), address);
        let translation = translate(&objects, &edges, None);
        let PortKind::Http(port) = &translation.snapshot.ports[0].kind else { panic!("the port is one of HTTP") };
        for request in &requests {
            let mut headers = HeaderMap::new();
            for (name, value) in &request.headers {
                headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let query: Vec<_> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let query = query.join("&");
            let method: Method = request.method.parse().unwrap();
            let view = RequestView { host: request.host, path: request.path, query: Some(&query), method: &method, headers: &headers };
            let table = &port.listeners.get(request.host).unwrap().routes;
            let found = table.find(&view).map(|candidate| (candidate.rule.id.route.name.to_string(), usize::from(candidate.rule.id.rule)));
            let expected = reference(&routes, request).map(|(route, rule)| (name(route), rule));
            prop_assert_eq!(&found, &expected, "{:?}", request);
            // What is explained is what is done: the first candidate without a mismatch.
            let explained = table.explain(&view).into_iter().find(|one| one.mismatch.is_none());
            let explained = explained.map(|one| (one.candidate.rule.id.route.name.to_string(), usize::from(one.candidate.rule.id.rule)));
            prop_assert_eq!(&explained, &expected);
        }
    }
}
