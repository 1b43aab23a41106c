//! Where finished spans go: a bounded queue to the exporter. A full queue drops and counts, it never makes a worker
//! wait.

use std::fmt;

use tokio::sync::mpsc;

use super::span::Span;
use crate::metrics::Counter;

/// Spans that wait for the exporter, at most.
pub const SPAN_QUEUE_MAX: usize = 4096;

/// A worker's end of the queue; without an exporter, nothing is kept.
#[derive(Clone, Default)]
pub struct SpanSink(Option<Open>);

#[derive(Clone)]
struct Open {
    queue: mpsc::Sender<Span>,
    dropped: Counter,
}

/// The exporter's end of the queue.
pub(crate) type SpanReceiver = mpsc::Receiver<Span>;

impl SpanSink {
    /// A sink that keeps nothing.
    #[must_use]
    pub fn disabled() -> Self {
        SpanSink(None)
    }

    /// A sink and the exporter's end of it. `dropped` counts what a full queue does not take.
    pub(crate) fn open(queue_max: usize, dropped: Counter) -> (Self, SpanReceiver) {
        let (queue, receiver) = mpsc::channel(queue_max);
        (SpanSink(Some(Open { queue, dropped })), receiver)
    }

    /// Whether making a span for this trace is worth while.
    #[inline]
    #[must_use]
    pub fn wants(&self, context: &super::TraceContext) -> bool {
        context.is_sampled() && self.0.is_some()
    }

    /// Hands a finished span over, or drops and counts it.
    pub fn submit(&self, span: Span) {
        if let Some(open) = &self.0
            && open.queue.try_send(span).is_err()
        {
            open.dropped.add(1);
        }
    }
}

impl fmt::Debug for SpanSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "SpanSink(open)" } else { "SpanSink(disabled)" })
    }
}
