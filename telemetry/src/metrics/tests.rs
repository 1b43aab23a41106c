//! The registry as its callers see it: handles, sums over workers, the cap, removal.

use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;

use super::*;
use crate::attributes::{Labels, Value};
use crate::exchange::{HttpMethod, HttpVersion, Scheme};
use crate::flag::FlagKind;

fn route(route: &str) -> RouteLabels {
    let listener =
        ListenerLabels { gateway: "default/edge".into(), listener: "web".into(), scheme: Some(Scheme::Http), port: 80 };
    let backend: Arc<str> = "default/app:80".into();
    RouteLabels { listener, route: Some(route.into()), rule: Some("0".into()), backend: Some(backend) }
}

fn exchange(status: u16, millis: u64) -> Exchange {
    Exchange {
        method: HttpMethod::Get,
        version: HttpVersion::Http11,
        status: Some(StatusCode::from_u16(status).unwrap()),
        flag: FlagKind::Ok,
        duration: Duration::from_millis(millis),
        request_bytes: 0,
        response_bytes: 13,
    }
}

fn all(registry: &Registry, name: &str, keys: &[&str]) -> Vec<Summary> {
    registry.snapshot().group_by(name, keys, |_| true)
}

const DURATION: &str = "http.server.request.duration";

#[test]
fn requests_of_all_workers_are_added_up() {
    let registry = Registry::default();
    for worker in 0..4 {
        let handle = registry.worker(WorkerId(worker)).http_server(&route("HTTPRoute/default/a"));
        for millis in 1..=100 {
            handle.record(&exchange(200, millis));
        }
        handle.record(&exchange(503, 1));
    }
    let by_status = all(&registry, DURATION, &["http.response.status_code"]);
    let counts: Vec<(&str, i64)> =
        by_status.iter().map(|one| (one.labels["http.response.status_code"].as_str(), one.value)).collect();
    assert_eq!(counts, [("200", 400), ("503", 4)]);
    let (p50, p99) = (by_status[0].p50.unwrap(), by_status[0].p99.unwrap());
    assert!((p50 - 0.050).abs() <= 0.06 * 0.050, "{p50}");
    assert!((p99 - 0.099).abs() <= 0.06 * 0.099, "{p99}");
    assert!((by_status[0].sum.unwrap() - 4.0 * 5.050).abs() < 1e-9);
    assert_eq!(all(&registry, "http.server.response.body.size", &[])[0].sum, Some(404.0 * 13.0));
}

#[test]
fn a_failed_request_says_its_error_type() {
    let registry = Registry::default();
    let worker = registry.worker(WorkerId(0));
    let (server, client) = (worker.http_server(&route("r")), worker.http_client(&route("r")));
    server.record(&exchange(200, 1));
    server.record(&exchange(404, 1));
    server.record(&exchange(502, 1));
    server.record(&Exchange { status: None, flag: FlagKind::ClientClosed, ..exchange(200, 1) });
    server.record(&Exchange { flag: FlagKind::UpstreamTimeout, ..exchange(504, 1) });
    client.record(&exchange(404, 1));
    let errors = |name: &str| -> Vec<(Option<String>, i64)> {
        all(&registry, name, &["error.type"])
            .into_iter()
            .map(|mut one| (one.labels.remove("error.type"), one.value))
            .collect()
    };
    let some = |error: &str| Some(error.to_owned());
    let expected = [(None, 2), (some("client_closed"), 1), (some("upstream_timeout"), 1), (some("502"), 1)];
    let mut found = errors(DURATION);
    found.sort();
    let mut sorted = expected.to_vec();
    sorted.sort();
    assert_eq!(found, sorted);
    assert_eq!(errors("http.client.request.duration"), [(some("404"), 1)]);
}

#[test]
fn methods_and_statuses_of_hostile_peers_stay_bounded() {
    let registry = Registry::default();
    let handle = registry.worker(WorkerId(0)).http_server(&route("r"));
    for status in 600..=999 {
        let method = ::http::Method::from_bytes(format!("X{status}").as_bytes()).unwrap();
        handle.record(&Exchange { method: (&method).into(), ..exchange(status, 1) });
    }
    let series = all(&registry, DURATION, &["http.request.method", "http.response.status_code"]);
    assert_eq!(series.len(), 1, "{series:?}");
    assert_eq!(series[0].labels["http.request.method"], "_OTHER");
    assert_eq!(series[0].labels["http.response.status_code"], "_OTHER");
    assert_eq!(series[0].value, 400);
}

#[test]
fn above_the_cap_values_go_to_one_overflow_series_and_none_is_lost() {
    let registry = Registry::new(10);
    let worker = registry.worker(WorkerId(0));
    for i in 0..100 {
        let labels = Labels::new([("portolan.limit", Value::from(format!("l{i}")))]);
        worker.handle(&names::LIMIT_REACHED, &labels).add(1);
    }
    let snapshot = registry.snapshot();
    let family = snapshot.family("portolan.limit.reached").unwrap();
    assert_eq!((registry.series(), family.series.len()), (10, 11));
    let overflow = snapshot.group_by("portolan.limit.reached", &[], |labels| labels.get(OVERFLOW_KEY).is_some());
    assert_eq!(overflow[0].value, 90);
    assert_eq!(all(&registry, "portolan.limit.reached", &[])[0].value, 100);
    assert_eq!(all(&registry, "portolan.metrics.series.dropped", &[])[0].value, 90);
    assert_eq!(all(&registry, "portolan.metrics.series", &[])[0].value, 10);
}

