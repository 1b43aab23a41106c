//! Which rule takes a request, written straight from the text of the Gateway API and as slowly as it reads. Shares no code
//! with the engine: <https://gateway-api.sigs.k8s.io/reference/spec/#httproutespec>.

use regex::Regex;
use std::cmp::Reverse;

/// A listener of the one port.
#[derive(Clone, Debug)]
pub struct Listener {
    pub name: String,
    pub hostname: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Route {
    pub name: String,
    /// The listener that it names; without one it asks for all of them.
    pub section: Option<String>,
    pub hostnames: Vec<String>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    /// One of them has to hold; without any, everything matches.
    pub matches: Vec<Match>,
}

#[derive(Clone, Debug, Default)]
pub struct Match {
    pub path: Option<Path>,
    pub method: Option<String>,
    pub headers: Vec<Value>,
    pub query: Vec<Value>,
}

#[derive(Clone, Debug)]
pub enum Path {
    Exact(String),
    Prefix(String),
    Regex(String),
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug)]
pub struct Value {
    pub name: String,
    pub value: String,
    pub regex: bool,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub host: String,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
}

/// Route and rule that take the request.
pub fn winner(listeners: &[Listener], routes: &[Route], request: &Request) -> Option<(String, usize)> {
    let host = request.host.to_ascii_lowercase();
    let path = normalised(&request.path);
    // A request belongs to the most specific listener that has its host, and to no other.
    let listener = listeners
        .iter()
        .filter(|listener| listener.hostname.as_ref().is_none_or(|hostname| has(hostname, &host)))
        .max_by_key(|listener| specificity(listener.hostname.as_deref()))?;
    let mut best = None;
    for route in routes.iter().filter(|route| route.section.as_ref().is_none_or(|name| *name == listener.name)) {
        let Some(hostname) = hostname(route, listener, &host) else { continue };
        for (index, rule) in route.rules.iter().enumerate() {
            let everything = [Match::default()];
            let matches = if rule.matches.is_empty() { &everything[..] } else { &rule.matches };
            for one in matches.iter().filter(|one| holds(one, request, &path)) {
                let rank = (specificity(hostname), precedence(one), Reverse(route.name.clone()), Reverse(index));
                if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                    best = Some((rank, (route.name.clone(), index)));
                }
            }
        }
    }
    best.map(|(_, winner)| winner)
}

/// The hostname by which a route under a listener has a host; `Some(None)` where the route gives none.
fn hostname<'a>(route: &'a Route, listener: &Listener, host: &str) -> Option<Option<&'a str>> {
    if route.hostnames.is_empty() {
        return Some(None);
    }
    let on_listener = |hostname: &&String| listener.hostname.as_ref().is_none_or(|other| intersect(hostname, other));
    let having = route.hostnames.iter().filter(on_listener).filter(|hostname| has(hostname, host));
    having.map(|hostname| Some(hostname.as_str())).max_by_key(|hostname| specificity(*hostname))
}

/// "Characters in a matching non-wildcard hostname", then "characters in a matching hostname".
fn specificity(hostname: Option<&str>) -> (usize, usize) {
    let length = hostname.map_or(0, str::len);
    (if hostname.is_some_and(|hostname| hostname.starts_with('*')) { 0 } else { length }, length)
}

/// Whether a hostname, perhaps a wildcard, has a host.
fn has(hostname: &str, host: &str) -> bool {
    match hostname.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => hostname == host,
    }
}

fn intersect(a: &str, b: &str) -> bool {
    let under =
        |a: &str, b: &str| b.strip_prefix('*').is_some_and(|suffix| a.trim_start_matches('*').ends_with(suffix));
    a == b || under(a, b) || under(b, a)
}

/// Exact path, regular expression (whose place the text leaves to the implementation), longest prefix, method, headers,
/// query parameters.
fn precedence(one: &Match) -> (u8, usize, bool, usize, usize) {
    let (class, length) = match &one.path {
        Some(Path::Exact(path)) => (3, path.len()),
        Some(Path::Regex(pattern)) => (2, pattern.len()),
        Some(Path::Prefix(prefix)) => (1, prefix.len()),
        None => (1, 1),
    };
    (class, length, one.method.is_some(), one.headers.len(), one.query.len())
}

fn holds(one: &Match, request: &Request, path: &str) -> bool {
    let first = |values: &[(String, String)], wanted: &str, fold: bool| {
        let same = |name: &str| if fold { name.eq_ignore_ascii_case(wanted) } else { name == wanted };
        values.iter().find(|(name, _)| same(name)).map(|(_, value)| value.clone())
    };
    let value = |condition: &Value, found: Option<String>| {
        let Some(found) = found else { return false };
        if condition.regex { whole(&condition.value, &found) } else { condition.value == found }
    };
    one.path.as_ref().is_none_or(|wanted| path_holds(wanted, path))
        && one.method.as_ref().is_none_or(|method| *method == request.method)
        && one.headers.iter().all(|condition| value(condition, first(&request.headers, &condition.name, true)))
        && one.query.iter().all(|condition| value(condition, first(&request.query, &condition.name, false)))
}

fn path_holds(wanted: &Path, path: &str) -> bool {
    match wanted {
        Path::Exact(exact) => exact == path,
        Path::Regex(pattern) => whole(pattern, path),
        // Element by element: `/abc` is a prefix of `/abc/def` and not of `/abcd`.
        Path::Prefix(prefix) => {
            let elements =
                |path: &str| path.split('/').filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            elements(path).starts_with(&elements(prefix))
        }
    }
}

fn whole(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().find_iter(text).any(|found| found.len() == text.len())
        || Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(text)
}

/// Without empty elements and dots.
fn normalised(path: &str) -> String {
    let mut elements = Vec::new();
    let mut open = false;
    for element in path.split('/').skip(1) {
        open = matches!(element, "" | "." | "..");
        match element {
            "" | "." => {}
            ".." => drop(elements.pop()),
            element => elements.push(element),
        }
    }
    let end = if open || elements.is_empty() { "/" } else { "" };
    format!("/{}", elements.join("/")).trim_end_matches('/').to_owned() + end
}

#[test]
fn the_reference_says_what_the_specification_gives_as_examples() {
    assert!(has("*.example.com", "a.b.example.com") && !has("*.example.com", "example.com"));
    assert!(intersect("*.example.com", "test.example.com") && intersect("*.example.com", "*.a.example.com"));
    assert!(!intersect("*.example.com", "*.example.org") && !intersect("a.example.com", "b.example.com"));
    assert!(path_holds(&Path::Prefix("/abc".into()), "/abc/def") && !path_holds(&Path::Prefix("/abc".into()), "/abcd"));
    assert!(path_holds(&Path::Prefix("/".into()), "/any"));
    assert_eq!(normalised("//a/./b/../c/"), "/a/c/");
    assert_eq!(normalised("/a/.."), "/");
    assert!(
        specificity(Some("a.bc")) > specificity(Some("*.long.name")) && specificity(Some("*.a")) > specificity(None)
    );
}
