//! Prints what a first look at each schema costs, and what it costs to admit a small HTTPRoute and to type it:
//! `cargo run [--release] -p portolan-crds --example admission_speed`.

use portolan_crds::{HTTPRoute, schema};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ROUTES: usize = 5000;

fn route(index: usize) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": format!("route-{index}"), "namespace": "default"},
        "spec": {
            "parentRefs": [{"name": "gateway", "sectionName": "http"}],
            "hostnames": [format!("host-{index}.example.com")],
            "rules": [{
                "matches": [{"path": {"type": "PathPrefix", "value": "/shop"}, "headers": [{"name": "x-version", "value": "2"}]}],
                "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-a", "value": "b"}]}}],
                "backendRefs": [{"name": "shop", "port": 8080, "weight": 9}, {"name": "shop-canary", "port": 8080}],
            }],
        },
    })
}

/// As large as the schema's bounds allow in rules and matches.
fn largest() -> Value {
    let mut route = route(0);
    let headers: Vec<Value> = (0..16).map(|n| json!({"name": format!("x-{n}"), "value": "v"})).collect();
    let a_match = |n: usize| json!({"path": {"type": "PathPrefix", "value": format!("/a/{n}")}, "headers": headers});
    let backends: Vec<Value> = (0..16).map(|n| json!({"name": format!("backend-{n}"), "port": 80})).collect();
    let matches: Vec<Value> = (0..8).map(a_match).collect();
    let rule = json!({"matches": matches, "filters": route["spec"]["rules"][0]["filters"], "backendRefs": backends});
    route["spec"]["rules"] = vec![rule; 16].into();
    route
}

fn main() {
    let mut total = Duration::ZERO;
    for schema in schema::all() {
        let start = Instant::now();
        let mut empty = json!({"apiVersion": schema.api_version(), "kind": schema.kind(), "metadata": {"name": "a"}});
        let errors = schema.admit(&mut empty).len();
        total += start.elapsed();
        println!(
            "{:>9.3?} first look at {} {} ({errors} errors)",
            start.elapsed(),
            schema.api_version(),
            schema.kind()
        );
    }
    println!("{total:>9.3?} in all");

    let schema = schema::lookup("gateway.networking.k8s.io/v1", "HTTPRoute").expect("served");
    let start = Instant::now();
    println!(
        "first route: {} errors, {:.3?} with its rules compiled",
        schema.admit(&mut route(0)).len(),
        start.elapsed()
    );
    let mut routes: Vec<Value> = (0..ROUTES).map(route).collect();
    let start = Instant::now();
    let errors: usize = routes.iter_mut().map(|route| schema.admit(route).len()).sum();
    println!("{ROUTES} routes: {errors} errors, {:.1?} each", start.elapsed() / ROUTES as u32);
    let start = Instant::now();
    let typed = routes.into_iter().filter_map(|route| serde_json::from_value::<HTTPRoute>(route).ok()).count();
    println!("{typed} typed, {:.1?} each", start.elapsed() / ROUTES as u32);
    let (mut large, start) = (largest(), Instant::now());
    println!(
        "a route with 128 matches and 256 backends: {} errors, {:.1?}",
        schema.admit(&mut large).len(),
        start.elapsed()
    );
    let start = Instant::now();
    let unsupported: usize = schema::all().iter().map(|schema| schema.unsupported_rules().len()).sum();
    println!("all rules compiled: {:.1?}, {unsupported} unsupported", start.elapsed());
}
