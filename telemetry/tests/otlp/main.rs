//! The exporter against a collector in this process: what arrives, and what happens when none is there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod collector;
mod tls;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use portolan_telemetry::clock::UnixNanos;
use portolan_telemetry::metrics::{Registry, WorkerId, names};
use portolan_telemetry::otlp::{Otlp, OtlpConfig};
use portolan_telemetry::trace::{
    ClientSpan, IdRng, RequestTrace, Sampler, ServerSpan, Span, SpanEvent, SpanTimes, SpanValue,
};
use portolan_telemetry::{FlagKind, HttpMethod, HttpVersion, Labels, ResponseFlag, Scheme, Value};

use collector::Collector;

/// Longer than any of this takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(address: SocketAddr) -> OtlpConfig {
    let endpoint = format!("http://{address}");
    let variables = |name| match name {
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("tenant=harbour".to_owned()),
        "OTEL_SERVICE_NAME" => Some("edge".to_owned()),
        _ => None,
    };
    let mut config = OtlpConfig::from_env(Some(&endpoint), variables).unwrap().unwrap();
    config.span_delay = Duration::from_millis(1);
    config.backoff = Duration::from_millis(1);
    // The final export is the only one, unless a test waits for more.
    config.metric_interval = PATIENCE;
    config
}

fn server_span(trace: RequestTrace, flag: &ResponseFlag, status: StatusCode) -> Span {
    let start = UnixNanos(1_700_000_000_000_000_000);
    ServerSpan {
        trace,
        trace_state: "a=1".into(),
        times: SpanTimes { start, end: start.after(Duration::from_millis(5)) },
        method: HttpMethod::Get,
        version: HttpVersion::Http11,
        scheme: Scheme::Http,
        path: "/cart",
        host: "shop.example",
        port: 80,
        client: "127.0.0.1",
        status: Some(status),
        flag,
        route: Some("HTTPRoute/default/shop".into()),
        rule: Some("0".into()),
        backend: Some("default/shop:80".into()),
    }
    .into_span()
}

fn new_trace(seed: u64) -> RequestTrace {
    RequestTrace::begin(&mut HeaderMap::new(), Sampler::ratio(1.0), &mut IdRng::from_seed(seed))
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> &'a Any {
    let pair = attributes.iter().find(|pair| pair.key == key).unwrap_or_else(|| panic!("no {key}"));
    pair.value.as_ref().unwrap().value.as_ref().unwrap()
}

fn text(text: &str) -> Any {
    Any::StringValue(text.into())
}

fn counted(registry: &Registry, name: &str) -> i64 {
    registry.snapshot().group_by(name, &[], |_| true).first().map_or(0, |one| one.value)
}

