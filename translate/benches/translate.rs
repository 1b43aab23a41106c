//! What translation costs at 5,000 HTTPRoutes and 10,000 endpoints: from nothing, after one route changed, after one
//! endpoint changed.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use criterion::{Criterion, criterion_group, criterion_main};
use portolan_translate::{Edges, ObjectName, Objects, edges::GatewayAddresses, objects::Store, translate};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{hint::black_box, sync::Arc};

const ROUTES: usize = 5_000;
const HOSTS: usize = 1_000;
const ENDPOINTS_PER_SERVICE: usize = 2;

fn put<T: DeserializeOwned>(store: &mut Store<T>, name: &str, mut value: Value) {
    value["metadata"]["name"] = name.into();
    value["metadata"]["namespace"] = "default".into();
    value["metadata"]["generation"] = 1.into();
    let object = serde_json::from_value(value).expect("the bench writes valid objects");
    store.insert(ObjectName::new("default", name), Arc::new(object));
}

/// A fixed mix of exact paths, prefixes, expressions and headers, one of ten for a wildcard host.
fn route(objects: &mut Objects, at: usize, generation: usize) {
    let matches = match at % 4 {
        0 => json!({"path": {"type": "Exact", "value": format!("/exact/{at}")}}),
        1 => json!({"path": {"value": format!("/prefix/{at}")}}),
        2 => json!({"path": {"type": "RegularExpression", "value": format!("/regex/{at}/[a-z]+")}}),
        _ => json!({"path": {"value": "/"}, "headers": [{"name": "x-route", "value": at.to_string()}]}),
    };
    let host = at % HOSTS;
    let hostname =
        if host.is_multiple_of(10) { format!("*.h{host}.example.com") } else { format!("h{host}.example.com") };
    let set = json!([{"name": "x-generation", "value": generation.to_string()}]);
    let spec = json!({
        "parentRefs": [{"name": "gw"}],
        "hostnames": [hostname],
        "rules": [{
            "matches": [matches],
            "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": set}}],
            "backendRefs": [{"name": format!("s{at}"), "port": 80}],
        }],
    });
    put(&mut objects.http_routes, &format!("r{at}"), json!({"spec": spec}));
}

fn slice(objects: &mut Objects, at: usize, generation: usize) {
    let endpoint = |n: usize| json!({"addresses": [format!("10.{}.{}.{}", at / 250, at % 250, n + generation)]});
    let endpoints: Vec<_> = (1..=ENDPOINTS_PER_SERVICE).map(endpoint).collect();
    let slice = json!({
        "metadata": {"labels": {"kubernetes.io/service-name": format!("s{at}")}},
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": endpoints,
    });
    put(&mut objects.endpoint_slices, &format!("s{at}"), slice);
}

fn world() -> (Objects, Edges) {
    let mut objects = Objects::default();
    let listeners = json!([{"name": "http", "port": 80, "protocol": "HTTP"}]);
    put(&mut objects.gateways, "gw", json!({"spec": {"gatewayClassName": "portolan", "listeners": listeners}}));
    for at in 0..ROUTES {
        route(&mut objects, at, 0);
        slice(&mut objects, at, 0);
        put(&mut objects.services, &format!("s{at}"), json!({"spec": {"ports": [{"port": 80}]}}));
    }
    let mut edges = Edges { implicit_class: Some("portolan".into()), ..Edges::default() };
    let assigned = vec!["127.0.0.1".parse().expect("an address")];
    edges.gateways.insert(ObjectName::new("default", "gw"), GatewayAddresses { assigned, ..Default::default() });
    (objects, edges)
}

fn bench(criterion: &mut Criterion) {
    let (objects, edges) = world();
    let before = translate(&objects, &edges, None);
    let mut other_route = objects.clone();
    route(&mut other_route, 7, 1);
    let mut other_slice = objects.clone();
    slice(&mut other_slice, 7, 1);
    let mut group = criterion.benchmark_group("5000 routes, 10000 endpoints");
    group.sample_size(10);
    group.bench_function("from nothing", |b| b.iter(|| translate(black_box(&objects), &edges, None)));
    group.bench_function("one route", |b| b.iter(|| translate(black_box(&other_route), &edges, Some(&before))));
    group.bench_function("one endpoint", |b| b.iter(|| translate(black_box(&other_slice), &edges, Some(&before))));
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