#[test]
fn series_of_removed_routes_go_and_make_room() {
    let registry = Registry::new(6);
    let worker = registry.worker(WorkerId(0));
    let (kept, gone) = (worker.http_server(&route("kept")), worker.http_server(&route("gone")));
    kept.record(&exchange(200, 1));
    gone.record(&exchange(200, 1));
    assert_eq!(registry.series(), 6);
    let is_gone = |labels: &Labels| labels.get("portolan.route").and_then(Value::as_str) == Some("gone");
    assert_eq!(registry.retain(|_, labels| !is_gone(labels)), 3);
    // A request that was still under way records into the void.
    gone.record(&exchange(200, 1));
    let routes = all(&registry, DURATION, &["portolan.route"]);
    assert_eq!(routes.len(), 1);
    assert_eq!(routes[0].labels["portolan.route"], "kept");
    worker.http_server(&route("new")).record(&exchange(200, 1));
    assert_eq!(all(&registry, DURATION, &["portolan.route"]).len(), 2, "there is room again");
    assert_eq!(registry.retain(|_, _| false), 6);
    assert!(registry.snapshot().family("portolan.metrics.series").is_some(), "the registry's own stay");
}

#[test]
fn what_is_in_progress_goes_up_and_down() {
    let registry = Registry::default();
    let labels = route("r").listener;
    let workers = [registry.worker(WorkerId(0)), registry.worker(WorkerId(1))];
    let active: Vec<ActiveRequests> = workers.iter().map(|worker| worker.active_requests(&labels)).collect();
    let first = active[0].enter(HttpMethod::Get);
    let second = active[1].enter(HttpMethod::Get);
    let count = || all(&registry, "http.server.active_requests", &["http.request.method"])[0].value;
    assert_eq!(count(), 2);
    // The end may be noted by another worker's thread.
    std::thread::spawn(move || drop(first)).join().unwrap();
    assert_eq!(count(), 1);
    drop(second);
    assert_eq!(count(), 0);
}

#[test]
fn threads_that_record_at_once_lose_nothing() {
    let registry = Registry::default();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let worker = registry.worker(WorkerId(worker % 2));
            scope.spawn(move || {
                let handle = worker.http_server(&route("r"));
                (0..5_000).for_each(|i| handle.record(&exchange(200 + (i % 20) as u16, i % 7)));
            });
        }
    });
    let series = all(&registry, DURATION, &["http.response.status_code"]);
    assert_eq!(series.len(), 20);
    assert!(series.iter().all(|one| one.value == 1_000));
}

#[test]
fn engine_metrics_carry_their_labels() {
    let registry = Registry::default();
    let worker = registry.worker(WorkerId(0));
    let listener = route("r").listener;
    let backend: Arc<str> = "default/app:80".into();
    let open = worker.connections(&listener).open();
    let l4 = worker.l4_bytes(&listener, &backend);
    l4.received(3);
    l4.sent(5);
    let upstream = worker.upstream(&backend);
    upstream.connect_failed(FlagKind::UpstreamConnect);
    upstream.retried();
    let filter = worker.filter(&"default/auth".into());
    filter.called(Duration::from_micros(2));
    filter.failed(FilterFailure::Trap);
    let config = worker.config_loads();
    config.loaded(7);
    config.failed();
    let value = |name: &str, keys: &[&str]| -> Vec<(Vec<String>, i64)> {
        all(&registry, name, keys).into_iter().map(|one| (one.labels.into_values().collect(), one.value)).collect()
    };
    assert_eq!(value("portolan.connections.active", &["portolan.listener"]), [(vec!["web".into()], 1)]);
    let directions = [(vec!["receive".into()], 3), (vec!["transmit".into()], 5)];
    assert_eq!(value("portolan.l4.io", &["network.io.direction"]), directions);
    assert_eq!(value("portolan.upstream.connect.failures", &["error.type"]), [(vec!["upstream_connect".into()], 1)]);
    assert_eq!(value("portolan.upstream.retries", &["portolan.backend"]), [(vec![backend.to_string()], 1)]);
    assert_eq!(value("portolan.filter.failures", &["reason"]), [(vec!["trap".into()], 1)]);
    assert_eq!(value("portolan.filter.duration", &["portolan.filter"]), [(vec!["default/auth".into()], 1)]);
    assert_eq!(value("portolan.config.generation", &[]), [(vec![], 7)]);
    assert_eq!(value("portolan.config.reload.failures", &[]), [(vec![], 1)]);
    drop(open);
    assert_eq!(value("portolan.connections.active", &[]), [(vec![], 0)]);
}
