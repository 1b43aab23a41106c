//! What a request asks of the echo server, by `echo-*` headers or query parameters. Parses; does nothing.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::time::Duration;

const PREFIX: &str = "echo-";
/// Longest delay that a request may ask for.
const DELAY_MAX: Duration = Duration::from_secs(600);

/// Everything that one request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aids {
    pub status: Option<StatusCode>,
    pub delay: Option<Duration>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub trailers: Vec<(HeaderName, HeaderValue)>,
    pub body: BodyAid,
    pub fail: Option<FailAid>,
    pub close: Option<CloseAid>,
    pub grpc_status: Option<u32>,
    pub grpc_message: Option<String>,
}

/// What the answer's body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyAid {
    /// JSON that tells what was received.
    #[default]
    Json,
    /// That many bytes.
    Size(u64),
    /// The request's own body, streamed.
    Stream,
}

/// Fail the first requests of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailAid {
    pub key: String,
    pub times: u32,
    /// HTTP status, or gRPC status for a gRPC call. `None` closes the connection.
    pub status: Option<u32>,
}

/// Where the connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseAid {
    /// Before any byte of the answer.
    BeforeAnswer,
    /// After half of the body.
    InBody,
}

/// A value that cannot be understood; answered with 400.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{name}: cannot understand {value:?}: expected {expected}")]
pub(crate) struct AidError {
    name: String,
    value: String,
    expected: &'static str,
}

// === impl Aids ===

impl Aids {
    pub(crate) fn parse(headers: &HeaderMap, query: Option<&str>) -> Result<Self, AidError> {
        let mut aids = Self::default();
        for (name, value) in headers {
            if let Some(aid) = name.as_str().strip_prefix(PREFIX) {
                aids.set(aid, &String::from_utf8_lossy(value.as_bytes()))?;
            }
        }
        for pair in query.unwrap_or_default().split('&') {
            if pair.starts_with(PREFIX) {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                aids.set(&decode(&name[PREFIX.len()..]), &decode(value))?;
            }
        }
        Ok(aids)
    }

    fn set(&mut self, aid: &str, value: &str) -> Result<(), AidError> {
        let wrong = |expected| AidError { name: format!("{PREFIX}{aid}"), value: value.to_owned(), expected };
        match aid {
            "status" => self.status = Some(status(value).ok_or_else(|| wrong("a status from 200 to 599"))?),
            "delay" => self.delay = Some(delay(value).ok_or_else(|| wrong("a delay such as 200ms or 2s, up to 600s"))?),
            "header" => self
                .headers
                .push(field(value).ok_or_else(|| wrong("name:value, of no header that frames the message"))?),
            "trailer" => self
                .trailers
                .push(field(value).ok_or_else(|| wrong("name:value, of no header that frames the message"))?),
            "body-size" => {
                self.body = BodyAid::Size(value.trim().parse().map_err(|_| wrong("a number of bytes"))?);
            }
            "body" if value == "stream" => self.body = BodyAid::Stream,
            "body" => return Err(wrong("stream")),
            "fail" => {
                self.fail = Some(fail(value).ok_or_else(|| wrong("key=KEY,times=N,status=N, or status=close"))?);
            }
            "close" if matches!(value, "" | "true" | "1") => self.close = Some(CloseAid::BeforeAnswer),
            "close" if value == "body" => self.close = Some(CloseAid::InBody),
            "close" => return Err(wrong("true or body")),
            "grpc-status" => self.grpc_status = Some(grpc_status(value).ok_or_else(|| wrong("a status from 0 to 16"))?),
            "grpc-message" => self.grpc_message = Some(value.to_owned()),
            // A name that is not ours is the user's own header, and is echoed like any other.
            _ => {}
        }
        Ok(())
    }
}

fn status(value: &str) -> Option<StatusCode> {
    let code: u16 = value.trim().parse().ok()?;
    if (200..600).contains(&code) { StatusCode::from_u16(code).ok() } else { None }
}

fn grpc_status(value: &str) -> Option<u32> {
    value.trim().parse().ok().filter(|status| *status <= 16)
}

fn delay(value: &str) -> Option<Duration> {
    let value = value.trim();
    let unit = value.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = value[..unit].parse().ok()?;
    let delay = match &value[unit..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return None,
    };
    (delay <= DELAY_MAX).then_some(delay)
}

fn field(value: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = value.split_once(':')?;
    let name: HeaderName = name.trim().parse().ok()?;
    // These frame the message, which is the server's own business.
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE].contains(&name);
    (!framing).then_some((name, HeaderValue::from_str(value.trim()).ok()?))
}

fn fail(value: &str) -> Option<FailAid> {
    let mut fail = FailAid { key: String::new(), times: 1, status: Some(503) };
    for part in value.split(',') {
        match part.trim().split_once('=')? {
            ("key", key) => fail.key = key.to_owned(),
            ("times", times) => fail.times = times.parse().ok()?,
            ("status", "close") => fail.status = None,
            ("status", code) => fail.status = Some(code.parse().ok().filter(|code| *code < 600)?),
            _ => return None,
        }
    }
    (!fail.key.is_empty()).then_some(fail)
}

/// Decodes `%XX` and `+`; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = if byte == b'%' { hex_pair(bytes, at + 1) } else { None };
        out.push(escaped.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_pair(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(at)? * 16 + digit(at + 1)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Aids, AidError> {
        Aids::parse(&HeaderMap::new(), Some(text))
    }

    #[test]
    fn headers_and_query_both_count() {
        let mut headers = HeaderMap::new();
        headers.insert("echo-status", HeaderValue::from_static("503"));
        headers.append("echo-header", HeaderValue::from_static("x-a: 1"));
        headers.append("echo-header", HeaderValue::from_static("x-b:2"));
        headers.insert("echo-unknown", HeaderValue::from_static("kept for the user"));
        let aids = Aids::parse(&headers, Some("q=1&echo-delay=200ms&echo-trailer=x-t%3a%20v&echo-close")).unwrap();
        assert_eq!(aids.status, Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(aids.delay, Some(Duration::from_millis(200)));
        assert_eq!(aids.headers.len(), 2);
        assert_eq!(aids.trailers, [(HeaderName::from_static("x-t"), HeaderValue::from_static("v"))]);
        assert_eq!(aids.close, Some(CloseAid::BeforeAnswer));
    }

    #[test]
    fn fail_takes_a_key_a_number_and_a_status() {
        let fail = |text: &str| query(&format!("echo-fail={text}")).unwrap().fail.unwrap();
        assert_eq!(fail("key=k"), FailAid { key: "k".into(), times: 1, status: Some(503) });
        assert_eq!(fail("key=k,times=2,status=500"), FailAid { key: "k".into(), times: 2, status: Some(500) });
        assert_eq!(fail("key=k,status=close").status, None);
    }

    #[test]
    fn values_out_of_range_are_refused_with_what_was_expected() {
        for text in [
            "echo-status=100",
            "echo-status=x",
            "echo-delay=1h",
            "echo-delay=601s",
            "echo-delay=99999999999999999999s",
            "echo-body-size=-1",
            "echo-body=x",
            "echo-header=novalue",
            "echo-header=%00:1",
            "echo-fail=times=1",
            "echo-fail=",
            "echo-close=maybe",
            "echo-grpc-status=17",
        ] {
            let error = query(text).expect_err(text).to_string();
            assert!(error.starts_with("echo-") && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn percent_escapes_that_are_none_stay() {
        assert_eq!(decode("a+b%20c%2"), "a b c%2");
        assert_eq!(decode("%zz%41%"), "%zzA%");
    }
}
