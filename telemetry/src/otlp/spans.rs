//! Spans as an OTLP request.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind as Kind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, SpanFlags, Status};

use super::encode;
use crate::attributes::Key;
use crate::trace::{Span, SpanEvent, SpanKind, SpanValue};

const SAMPLED: u32 = 1;

/// The request that carries spans.
pub(super) fn request(spans: Vec<Span>, resource: &Resource) -> ExportTraceServiceRequest {
    let spans = spans.into_iter().map(span).collect();
    let scope = ScopeSpans { scope: Some(encode::scope()), spans, ..ScopeSpans::default() };
    let resource =
        ResourceSpans { resource: Some(resource.clone()), scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource] }
}

fn span(span: Span) -> ProtoSpan {
    let remote = if span.parent_is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    let kind = match span.kind {
        SpanKind::Server => Kind::Server,
        SpanKind::Client => Kind::Client,
    };
    // A span that did not fail is left unset: only the application may call it good.
    let status = span.error.map(|message| Status { message, code: StatusCode::Error as i32 });
    ProtoSpan {
        trace_id: span.context.trace_id.bytes().to_vec(),
        span_id: span.context.span_id.bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.bytes().to_vec()).unwrap_or_default(),
        trace_state: span.trace_state,
        flags: SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32 | remote,
        name: span.name,
        kind: kind as i32,
        start_time_unix_nano: span.times.start.0,
        end_time_unix_nano: span.times.end.0,
        attributes: attributes(span.attributes),
        events: span.events.into_iter().map(event).collect(),
        dropped_events_count: span.events_dropped,
        status,
        ..ProtoSpan::default()
    }
}

fn event(event: SpanEvent) -> Event {
    Event {
        time_unix_nano: event.at.0,
        name: event.name.to_owned(),
        attributes: attributes(event.attributes),
        ..Event::default()
    }
}

fn attributes(attributes: Vec<(Key, SpanValue)>) -> Vec<KeyValue> {
    let any = |value| match value {
        SpanValue::Text(text) => Any::StringValue(text.into_owned()),
        SpanValue::Name(name) => Any::StringValue(name.as_ref().to_owned()),
        SpanValue::Int(number) => Any::IntValue(number),
    };
    attributes.into_iter().map(|(key, value)| encode::pair(key, any(value))).collect()
}
