//! W3C trace context, level 1 (<https://www.w3.org/TR/trace-context/>): what came in, what goes out.
//! A header that is not exactly as the recommendation says begins a new trace; it never fails a request.

use std::num::{NonZeroU64, NonZeroU128};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};

use super::id::{IdRng, SpanId, TraceId, write_hex};
use super::sampler::Sampler;
use super::state;

/// `traceparent`.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `traceparent` of version 00: version, trace id, parent id, flags.
const TRACEPARENT_LEN: usize = 55;
const SAMPLED: u8 = 0x01;
/// The version that must never be sent.
const VERSION_INVALID: u8 = 0xff;

/// A span's place in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    sampled: bool,
}

/// A request's place in its trace: the server span, and the span that it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestTrace {
    /// The server span.
    pub context: TraceContext,
    /// The client's span; none when the trace begins here.
    pub parent: Option<SpanId>,
}

// === impl TraceContext ===

impl TraceContext {
    /// The context that a request carries; none if it carries none, an invalid one, or more than one.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let first = lines.next()?;
        if lines.next().is_some() {
            return None;
        }
        Self::parse(first.as_bytes())
    }

    /// The context of a `traceparent`'s bytes.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let fixed: &[u8; TRACEPARENT_LEN] = text.first_chunk()?;
        let version = hex(&fixed[0..2])? as u8;
        // Of a version to come only the first four fields are read; version 00 has no more than them.
        let rest = &text[TRACEPARENT_LEN..];
        let ends_well = rest.is_empty() || (version > 0 && rest[0] == b'-');
        let dashes = fixed[2] == b'-' && fixed[35] == b'-' && fixed[52] == b'-';
        if version == VERSION_INVALID || !ends_well || !dashes {
            return None;
        }
        let trace_id = u128::from(hex(&fixed[3..19])?) << 64 | u128::from(hex(&fixed[19..35])?);
        let span_id = hex(&fixed[36..52])?;
        let flags = hex(&fixed[53..55])? as u8;
        Some(TraceContext {
            trace_id: TraceId(NonZeroU128::new(trace_id)?),
            span_id: SpanId(NonZeroU64::new(span_id)?),
            sampled: flags & SAMPLED != 0,
        })
    }

    /// The root of a new trace.
    #[inline]
    pub fn root(sampler: Sampler, rng: &mut IdRng) -> Self {
        let trace_id = rng.trace_id();
        TraceContext { trace_id, span_id: rng.span_id(), sampled: sampler.root(trace_id) }
    }

    /// A span below this one.
    #[inline]
    #[must_use]
    pub fn child(&self, rng: &mut IdRng) -> Self {
        TraceContext { span_id: rng.span_id(), ..*self }
    }

    /// Whether spans of this trace are kept.
    #[inline]
    #[must_use]
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The `traceparent` that says so.
    #[must_use]
    pub fn traceparent(&self) -> [u8; TRACEPARENT_LEN] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_hex(&self.trace_id.bytes(), &mut text[3..35]);
        write_hex(&self.span_id.bytes(), &mut text[36..52]);
        text[54] = b'0' + u8::from(self.sampled);
        text
    }

    /// Writes the context into the headers of a request to an upstream.
    pub fn write(&self, headers: &mut HeaderMap) {
        let value = HeaderValue::from_bytes(&self.traceparent()).expect("hexadecimal digits and dashes");
        headers.insert(TRACEPARENT, value);
    }
}

// === impl RequestTrace ===

impl RequestTrace {
    /// The place of a request that came in: continues the client's trace, or begins one. Takes away a `tracestate`
    /// that must not be passed on.
    pub fn begin(headers: &mut HeaderMap, sampler: Sampler, rng: &mut IdRng) -> Self {
        let remote = TraceContext::from_headers(headers);
        if headers.contains_key(TRACESTATE) && (remote.is_none() || !state::is_valid(headers)) {
            headers.remove(TRACESTATE);
        }
        match remote {
            Some(parent) => RequestTrace { context: parent.child(rng), parent: Some(parent.span_id) },
            None => RequestTrace { context: TraceContext::root(sampler, rng), parent: None },
        }
    }

