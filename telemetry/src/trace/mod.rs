//! Traces: W3C trace context in and out, sampling, and spans for what is sampled.
//! A request that is not sampled costs its ids and one header; it never makes a span.

mod context;
mod id;
mod sampler;
mod sink;
mod span;
mod state;

pub use context::{RequestTrace, TRACEPARENT, TRACESTATE, TraceContext};
pub use id::{IdRng, SpanId, TraceId};
pub use sampler::Sampler;
pub(crate) use sink::SpanReceiver;
pub use sink::{SPAN_QUEUE_MAX, SpanSink};
pub use span::{
    ATTRIBUTE_BYTES_MAX, ClientSpan, EVENTS_MAX, ServerSpan, Span, SpanEvent, SpanKind, SpanTimes, SpanValue,
};
