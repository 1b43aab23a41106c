//! Heads of requests over HTTP/3 (RFC 9114, 4.2 and 4.3): what makes one malformed beyond what h3 checks.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header, request};

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
    let (head, ()) = request.into_parts();
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
}
