//! Random requests over random routes: the engine over the wire, `explain`, and the naive reference name the same rule.
//! `PORTOLAN_TEST_SEED` repeats a run.

use crate::{
    reference::{Listener, Match, Path, Request, Route, Rule, Value, winner},
    support::{Dev, manifests::*},
};
use portolan_client::{Client, NoDirectory, Options, Session};
use std::{net::SocketAddr, sync::Arc};

/// Sets of routes, and requests for each.
const SETS: usize = 20;
const REQUESTS: usize = 500;
/// Requests in flight.
const LANES: usize = 4;

/// A small generator (xorshift64*): good enough for choices, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % count
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn some<T>(&mut self, at_most: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(at_most + 1)).map(|_| one(self)).collect()
    }

    fn path(&mut self) -> String {
        let elements = self.some(3, |dice| dice.of(&["a", "b", "c", "ab"]));
        format!("/{}", elements.join("/"))
    }

    fn values(&mut self, names: &[&str]) -> Vec<Value> {
        let mut names: Vec<&str> = names.iter().copied().filter(|_| self.one_in(3)).collect();
        names.truncate(2);
        let value = |name: &str| {
            let regex = self.one_in(3);
            let value = if regex { self.of(&["[1-2]", ".+", "1|2", ""]) } else { self.of(&["1", "2", "3"]) };
            // An expression that is empty is no expression.
            let regex = regex && !value.is_empty();
            Value {
                name: name.to_owned(),
                value: if value.is_empty() { "1".to_owned() } else { value.to_owned() },
                regex,
            }
        };
        names.into_iter().map(value).collect()
    }

    fn one_match(&mut self) -> Match {
        let path = match self.below(6) {
            0 => None,
            1 | 2 => Some(Path::Exact(self.path())),
            3 => Some(Path::Regex(self.of(&["/[ab]", "/a/.*", "/(a|ab)/b", "/.*/c", "/a|/b", "/.*"]).to_owned())),
            _ => Some(Path::Prefix(self.path())),
        };
        Match {
            path,
            method: self.one_in(3).then(|| self.of(&METHODS).to_owned()),
            headers: self.values(&["x-one", "X-Two"]),
            query: self.values(&["q", "r"]),
        }
    }

    fn route(&mut self, name: String, listeners: &[Listener]) -> Route {
        Route {
            name,
            section: self.one_in(4).then(|| self.of(listeners).name),
            hostnames: {
                let mut hostnames = self.some(3, |dice| dice.of(&HOSTNAMES).to_owned());
                hostnames.sort();
                hostnames.dedup();
                hostnames
            },
            rules: (0..self.below(3) + 1).map(|_| Rule { matches: self.some(3, Self::one_match) }).collect(),
        }
    }

    fn listeners(&mut self) -> Vec<Listener> {
        let all = [None, Some("*.test"), Some("*.shop.test"), Some("a.shop.test")];
        let mut chosen: Vec<_> = all.into_iter().filter(|_| self.one_in(2)).collect();
        if chosen.is_empty() {
            chosen.push(None);
        }
        let named = |(at, hostname): (usize, Option<&str>)| Listener {
            name: format!("l{at}"),
            hostname: hostname.map(str::to_owned),
        };
        chosen.into_iter().enumerate().map(named).collect()
    }

    fn request(&mut self) -> Request {
        let mut path = self.path();
        if self.one_in(8) {
            path = self.of(&["//a", "/./a/b", "/c/../a", "/a/", "/ab/.", "/b//c"]).to_owned();
        }
        let mut values = |names: &[&str]| -> Vec<(String, String)> {
            let chosen: Vec<&str> = names.iter().copied().filter(|_| !self.one_in(3)).collect();
            chosen.into_iter().map(|name| (name.to_owned(), self.of(&["1", "2", "3", "x"]).to_owned())).collect()
        };
        let (headers, query) = (values(&["X-ONE", "x-two"]), values(&["r", "q", "s"]));
        Request { host: self.of(&HOSTS).to_owned(), method: self.of(&METHODS).to_owned(), path, headers, query }
    }
}

const METHODS: [&str; 4] = ["GET", "PUT", "DELETE", "POST"];
const HOSTNAMES: [&str; 7] =
    ["a.shop.test", "b.shop.test", "*.shop.test", "*.eu.shop.test", "x.eu.shop.test", "*.test", "other.test"];
const HOSTS: [&str; 9] = [
    "a.shop.test",
    "A.Shop.Test",
    "b.shop.test",
    "x.eu.shop.test",
    "y.x.eu.shop.test",
    "shop.test",
    "other.test",
    "c.shop.test",
    "unknown.example",
];

// === manifests ===

