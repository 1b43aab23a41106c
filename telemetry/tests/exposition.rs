//! The Prometheus text, read by a strict parser of its own: what it does not know is an error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portolan_telemetry::metrics::{Exchange, ListenerLabels, Registry, RouteLabels, WorkerId, names};
use portolan_telemetry::{FlagKind, HttpMethod, HttpVersion, Labels, Scheme, Value};

type LabelMap = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Exposition {
    types: BTreeMap<String, String>,
    helps: BTreeSet<String>,
    samples: Vec<(String, LabelMap, f64)>,
}

impl Exposition {
    fn parse(text: &str) -> Self {
        assert!(text.is_empty() || text.ends_with('\n'));
        let mut exposition = Exposition::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(is_name(name) && !help.is_empty());
                assert!(exposition.helps.insert(name.into()), "second HELP of {name}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(exposition.types.insert(name.into(), kind.into()).is_none(), "second TYPE of {name}");
            } else {
                exposition.sample(line);
            }
        }
        exposition
    }

    fn sample(&mut self, line: &str) {
        let end = line.find(['{', ' ']).unwrap();
        let name = &line[..end];
        assert!(is_name(name), "{line}");
        let (labels, rest) = match line[end..].strip_prefix('{') {
            Some(rest) => parse_labels(rest),
            None => (LabelMap::new(), &line[end..]),
        };
        let value = rest.strip_prefix(' ').unwrap().parse().unwrap();
        let family = self.family_of(name);
        assert!(self.helps.contains(&family), "{name} before its HELP");
        assert!(
            !self.samples.iter().any(|(other, theirs, _)| other == name && *theirs == labels),
            "second sample: {line}"
        );
        self.samples.push((name.into(), labels, value));
    }

    fn family_of(&self, name: &str) -> String {
        let stems = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        let histogram = stems.into_iter().find(|stem| self.types.get(*stem).is_some_and(|kind| kind == "histogram"));
        let family = histogram.unwrap_or(name);
        let kind = self.types.get(family).unwrap_or_else(|| panic!("{name} has no TYPE before it"));
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        family.into()
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matching =
            |theirs: &LabelMap| labels.iter().all(|(key, value)| theirs.get(*key).is_some_and(|v| v == value));
        let found: Vec<f64> =
            self.samples.iter().filter(|(n, l, _)| n == name && matching(l)).map(|(_, _, value)| *value).collect();
        assert_eq!(found.len(), 1, "{name} {labels:?}");
        found[0]
    }
}

fn is_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(rest)
}

fn parse_labels(mut rest: &str) -> (LabelMap, &str) {
    let mut labels = LabelMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(name), "{name}");
        let (value, after) = parse_quoted(after);
        assert!(labels.insert(name.into(), value).is_none(), "label {name} twice");
        match after.split_at(1) {
            (",", more) => rest = more,
            ("}", end) => return (labels, end),
            other => panic!("{other:?}"),
        }
    }
}

fn parse_quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                other => panic!("escape {other}"),
            }),
            c => value.push(c),
        }
    }
    panic!("no closing quote: {text}");
}

const HOSTILE: &str = "a\"b\\c\nd{}=,é";

fn filled() -> Registry {
    let registry = Registry::default();
    let worker = registry.worker(WorkerId(0));
    let listener = ListenerLabels {
        gateway: "default/edge".into(),
        listener: "web".into(),
        scheme: Some(Scheme::Https),
        port: 443,
    };
    let hostile: Arc<str> = HOSTILE.into();
    let route = RouteLabels { listener, route: Some(hostile), rule: None, backend: None };
    let server = worker.http_server(&route);
    for millis in [1, 5, 6, 9_999, 10_000, 10_001, 500_000] {
        server.record(&Exchange {
            method: HttpMethod::Post,
            version: HttpVersion::Http2,
            status: Some(StatusCode::OK),
            flag: FlagKind::Ok,
            duration: Duration::from_millis(millis),
            request_bytes: 256,
            response_bytes: 0,
        });
    }
    worker.limit("header_bytes").add(3);
    worker.config_loads().loaded(12);
    worker.handle(&names::UPSTREAM_CONNECTIONS_ACTIVE, &Labels::new([("k", Value::Int(-1))])).add(-2);
    registry
}

#[test]
fn the_text_follows_the_format_and_the_naming_of_opentelemetry() {
    let exposition = Exposition::parse(&filled().prometheus());
    let labels = [("portolan_route", HOSTILE), ("http_response_status_code", "200"), ("server_port", "443")];
    assert_eq!(exposition.value("http_server_request_duration_seconds_count", &labels), 7.0);
    assert_eq!(exposition.value("http_server_response_body_size_bytes_sum", &labels), 0.0);
    assert_eq!(exposition.value("portolan_limit_reached_total", &[("portolan_limit", "header_bytes")]), 3.0);
    assert_eq!(exposition.value("portolan_config_generation", &[]), 12.0);
    assert_eq!(exposition.value("portolan_upstream_connections_active", &[("k", "-1")]), -2.0);
    assert_eq!(exposition.types["http_server_request_duration_seconds"], "histogram");
}

#[test]
fn buckets_are_the_conventions_cumulative_and_exact_at_their_boundaries() {
    let exposition = Exposition::parse(&filled().prometheus());
    let name = "http_server_request_duration_seconds";
    let buckets: Vec<(f64, f64)> = exposition
        .samples
        .iter()
        .filter(|(sample, _, _)| *sample == format!("{name}_bucket"))
        .map(|(_, labels, value)| (labels["le"].parse().unwrap(), *value))
        .collect();
    let bounds = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, f64::INFINITY];
    assert_eq!(buckets.iter().map(|(le, _)| *le).collect::<Vec<_>>(), bounds);
    let counts: Vec<f64> = buckets.iter().map(|(_, count)| *count).collect();
    let expected = [2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 5.0, 7.0];
    assert_eq!(counts, expected);
    assert_eq!(exposition.value(&format!("{name}_count"), &[]), 7.0);
    assert!((exposition.value(&format!("{name}_sum"), &[]) - 530.012).abs() < 1e-9);
    let size = "http_server_request_body_size_bytes_bucket";
    assert_eq!(exposition.value(size, &[("le", "0")]), 0.0);
    assert_eq!(exposition.value(size, &[("le", "256")]), 7.0);
}

#[test]
fn an_empty_registry_is_a_valid_text() {
    let exposition = Exposition::parse(&Registry::default().prometheus());
    assert_eq!(exposition.value("portolan_metrics_series", &[]), 0.0);
}