    /// The `tracestate` of a request, for its spans; empty if it has none.
    #[must_use]
    pub fn trace_state(headers: &HeaderMap) -> String {
        state::joined(headers)
    }
}

/// The value of at most 16 lower-case hexadecimal digits; upper case is invalid here.
#[inline]
fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(&HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, line) in lines {
            headers.append(*name, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    #[test]
    fn the_recommendations_example_is_read_and_written_alike() {
        let context = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert!(context.is_sampled());
        assert_eq!(&context.traceparent(), GOOD.as_bytes());
        assert_eq!(&context.trace_id.hex(), b"0af7651916cd43dd8448eb211c80319c");
        assert_eq!(&context.span_id.hex(), b"b7ad6b7169203331");
    }

    #[test]
    fn what_is_not_exactly_right_is_no_context() {
        let bad = [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ];
        for text in bad {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_version_to_come_is_read_as_far_as_known_and_answered_in_ours() {
        for text in [
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what-the-future-brings",
        ] {
            let context = TraceContext::parse(text.as_bytes()).unwrap();
            assert_eq!(&context.traceparent(), GOOD.as_bytes());
        }
    }

    #[test]
    fn a_request_continues_the_clients_trace_under_a_new_span() {
        let mut headers = headers(&[(&TRACEPARENT, GOOD), (&TRACESTATE, "a=1")]);
        let trace = RequestTrace::begin(&mut headers, Sampler::NEVER, &mut IdRng::from_seed(1));
        let parent = TraceContext::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(trace.parent, Some(parent.span_id));
        assert_eq!(trace.context.trace_id, parent.trace_id);
        assert_ne!(trace.context.span_id, parent.span_id);
        assert!(trace.context.is_sampled(), "the parent decides");
        assert_eq!(RequestTrace::trace_state(&headers), "a=1");
    }

    #[test]
    fn two_parents_or_a_broken_one_begin_a_new_trace_without_the_old_state() {
        for lines in [
            &[(&TRACEPARENT, GOOD), (&TRACEPARENT, GOOD), (&TRACESTATE, "a=1")][..],
            &[(&TRACEPARENT, "nonsense"), (&TRACESTATE, "a=1")],
            &[(&TRACESTATE, "a=1")],
        ] {
            let mut headers = headers(lines);
            let trace = RequestTrace::begin(&mut headers, Sampler::ratio(1.0), &mut IdRng::from_seed(1));
            assert_eq!(trace.parent, None);
            assert!(trace.context.is_sampled());
            assert!(!headers.contains_key(TRACESTATE));
        }
    }

    #[test]
    fn a_broken_state_is_dropped_and_the_trace_goes_on() {
        let mut headers = headers(&[(&TRACEPARENT, GOOD), (&TRACESTATE, "a=1,a=2")]);
        let trace = RequestTrace::begin(&mut headers, Sampler::NEVER, &mut IdRng::from_seed(1));
        assert!(trace.parent.is_some());
        assert!(!headers.contains_key(TRACESTATE));
    }

    #[test]
    fn writing_replaces_every_line_that_was_there() {
        let mut headers = headers(&[(&TRACEPARENT, GOOD), (&TRACEPARENT, GOOD)]);
        let context = TraceContext::root(Sampler::NEVER, &mut IdRng::from_seed(3));
        context.write(&mut headers);
        assert_eq!(headers.get_all(TRACEPARENT).iter().count(), 1);
        assert_eq!(TraceContext::from_headers(&headers), Some(context));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceContext::parse(&bytes);
        }

        #[test]
        fn one_byte_changed_is_read_as_what_it_now_says_or_not_at_all(at in 0_usize..55, byte: u8) {
            let mut text = GOOD.as_bytes().to_vec();
            text[at] = byte;
            if let Some(context) = TraceContext::parse(&text) {
                // The version and the flags beyond `sampled` are ours to write.
                prop_assert_eq!(&context.traceparent()[2..53], &text[2..53]);
            }
        }
    }
}