fn yaml_values(values: &[Value]) -> String {
    let one = |value: &Value| {
        let kind = if value.regex { "RegularExpression" } else { "Exact" };
        format!("{{name: {}, type: {kind}, value: '{}'}}", value.name, value.value)
    };
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn yaml_match(one: &Match) -> String {
    let mut fields = Vec::new();
    if let Some(path) = &one.path {
        let (kind, value) = match path {
            Path::Exact(path) => ("Exact", path),
            Path::Prefix(path) => ("PathPrefix", path),
            Path::Regex(pattern) => ("RegularExpression", pattern),
        };
        fields.push(format!("path: {{type: {kind}, value: '{value}'}}"));
    }
    fields.extend(one.method.as_ref().map(|method| format!("method: {method}")));
    if !one.headers.is_empty() {
        fields.push(format!("headers: [{}]", yaml_values(&one.headers)));
    }
    if !one.query.is_empty() {
        fields.push(format!("queryParams: [{}]", yaml_values(&one.query)));
    }
    format!("{{{}}}", fields.join(", "))
}

/// A route each of whose rules redirects to a host that names it.
fn yaml_route(one: &Route) -> String {
    let section = one.section.as_ref().map(|name| format!(", sectionName: {name}")).unwrap_or_default();
    let mut spec = format!("parentRefs: [{{name: web{section}}}]\nhostnames: [{}]\nrules:\n", quoted(&one.hostnames));
    for (index, rule) in one.rules.iter().enumerate() {
        let redirect = format!("{{hostname: {}-{index}.rule}}", one.name);
        spec.push_str(&format!("- filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]\n"));
        if !rule.matches.is_empty() {
            let matches: Vec<_> = rule.matches.iter().map(yaml_match).collect();
            spec.push_str(&format!("  matches: [{}]\n", matches.join(", ")));
        }
    }
    route("HTTPRoute", &one.name, &spec)
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ")
}

fn yaml_listener(one: &Listener) -> String {
    let hostname = one.hostname.as_ref().map(|hostname| format!(", hostname: '{hostname}'")).unwrap_or_default();
    format!("- {{name: {}, port: 8080, protocol: HTTP{hostname}}}\n", one.name)
}

// === asking ===

/// One connection to the Gateway and one to the admin port.
struct Lane {
    gateway: (SocketAddr, Session),
    admin: (SocketAddr, Session),
}

fn target(request: &Request) -> String {
    let query: Vec<_> = request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{mark}{}", request.path, query.join("&"))
}

impl Lane {
    fn new(gateway: SocketAddr, admin: SocketAddr) -> Self {
        let session = || Client::new(Arc::new(NoDirectory), Options::default()).unwrap().session();
        Self { gateway: (gateway, session()), admin: (admin, session()) }
    }

    /// The rule by which the engine answers.
    async fn wire(&mut self, request: &Request) -> Option<String> {
        let (address, session) = &mut self.gateway;
        let mut asked = portolan_client::Request::new(format!("http://{address}{}", target(request)).parse().unwrap());
        asked.method = request.method.parse().unwrap();
        for (name, value) in request.headers.iter().chain([&("host".to_owned(), request.host.clone())]) {
            asked.headers.insert(http::HeaderName::try_from(name.as_str()).unwrap(), value.parse().unwrap());
        }
        let answer = session.send(&asked, &mut ()).await.unwrap_or_else(|failure| panic!("{failure} for {request:?}"));
        let location = answer.headers.get("location")?.to_str().unwrap();
        Some(location.strip_prefix("http://")?.split_once(".rule")?.0.to_owned())
    }

    /// The rule that `explain` names.
    async fn explain(&mut self, request: &Request) -> Option<String> {
        let (address, session) = &mut self.admin;
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let url = format!("http://{}:8080{}", request.host, target(request));
        let headers: String = request
            .headers
            .iter()
            .map(|(name, value)| format!("&header={}", encode(&format!("{name}: {value}"))))
            .collect();
        let asked = format!("http://{address}/explain?method={}&url={}{headers}", request.method, encode(&url));
        let answer = session.send(&portolan_client::Request::new(asked.parse().unwrap()), &mut ()).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&answer.messages.concat()).unwrap();
        let rule = told["winner"]["rule"].as_str()?;
        let (route, index) = rule.strip_prefix("HTTPRoute default/")?.split_once(" rule ")?;
        Some(format!("{route}-{index}"))
    }
}

fn seed() -> u64 {
    let given = std::env::var("PORTOLAN_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let time = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    given.unwrap_or_else(time) | 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engine_explain_and_reference_agree_on_10_000_random_requests() {
    let seed = seed();
    println!("PORTOLAN_TEST_SEED={seed}");
    let mut dice = Dice(seed);
    let address = unused_address();
    let dev = Dev::start([gateway_at(address, "web", HTTP)]).await;
    let mut lanes: Vec<_> = (0..LANES).map(|_| Lane::new((address, 8080).into(), dev.admin)).collect();
    let (mut agreed, mut taken) = (0, 0);
    for _ in 0..SETS {
        let listeners = dice.listeners();
        let routes: Arc<Vec<Route>> =
            Arc::new((0..dice.below(8) + 1).map(|at| dice.route(format!("r{at}"), &listeners)).collect());
        let mut documents = vec![gateway_at(address, "web", &listeners.iter().map(yaml_listener).collect::<String>())];
        documents.extend(routes.iter().map(yaml_route));
        dev.save(&documents).await;
        let requests: Vec<Request> = (0..REQUESTS).map(|_| dice.request()).collect();
        let listeners = Arc::new(listeners);
        let asking = lanes.drain(..).zip(requests.chunks(REQUESTS / LANES)).map(|(mut lane, requests)| {
            let (routes, listeners, requests) = (routes.clone(), listeners.clone(), requests.to_vec());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for request in requests {
                    let expected = winner(&listeners, &routes, &request).map(|(route, rule)| format!("{route}-{rule}"));
                    seen.push((expected, lane.wire(&request).await, lane.explain(&request).await, request));
                }
                (lane, seen)
            })
        });
        for asked in asking.collect::<Vec<_>>() {
            let (lane, seen) = asked.await.unwrap();
            lanes.push(lane);
            for (expected, wire, explained, request) in seen {
                let manifests = || documents.join("\n---\n");
                assert_eq!(
                    (&wire, &explained),
                    (&expected, &expected),
                    "wire, explain: {request:?}\nseed {seed}\n{}",
                    manifests()
                );
                agreed += 1;
                taken += usize::from(expected.is_some());
            }
        }
    }
    assert_eq!(agreed, SETS * REQUESTS);
    assert!(taken > agreed / 10, "most requests must find a rule for this to say something: {taken}");
}
