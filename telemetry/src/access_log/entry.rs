//! What one line says. Fields that a request did not get as far as are absent.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use super::json::Object;
use crate::clock::UnixNanos;
use crate::exchange::HttpVersion;
use crate::flag::ResponseFlag;
use crate::trace::TraceContext;

/// Longer text of a client's is cut; so a line has an end.
pub const FIELD_BYTES_MAX: usize = 2048;
/// Longer names and details of our own are cut.
const NAME_BYTES_MAX: usize = 512;
/// What stands for a query that is not logged.
const QUERY_REDACTED: &[u8] = b"?redacted";
/// Bytes that most lines fit in.
const LINE_BYTES_GUESS: usize = 640;

/// What becomes of a path's query string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Query {
    /// It is logged.
    #[default]
    Keep,
    /// It is replaced: queries may carry secrets.
    Redact,
}

/// One request. `Host`, path and `User-Agent` are the client's bytes; nothing else of its headers is taken.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// When the request began.
    pub time: UnixNanos,
    /// Its trace, sampled or not.
    pub trace: Option<&'a TraceContext>,
    /// The method, as sent.
    pub method: &'a [u8],
    /// The host, as sent: `Host` or `:authority`.
    pub host: Option<&'a [u8]>,
    /// Path and query, as sent.
    pub path: &'a [u8],
    /// The version spoken with the client.
    pub protocol: HttpVersion,
    /// The response's status; none if there was no response.
    pub status: Option<StatusCode>,
    /// `kind/namespace/name`.
    pub route: Option<&'a str>,
    /// The rule's name, or its index.
    pub rule: Option<&'a str>,
    /// `namespace/name:port`.
    pub backend: Option<&'a str>,
    /// The endpoint that answered, or was tried last.
    pub endpoint: Option<SocketAddr>,
    /// From the request's first byte to the end of its response.
    pub duration: Duration,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// The client's address.
    pub client: Option<SocketAddr>,
    /// `User-Agent`.
    pub user_agent: Option<&'a [u8]>,
    /// Who ended the request, and why.
    pub flag: &'a ResponseFlag,
    /// Tries beyond the first.
    pub retries: u32,
    /// What went wrong in a filter, in words; also of filters that fail open.
    pub filter_failure: Option<&'a str>,
}

impl Entry<'_> {
    /// The line, its line feed included.
    #[must_use]
    pub fn line(&self, query: Query) -> Vec<u8> {
        let mut line = Vec::with_capacity(LINE_BYTES_GUESS);
        let mut object = Object::open(&mut line);
        object.plain("timestamp", &self.time.rfc3339());
        if let Some(trace) = self.trace {
            object.plain("trace_id", &trace.trace_id.hex());
        }
        self.write_request(&mut object, query);
        self.write_route(&mut object);
        self.write_outcome(&mut object);
        object.close();
        line
    }

    fn write_request(&self, object: &mut Object<'_>, query: Query) {
        object.text("method", self.method, FIELD_BYTES_MAX);
        if let Some(host) = self.host {
            object.text("host", host, FIELD_BYTES_MAX);
        }
        match (query, self.path.iter().position(|b| *b == b'?')) {
            (Query::Redact, Some(mark)) => {
                // Cut first, so that the mark of the missing query is never cut off.
                let path = &self.path[..mark.min(FIELD_BYTES_MAX)];
                object.text("path", &[path, QUERY_REDACTED].concat(), usize::MAX);
            }
            (Query::Keep | Query::Redact, _) => object.text("path", self.path, FIELD_BYTES_MAX),
        }
        object.plain("protocol", self.protocol.protocol().as_bytes());
        if let Some(status) = self.status {
            object.number("status", status.as_u16().into());
        }
    }

    fn write_route(&self, object: &mut Object<'_>) {
        for (key, name) in [("route", self.route), ("rule", self.rule), ("backend", self.backend)] {
            if let Some(name) = name {
                object.text(key, name.as_bytes(), NAME_BYTES_MAX);
            }
        }
        write_address(object, "endpoint", self.endpoint);
    }

    fn write_outcome(&self, object: &mut Object<'_>) {
        object.millis("duration_ms", u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX));
        object.number("request_bytes", self.request_bytes);
        object.number("response_bytes", self.response_bytes);
        write_address(object, "client", self.client);
        if let Some(agent) = self.user_agent {
            object.text("user_agent", agent, FIELD_BYTES_MAX);
        }
        match self.flag.subject() {
            None => object.plain("flag", self.flag.kind().as_str().as_bytes()),
            Some(_) => object.text("flag", self.flag.to_string().as_bytes(), NAME_BYTES_MAX),
        }
        object.number("retries", self.retries.into());
        if let Some(failure) = self.filter_failure {
            object.text("filter_failure", failure.as_bytes(), NAME_BYTES_MAX);
        }
    }
}

fn write_address(object: &mut Object<'_>, key: &str, address: Option<SocketAddr>) {
    if let Some(address) = address {
        object.plain(key, address.to_string().as_bytes());
    }
}
