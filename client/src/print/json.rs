//! Answers, failures and tallies as JSON. The names here are an interface: scripts read them.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Code, KEPT_BYTES_MAX, TlsInfo};
use crate::failure::Failure;
use crate::load::Load;
use crate::request::{Protocol, Request};
use crate::tally::Tally;

/// One answer.
pub(crate) fn answer(request: &Request, answer: &Answer) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("url", request.target.to_string().into());
    put("protocol", answer.spoken.to_string().into());
    match &answer.code {
        Code::Http(status) => put("status", status.as_u16().into()),
        Code::Grpc { code, message } => put("grpc", json!({ "code": code, "message": message })),
        Code::Bytes => None,
    };
    put("headers", headers(&answer.headers));
    let content: Vec<Value> = answer.messages.iter().map(|message| content(message)).collect();
    match request.protocol {
        Protocol::Http(_) => put("body", content.into_iter().next().unwrap_or(Value::Null)),
        _ => put("messages", content.into()),
    };
    put("bytes", answer.bytes.into());
    let kept: usize = answer.messages.iter().map(bytes::Bytes::len).sum();
    if answer.bytes != kept as u64 {
        put("truncatedTo", KEPT_BYTES_MAX.min(kept).into());
    }
    if let Some(trailers) = &answer.trailers {
        put("trailers", headers(trailers));
    }
    put("latencyMs", millis(answer.latency));
    put("local", answer.link.local.to_string().into());
    put("peer", answer.link.peer.to_string().into());
    if let Some(TlsInfo { version, alpn, .. }) = &answer.link.tls {
        put("tls", json!({ "version": version, "alpn": alpn }));
    }
    object.into()
}

/// A request without an answer.
pub(crate) fn failure(request: &Request, failure: &Failure) -> Value {
    json!({ "url": request.target.to_string(), "error": error(failure) })
}

/// Many requests.
pub(crate) fn tally(tally: &Tally, load: &Load) -> Value {
    let backends: Vec<_> = tally
        .backends
        .iter()
        .map(|(backend, count)| {
            json!({ "pod": backend.pod, "service": backend.service, "namespace": backend.namespace, "count": count })
        })
        .collect();
    let failures: Vec<_> = tally
        .failures
        .iter()
        .map(|(kind, count)| json!({ "count": count, "first": tally.examples.get(kind).map(error), "kind": kind }))
        .collect();
    let mut object = json!({
        "url": load.request.target.to_string(),
        "requests": tally.requests,
        "answers": tally.answers,
        "failed": tally.failed(),
        "unsuccessful": tally.unsuccessful,
        "statuses": tally.statuses,
        "backends": backends,
        "failures": failures,
        "resent": tally.resent,
        "connections": tally.connections,
        "bytes": tally.bytes,
        "seconds": tally.elapsed.as_secs_f64(),
        "latencyMs": {
            "p50": millis(tally.latencies.quantile(0.5)),
            "p99": millis(tally.latencies.quantile(0.99)),
            "max": millis(tally.latencies.max()),
        },
    });
    if let Some(name) = &load.by_header {
        let counts: Vec<_> =
            tally.headers.iter().map(|(value, count)| json!({ "value": value, "count": count })).collect();
        object["header"] = json!({ "name": name.as_str(), "values": counts });
    }
    object
}

fn error(failure: &Failure) -> Value {
    json!({ "kind": failure.kind(), "message": failure.to_string(), "hint": failure.hint() })
}

/// A name that occurs once has a text, one that is repeated a list.
fn headers(headers: &HeaderMap) -> Value {
    let mut all: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (name, value) in headers {
        all.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into());
    }
    let single = |mut values: Vec<Value>| if values.len() == 1 { values.remove(0) } else { values.into() };
    all.into_iter().map(|(name, values)| (name.to_owned(), single(values))).collect::<Map<_, _>>().into()
}

/// JSON where it is JSON, text otherwise.
fn content(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

fn millis(time: Duration) -> Value {
    (time.as_micros() as f64 / 1000.0).into()
}
