//! Fields that a request is forwarded with and that nobody on the way reads: they go from here straight to the backend,
//! and never stand among the request's headers.

use super::headers::{Forwarded, X_FORWARDED_HOST};
use crate::h1::write_field;
use http::{HeaderName, header, request};
use portolan_telemetry::trace::{TRACEPARENT, TraceContext};

/// Fields that are added as a request is written to its backend.
#[derive(Clone, Copy, Default)]
pub struct Added<'a> {
    /// What is told of the client, where it is not among the headers yet.
    pub forwarded: Option<&'a Forwarded>,
    /// The request's place in its trace; it replaces the client's.
    pub trace: Option<TraceContext>,
}

impl Added<'_> {
    /// Whether a field of this name among the headers is replaced.
    pub fn replaces(&self, name: &HeaderName) -> bool {
        self.trace.is_some() && *name == TRACEPARENT
    }

    /// Writes the fields of HTTP/1.1.
    pub fn write(&self, head: &request::Parts, out: &mut Vec<u8>) {
        if let Some(forwarded) = self.forwarded {
            out.extend_from_slice(forwarded.lines());
            if let Some(host) = head.headers.get(header::HOST) {
                write_field(out, X_FORWARDED_HOST.as_str(), host.as_bytes());
            }
            write_field(out, header::VIA.as_str(), Forwarded::via(head.version).as_bytes());
        }
        if let Some(trace) = &self.trace {
            write_field(out, TRACEPARENT.as_str(), &trace.traceparent());
        }
    }

    /// Puts the fields among those of another version of HTTP.
    pub fn insert(&self, head: &mut request::Parts) {
        if let Some(forwarded) = self.forwarded {
            forwarded.apply(&mut head.headers, head.version);
        }
        if let Some(trace) = &self.trace {
            trace.write(&mut head.headers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_telemetry::trace::{IdRng, Sampler};

    #[test]
    fn what_is_written_is_what_would_be_among_the_headers() {
        let forwarded = Forwarded::new([192, 0, 2, 7].into(), true, 8443, false);
        let trace = TraceContext::root(Sampler::ratio(1.0), &mut IdRng::from_system());
        let added = Added { forwarded: Some(&forwarded), trace: Some(trace) };
        let request = http::Request::builder().header("host", "a.example").header("traceparent", "old");
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let mut out = b"GET / HTTP/1.1\r\n".to_vec();
        added.write(&head, &mut out);
        out.extend_from_slice(b"\r\n");
        added.insert(&mut head);
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Request::new(&mut fields);
        assert!(parsed.parse(&out).unwrap().is_complete());
        assert_eq!(parsed.headers.len() + 1, head.headers.len(), "all but Host");
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes()).unwrap();
            let values: Vec<_> = head.headers.get_all(&name).iter().collect();
            assert_eq!(values, [field.value], "{name}");
        }
        assert!(added.replaces(&TRACEPARENT) && !added.replaces(&header::HOST));
        assert!(!Added::default().replaces(&TRACEPARENT));
    }
}