#[test]
fn a_request_and_its_tries_arrive_as_one_trace() {
    let (collector, address) = Collector::start();
    let otlp = Otlp::start(config(address), Registry::default()).unwrap();
    let trace = new_trace(1);
    let sink = otlp.spans();
    assert!(sink.wants(&trace.context));
    let mut server = server_span(trace, &ResponseFlag::OK, StatusCode::OK);
    let attributes = vec![("portolan.filter", SpanValue::text("default/auth"))];
    server.event(SpanEvent { at: UnixNanos(1), name: "filter_failed", attributes });
    let failed = ResponseFlag::from(FlagKind::UpstreamReset);
    let client = ClientSpan {
        context: trace.context.child(&mut IdRng::from_seed(2)),
        parent: trace.context.span_id,
        times: SpanTimes { start: UnixNanos(1), end: UnixNanos(2) },
        method: HttpMethod::Get,
        version: Some(HttpVersion::Http2),
        address: "127.0.0.9",
        port: 8080,
        backend: None,
        status: None,
        flag: &failed,
        retry: 1,
    };
    sink.submit(server);
    sink.submit(client.into_span());
    otlp.finish(PATIENCE);

    let spans = collector.spans();
    assert_eq!(spans.len(), 2);
    let (server, client) = (&spans[0], &spans[1]);
    assert_eq!(server.name, "GET HTTPRoute/default/shop");
    assert_eq!((server.kind, client.kind), (SpanKind::Server as i32, SpanKind::Client as i32));
    assert_eq!(server.trace_id, trace.context.trace_id.bytes());
    assert_eq!(client.trace_id, server.trace_id);
    assert_eq!(client.parent_span_id, server.span_id);
    assert!(server.parent_span_id.is_empty() && server.status.is_none());
    assert_eq!(server.trace_state, "a=1");
    assert_eq!(attribute(&server.attributes, "url.path"), &text("/cart"));
    assert_eq!(attribute(&server.attributes, "http.response.status_code"), &Any::IntValue(200));
    assert_eq!(attribute(&server.attributes, "portolan.rule"), &text("0"));
    assert_eq!(attribute(&server.events[0].attributes, "portolan.filter"), &text("default/auth"));
    assert_eq!(attribute(&client.attributes, "http.request.resend_count"), &Any::IntValue(1));
    assert_eq!(attribute(&client.attributes, "error.type"), &text("upstream_reset"));
    assert_eq!(client.status.as_ref().unwrap().message, "upstream_reset");

    let received = collector.0.lock().unwrap();
    assert_eq!(received.tenants, ["harbour"]);
    let resource = received.spans[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(attribute(&resource.attributes, "service.name"), &text("edge"));
}

#[test]
fn metrics_arrive_with_their_types_units_and_boundaries() {
    let (collector, address) = Collector::start();
    let registry = Registry::new(5);
    let worker = registry.worker(WorkerId(0));
    let otlp = Otlp::start(config(address), registry.clone()).unwrap();
    let labels = Labels::new([("http.response.status_code", Value::Int(200))]);
    let duration = worker.handle(&names::HTTP_SERVER_REQUEST_DURATION, &labels);
    for millis in [5, 6, 20_000] {
        duration.record_duration(Duration::from_millis(millis));
    }
    worker.config_loads().loaded(3);
    for i in 0..10 {
        worker.handle(&names::LIMIT_REACHED, &Labels::new([("portolan.limit", Value::Int(i))])).add(1);
    }
    otlp.finish(PATIENCE);

    let duration = collector.metric("http.server.request.duration");
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = duration.data else { panic!("no histogram") };
    let point = &histogram.data_points[0];
    assert_eq!(attribute(&point.attributes, "http.response.status_code"), &Any::IntValue(200));
    assert_eq!((point.count, point.bucket_counts.len(), point.explicit_bounds.len()), (3, 15, 14));
    assert_eq!((point.bucket_counts[0], point.bucket_counts[1], point.bucket_counts[14]), (1, 1, 1));
    assert_eq!((point.explicit_bounds[0], point.explicit_bounds[13]), (0.005, 10.0));
    assert!(point.start_time_unix_nano > 0 && point.time_unix_nano >= point.start_time_unix_nano);
    let Some(Data::Gauge(gauge)) = collector.metric("portolan.config.generation").data else { panic!("no gauge") };
    assert_eq!(gauge.data_points.len(), 1);
    let Some(Data::Sum(sum)) = collector.metric("portolan.limit.reached").data else { panic!("no sum") };
    assert!(sum.is_monotonic);
    let overflow = sum.data_points.iter().find(|point| point.attributes[0].key == "otel_metric_overflow");
    assert_eq!(attribute(&overflow.unwrap().attributes, "otel_metric_overflow"), &Any::BoolValue(true));
}

#[test]
fn many_series_are_sent_in_several_messages_and_none_is_lost() {
    let (collector, address) = Collector::start();
    let registry = Registry::default();
    let worker = registry.worker(WorkerId(0));
    for i in 0..4_500 {
        worker.handle(&names::LIMIT_REACHED, &Labels::new([("portolan.limit", Value::Int(i))])).add(1);
    }
    Otlp::start(config(address), registry).unwrap().finish(PATIENCE);
    let received = collector.0.lock().unwrap();
    let scopes = received.metrics.iter().flat_map(|request| &request.resource_metrics[0].scope_metrics);
    let points: usize = scopes
        .flat_map(|scope| &scope.metrics)
        .map(|metric| match &metric.data {
            Some(Data::Sum(sum)) if metric.name == "portolan.limit.reached" => sum.data_points.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(points, 4_500);
    assert_eq!(received.metrics.len(), 3);
}

#[test]
fn a_collector_that_is_not_ready_gets_the_spans_when_it_is() {
    let (collector, address) = Collector::start();
    collector.0.lock().unwrap().refuse = 2;
    let registry = Registry::default();
    let otlp = Otlp::start(config(address), registry.clone()).unwrap();
    otlp.spans().submit(server_span(new_trace(1), &ResponseFlag::OK, StatusCode::OK));
    let deadline = Instant::now() + PATIENCE;
    while collector.spans().is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    otlp.finish(PATIENCE);
    assert_eq!(collector.spans().len(), 1);
    assert_eq!(counted(&registry, "portolan.otlp.export.failures"), 2);
    assert_eq!(counted(&registry, "portolan.trace.spans.dropped"), 0);
}

#[test]
fn without_a_collector_spans_are_dropped_and_counted_and_nobody_waits() {
    // A port that was free a moment ago and refuses connections.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = Registry::default();
    let otlp = Otlp::start(OtlpConfig { span_queue_max: 8, ..config(address) }, registry.clone()).unwrap();
    let sink = otlp.spans();
    for seed in 0..1_000 {
        sink.submit(server_span(new_trace(seed), &ResponseFlag::OK, StatusCode::OK));
    }
    otlp.finish(PATIENCE);
    assert_eq!(counted(&registry, "portolan.trace.spans.dropped"), 1_000);
    assert!(counted(&registry, "portolan.otlp.export.failures") > 0);
}

#[test]
fn an_exporter_that_is_dropped_ends_by_itself() {
    let (collector, address) = Collector::start();
    let otlp = Otlp::start(config(address), Registry::default()).unwrap();
    let sink = otlp.spans();
    sink.submit(server_span(new_trace(1), &ResponseFlag::OK, StatusCode::OK));
    drop(otlp);
    let deadline = Instant::now() + PATIENCE;
    while collector.0.lock().unwrap().metrics.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!collector.0.lock().unwrap().metrics.is_empty(), "the last metrics are exported");
}
