//! Heads over HTTP/3 (RFC 9114, 4.2 and 4.3): what makes a request malformed beyond what h3 checks, and what an answer
//! must and must not say.

use crate::http::headers;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header, request};
use std::time::SystemTime;

/// Fields about the connection, which HTTP/3 does not have (RFC 9114, 4.2).
const OF_THE_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A request's head and the length that it announces; `None` for a malformed one.
pub fn decode(request: Request<()>) -> Option<(request::Parts, Option<u64>)> {
    let (mut head, ()) = request.into_parts();
    let has_target = head.uri.scheme().is_some() && head.uri.path_and_query().is_some();
    if head.method != Method::CONNECT && !has_target {
        return None;
    }
    let trailers_alone = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"trailers");
    let about_connection = OF_THE_CONNECTION.iter().any(|name| head.headers.contains_key(name));
    if about_connection || !head.headers.get_all(header::TE).iter().all(trailers_alone) {
        return None;
    }
    let length = content_length(&head.headers)?;
    join_cookies(&mut head.headers);
    Some((head, length))
}

/// The length that a message announces; the outer `None` if that is malformed.
fn content_length(headers: &HeaderMap) -> Option<Option<u64>> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Some(None) };
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    let length = digits.parse().ok()?;
    values.next().is_none().then_some(Some(length))
}

/// Cookies may come in pieces; other versions of HTTP take one field alone (RFC 9114, 4.2.1).
fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

/// Makes the head of an answer complete, as a server of HTTP/1.1 or HTTP/2 would.
pub fn complete<B>(response: &mut Response<B>, method: &Method, length: Option<u64>) {
    let has_body = response.status() != StatusCode::NOT_MODIFIED && *method != Method::HEAD;
    let headers = response.headers_mut();
    headers::remove_hop_by_hop(headers);
    if let Some(length) = length.filter(|length| has_body && *length > 0) {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    if !headers.contains_key(header::DATE) {
        // RFC 9110, 6.6.1: a date is due from whoever answers and has a clock.
        if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(SystemTime::now())) {
            headers.insert(header::DATE, date);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&str, &str)]) -> Option<(request::Parts, Option<u64>)> {
        let mut request = Request::builder().uri("https://example.com/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        decode(request.body(()).unwrap())
    }

    #[test]
    fn fields_about_the_connection_make_a_request_malformed() {
        for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
            assert!(request(&[(name, "x")]).is_none(), "{name}");
        }
        assert!(request(&[("te", "gzip")]).is_none() && request(&[("te", "trailers")]).is_some());
    }

    #[test]
    fn a_request_without_a_target_is_malformed_unless_it_connects() {
        let target = |method: &str| Request::builder().method(method).uri("example.com:443").body(()).unwrap();
        assert!(decode(target("GET")).is_none());
        assert!(decode(target("CONNECT")).is_some());
    }

    #[test]
    fn content_length_is_one_number() {
        assert_eq!(request(&[]).unwrap().1, None);
        assert_eq!(request(&[("content-length", "12")]).unwrap().1, Some(12));
        for wrong in ["", "-1", "+1", "1, 1", "0x1", "99999999999999999999"] {
            assert!(request(&[("content-length", wrong)]).is_none(), "{wrong}");
        }
        assert!(request(&[("content-length", "1"), ("content-length", "1")]).is_none());
    }

    #[test]
    fn cookies_in_pieces_become_one_field() {
        let (head, _) = request(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]).unwrap();
        let cookies: Vec<_> = head.headers.get_all(header::COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
    }

    #[test]
    fn an_answer_says_nothing_about_the_connection_and_when_it_was_made() {
        let mut response = Response::builder().header("connection", "close").header("x", "y").body(()).unwrap();
        complete(&mut response, &Method::GET, Some(5));
        assert_eq!(response.headers()["content-length"], "5");
        assert!(response.headers().contains_key("date") && response.headers().contains_key("x"));
        assert!(!response.headers().contains_key("connection"));
        let mut response = Response::new(());
        complete(&mut response, &Method::HEAD, Some(5));
        assert!(!response.headers().contains_key("content-length"));
    }
}
