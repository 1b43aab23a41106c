//! What gRPC asks of a gateway: errors in `grpc-status`, and the client's deadline
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use crate::error::{ErrorKind, RequestError};
use http::{HeaderMap, HeaderValue, header, request};
use std::time::Duration;

/// Whether the client speaks gRPC, and so reads errors from `grpc-status`.
pub fn is_grpc(head: &request::Parts) -> bool {
    let content_type = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type
        .is_some_and(|value| value.starts_with(b"application/grpc") && !value.starts_with(b"application/grpc-web"))
}

/// Headers of an answer that is nothing but its status.
pub fn error_headers(error: ErrorKind) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(u16::from(error.grpc_status())));
    headers.insert("grpc-message", HeaderValue::from_static(error.message()));
    headers
}

/// The failure as its client knows it: a backend that takes a request back once the client's own deadline has passed
/// does so because of it.
pub fn seen_by_client(error: RequestError, headers: &HeaderMap, elapsed: Duration) -> RequestError {
    let passed = || timeout(headers).is_some_and(|limit| elapsed >= limit);
    if error.kind == ErrorKind::UpstreamCancelled && passed() {
        return RequestError { kind: ErrorKind::RequestTimeout, ..error };
    }
    error
}

/// The client's deadline: at most eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(timeout: &'static str) -> HeaderMap {
        [(header::HeaderName::from_static("grpc-timeout"), HeaderValue::from_static(timeout))].into_iter().collect()
    }

    #[test]
    fn deadlines_are_read_as_the_protocol_writes_them() {
        for (text, expected) in [
            ("1m", Some(Duration::from_millis(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("5S", Some(Duration::from_secs(5))),
            ("7u", Some(Duration::from_micros(7))),
            ("8n", Some(Duration::from_nanos(8))),
            ("2M", Some(Duration::from_secs(120))),
            ("100000000m", None),
            ("m", None),
            ("-1m", None),
            ("1s", None),
            ("", None),
        ] {
            assert_eq!(timeout(&with(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn a_request_taken_back_after_its_deadline_has_met_its_deadline() {
        let cancelled = || RequestError::from(ErrorKind::UpstreamCancelled);
        let kind = |error, text, elapsed| seen_by_client(error, &with(text), Duration::from_millis(elapsed)).kind;
        assert_eq!(kind(cancelled(), "10m", 10), ErrorKind::RequestTimeout);
        assert_eq!(kind(cancelled(), "10m", 9), ErrorKind::UpstreamCancelled);
        assert_eq!(kind(ErrorKind::UpstreamReset.into(), "10m", 10), ErrorKind::UpstreamReset);
    }
}
