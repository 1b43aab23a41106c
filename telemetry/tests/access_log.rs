//! Whatever clients send, each request is one line of JSON with the fields that are promised and no other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};
use portolan_telemetry::access_log::{Entry, FIELD_BYTES_MAX, Query};
use portolan_telemetry::clock::UnixNanos;
use portolan_telemetry::trace::{IdRng, RequestTrace, Sampler, TRACEPARENT};
use portolan_telemetry::{FlagKind, HttpVersion, ResponseFlag};
use proptest::prelude::*;
use serde_json::{Value, json};

fn entry<'a>(path: &'a [u8], flag: &'a ResponseFlag) -> Entry<'a> {
    Entry {
        time: UnixNanos(1_700_000_000_123_456_789),
        trace: None,
        method: b"GET",
        host: Some(b"shop.example"),
        path,
        protocol: HttpVersion::Http2,
        status: Some(StatusCode::OK),
        route: Some("HTTPRoute/default/shop"),
        rule: Some("0"),
        backend: Some("default/shop:80"),
        endpoint: Some("127.0.0.9:8080".parse().unwrap()),
        duration: Duration::from_micros(1_234),
        request_bytes: 0,
        response_bytes: 13,
        client: Some("[::1]:50000".parse().unwrap()),
        user_agent: Some(b"curl/8"),
        flag,
        retries: 0,
        filter_failure: None,
    }
}

#[test]
fn a_line_says_what_became_of_the_request() {
    let mut headers = HeaderMap::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    headers.insert(TRACEPARENT, HeaderValue::from_static(parent));
    let trace = RequestTrace::begin(&mut headers, Sampler::NEVER, &mut IdRng::from_seed(1));
    let line = Entry { trace: Some(&trace.context), ..entry(b"/a?b=c", &ResponseFlag::OK) }.line(Query::Keep);
    let expected = json!({
        "timestamp": "2023-11-14T22:13:20.123Z",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "method": "GET",
        "host": "shop.example",
        "path": "/a?b=c",
        "protocol": "HTTP/2",
        "status": 200,
        "route": "HTTPRoute/default/shop",
        "rule": "0",
        "backend": "default/shop:80",
        "endpoint": "127.0.0.9:8080",
        "duration_ms": 1.234,
        "request_bytes": 0,
        "response_bytes": 13,
        "client": "[::1]:50000",
        "user_agent": "curl/8",
        "flag": "ok",
        "retries": 0,
    });
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), expected);
}

#[test]
fn what_a_request_did_not_get_as_far_as_is_absent() {
    let flag = ResponseFlag::from(FlagKind::ClientClosed);
    let mut entry = entry(b"/", &flag);
    (entry.status, entry.route, entry.rule, entry.backend, entry.endpoint) = (None, None, None, None, None);
    let line: Value = serde_json::from_slice(&entry.line(Query::Keep)).unwrap();
    for key in ["trace_id", "status", "route", "rule", "backend", "endpoint", "filter_failure"] {
        assert!(line.get(key).is_none(), "{key}");
    }
    assert_eq!(line["flag"], "client_closed");
}

#[test]
fn a_filters_failure_is_named_and_told() {
    let flag = ResponseFlag::filter_failed("default/auth");
    let line = Entry { filter_failure: Some("trap:\nunreachable"), ..entry(b"/", &flag) }.line(Query::Keep);
    let line: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(line["flag"], "filter_failed:default/auth");
    assert_eq!(line["filter_failure"], "trap:\nunreachable");
}

#[test]
fn a_redacted_query_is_gone_and_said_to_be() {
    let flag = ResponseFlag::OK;
    let line: Value = serde_json::from_slice(&entry(b"/a?token=x?y", &flag).line(Query::Redact)).unwrap();
    assert_eq!(line["path"], "/a?redacted");
    let line: Value = serde_json::from_slice(&entry(b"/a", &flag).line(Query::Redact)).unwrap();
    assert_eq!(line["path"], "/a");
    let long = [&[b'x'; 2 * FIELD_BYTES_MAX][..], b"?token"].concat();
    let line: Value = serde_json::from_slice(&entry(&long, &flag).line(Query::Redact)).unwrap();
    assert!(line["path"].as_str().unwrap().ends_with("x?redacted"));
}

fn bytes(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..length_max)
}

proptest! {
    #[test]
    fn hostile_bytes_are_one_line_that_parses(
        method in bytes(40),
        host in proptest::option::of(bytes(300)),
        path in bytes(3 * FIELD_BYTES_MAX),
        agent in proptest::option::of(bytes(300)),
        subject in ".{0,40}",
        detail in proptest::option::of(".{0,900}"),
        query in prop_oneof![Just(Query::Keep), Just(Query::Redact)],
    ) {
        let flag = ResponseFlag::limit(subject);
        let mut entry = entry(&path, &flag);
        entry.method = &method;
        entry.host = host.as_deref();
        entry.user_agent = agent.as_deref();
        entry.filter_failure = detail.as_deref();
        let line = entry.line(query);
        prop_assert_eq!(line.iter().filter(|b| **b < 0x20 || **b == 0x7f).count(), 1);
        prop_assert_eq!(line.last(), Some(&b'\n'));
        let parsed: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(parsed["status"].as_u64(), Some(200));
        prop_assert_eq!(parsed["retries"].as_u64(), Some(0));
        if let Some(agent) = &agent {
            prop_assert_eq!(parsed["user_agent"].as_str().unwrap(), String::from_utf8_lossy(agent));
        }
    }
}
