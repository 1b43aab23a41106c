//! What metrics and spans share in OTLP: attributes, the resource and the scope.

use std::time::SystemTime;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::attributes::{Key, Labels, Value};
use crate::clock::UnixNanos;
use crate::metrics::OVERFLOW_KEY;

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    }
}

pub(super) fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes.iter().map(|(key, value)| pair(key, Any::StringValue(value.clone()))).collect();
    Resource { attributes, ..Resource::default() }
}

pub(super) fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(super) fn labels(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(key, label)| pair(key, value(key, label))).collect()
}

pub(super) fn unix_nanos(time: SystemTime) -> u64 {
    UnixNanos::from(time).0
}

fn value(key: Key, label: &Value) -> Any {
    match label {
        // The specification makes this one a boolean.
        _ if key == OVERFLOW_KEY => Any::BoolValue(true),
        Value::Static(text) => Any::StringValue((*text).to_owned()),
        Value::Str(text) => Any::StringValue(text.as_ref().to_owned()),
        Value::Int(number) => Any::IntValue(*number),
    }
}
