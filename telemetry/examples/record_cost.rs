//! Prints what recording costs a worker, in nanoseconds a call. A measurement, never a test.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, StatusCode};
use portolan_telemetry::access_log::{AccessLog, Destination, Entry, Query};
use portolan_telemetry::clock::{UnixNanos, WallClock};
use portolan_telemetry::metrics::{Exchange, ListenerLabels, Registry, RouteLabels, WorkerId, names};
use portolan_telemetry::trace::{IdRng, RequestTrace, Sampler, TRACEPARENT};
use portolan_telemetry::{FlagKind, HttpMethod, HttpVersion, Labels, ResponseFlag, Scheme};

const CALLS: u32 = 2_000_000;

fn time(what: &str, mut call: impl FnMut(u32)) {
    (0..CALLS / 10).for_each(&mut call);
    let start = Instant::now();
    (0..CALLS).for_each(&mut call);
    println!("{what:<58} {:>8.1} ns", start.elapsed().as_nanos() as f64 / f64::from(CALLS));
}

fn main() {
    metrics();
    traces();
    access_log();
}

fn metrics() {
    let registry = Registry::default();
    let worker = registry.worker(WorkerId(0));
    let listener =
        ListenerLabels { gateway: "default/edge".into(), listener: "web".into(), scheme: Some(Scheme::Http), port: 80 };
    let route = RouteLabels {
        listener: listener.clone(),
        route: Some("HTTPRoute/default/shop".into()),
        rule: Some("0".into()),
        backend: Some("default/shop:80".into()),
    };
    let (server, client) = (worker.http_server(&route), worker.http_client(&route));
    let active = worker.active_requests(&listener);
    let limit = worker.limit("header_bytes");
    let exchange = |i: u32| Exchange {
        method: HttpMethod::Get,
        version: HttpVersion::Http11,
        status: Some(if i.is_multiple_of(10) { StatusCode::NOT_FOUND } else { StatusCode::OK }),
        flag: FlagKind::Ok,
        duration: Duration::from_micros(u64::from(i % 5_000)),
        request_bytes: 0,
        response_bytes: 13,
    };
    time("counter", |_| limit.add(1));
    time("request: duration and two sizes, by method and status", |i| server.record(black_box(&exchange(i))));
    time("upstream try: duration", |i| client.record(black_box(&exchange(i))));
    time("request in progress, begin and end", |_| drop(black_box(active.enter(HttpMethod::Get))));
    time("making a handle (not for the hot path)", |_| {
        black_box(worker.handle(&names::CONFIG_RELOADS, &Labels::none()));
    });
    let start = Instant::now();
    let text = registry.prometheus();
    println!("scrape of {} series, {} bytes: {:?}", registry.series(), text.len(), start.elapsed());
}

fn traces() {
    let mut rng = IdRng::from_system();
    let mut clock = WallClock::new();
    let mut empty = HeaderMap::new();
    let mut carried = HeaderMap::new();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    carried.insert(TRACEPARENT, HeaderValue::from_static(parent));
    time("trace: begin, none came in", |_| {
        black_box(RequestTrace::begin(&mut empty, Sampler::ratio(0.01), &mut rng));
    });
    time("trace: begin, one came in", |_| {
        black_box(RequestTrace::begin(&mut carried, Sampler::ratio(0.01), &mut rng));
    });
    let trace = RequestTrace::begin(&mut HeaderMap::new(), Sampler::NEVER, &mut rng);
    time("trace: child and traceparent into the headers", |_| trace.context.child(&mut rng).write(&mut carried));
    time("clock: Instant::now", |_| {
        black_box(Instant::now());
    });
    let now = Instant::now();
    time("clock: wall time of an instant", |_| {
        black_box(clock.at(black_box(now)));
    });
}

fn access_log() {
    let registry = Registry::default();
    let dropped = registry.worker(WorkerId(0)).handle(&names::ACCESS_LOG_DROPPED, &Labels::none());
    let log = AccessLog::start(Destination::Writer(Box::new(std::io::sink())), Query::Keep, dropped)
        .expect("a thread can be started");
    let writer = log.writer();
    let trace = RequestTrace::begin(&mut HeaderMap::new(), Sampler::NEVER, &mut IdRng::from_seed(1));
    let entry = Entry {
        time: UnixNanos::now(),
        trace: Some(&trace.context),
        method: b"GET",
        host: Some(b"shop.example"),
        path: b"/cart?item=1",
        protocol: HttpVersion::Http11,
        status: Some(StatusCode::OK),
        route: Some("HTTPRoute/default/shop"),
        rule: Some("0"),
        backend: Some("default/shop:80"),
        endpoint: Some(SocketAddr::from(([127, 0, 0, 9], 8080))),
        duration: Duration::from_micros(321),
        request_bytes: 0,
        response_bytes: 13,
        client: Some(SocketAddr::from(([127, 0, 0, 1], 50_000))),
        user_agent: Some(b"curl/8.5.0"),
        flag: &ResponseFlag::OK,
        retries: 0,
        filter_failure: None,
    };
    time("access log: format a line", |_| {
        black_box(entry.line(Query::Keep));
    });
    time("access log: format and queue, or drop, a line", |_| writer.log(&entry));
    log.finish();
}
