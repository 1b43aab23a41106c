//! Heads of HTTP/1.1 messages to and from backends: written from, and read into, header maps.

use super::framing::{Framing, Malformed};
use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header, request};
use std::mem::MaybeUninit;

/// Header fields of a response.
const HEADERS_MAX: usize = 128;

/// A response's head, and how its body ends.
pub struct ResponseHead {
    /// Status and headers; those that concern the connection alone are taken out.
    pub response: Response<()>,
    /// How the body ends; `None`: there is none.
    pub framing: Option<Framing>,
    /// Whether the connection can serve another request afterwards.
    pub reusable: bool,
}

/// How the request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestFraming {
    /// None.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// Writes a request's head. `upgrade` is the value of the header Upgrade, where one is asked for.
pub fn write_request(out: &mut Vec<u8>, head: &request::Parts, framing: RequestFraming, upgrade: Option<&HeaderValue>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = head.uri.authority() {
        write_field(out, "host", authority.as_str().as_bytes());
    }
    for (name, value) in &head.headers {
        // The host comes from the URI, the framing from the body.
        let ours = *name == header::HOST || *name == header::CONTENT_LENGTH;
        if !ours || (*name == header::HOST && head.uri.authority().is_none()) {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    match framing {
        RequestFraming::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        RequestFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        RequestFraming::None => {}
    }
    if let Some(upgrade) = upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
        write_field(out, "upgrade", upgrade.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a number in decimal.
pub fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Reads a response's head from the start of `input` and takes it out; `None`: more bytes are needed.
pub fn read_response(input: &mut BytesMut, method: &Method) -> Result<Option<ResponseHead>, Malformed> {
    let mut fields = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, input, &mut fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed("the response has too many headers")),
        Err(_) => return Err(Malformed("the response's head is malformed")),
    };
    let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| Malformed("bad status code"))?;
    let http_1_1 = parsed.version == Some(1);
    // One copy of the head, shared by all its values: the read buffer stays ours and is used again.
    let shared = Bytes::copy_from_slice(&input[..length]);
    let mut headers = HeaderMap::with_capacity(parsed.headers.len() + 2);
    let mut facts = ConnectionFacts::default();
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed("bad header name"))?;
        facts.note(&name, field.value)?;
        let start = field.value.as_ptr() as usize - input.as_ptr() as usize;
        let value = HeaderValue::from_maybe_shared(shared.slice(start..start + field.value.len()));
        headers.append(name, value.map_err(|_| Malformed("bad header value"))?);
    }
    input.advance(length);
    finish(status, headers, &facts, http_1_1, method).map(Some)
}

fn finish(
    status: StatusCode,
    mut headers: HeaderMap,
    facts: &ConnectionFacts,
    http_1_1: bool,
    method: &Method,
) -> Result<ResponseHead, Malformed> {
    let no_body = method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let framing = match (no_body, facts.chunked, facts.length) {
        (_, true, Some(_)) => return Err(Malformed("the response has both a length and chunks")),
        (true, ..) => None,
        (false, true, None) => Some(Framing::chunked()),
        (false, false, Some(0)) => None,
        (false, false, Some(length)) => Some(Framing::Length(length)),
        (false, false, None) => Some(Framing::UntilClose),
    };
    let persistent = if http_1_1 { !facts.close } else { facts.keep_alive };
    let reusable = persistent && framing != Some(Framing::UntilClose);
    if status != StatusCode::SWITCHING_PROTOCOLS {
        crate::http::headers::remove_hop_by_hop(&mut headers);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.version_mut() = Version::HTTP_11;
    *response.headers_mut() = headers;
    Ok(ResponseHead { response, framing, reusable })
}

/// What headers say of framing and of the connection.
#[derive(Default)]
struct ConnectionFacts {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

impl ConnectionFacts {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Malformed> {
        if *name == header::CONTENT_LENGTH {
            let length = parse_length(value)?;
            if self.length.is_some_and(|other| other != length) {
                return Err(Malformed("the response has two lengths"));
            }
            self.length = Some(length);
        } else if *name == header::TRANSFER_ENCODING {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Malformed("the response has a transfer coding other than chunked"));
            }
            self.chunked = true;
        } else if *name == header::CONNECTION {
            for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }
}

fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    let parsed = if digits { std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) } else { None };
    parsed.ok_or(Malformed("bad Content-Length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<ResponseHead>, Malformed> {
        read_response(&mut BytesMut::from(text), &Method::GET)
    }

    #[test]
    fn framing_and_reuse_follow_rfc_9112() {
        let head = read(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive, X-A\r\nX-A: b\r\nX-B: c\r\n\r\nhello",
        );
        let head = head.unwrap().unwrap();
        assert_eq!(head.framing, Some(Framing::Length(5)));
        assert!(head.reusable && head.response.headers().contains_key("x-b"));
        assert!(!head.response.headers().contains_key("x-a") && !head.response.headers().contains_key("connection"));
        let until_close = read("HTTP/1.1 200 OK\r\n\r\n").unwrap().unwrap();
        assert!(until_close.framing == Some(Framing::UntilClose) && !until_close.reusable);
        let old = read("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n").unwrap().unwrap();
        assert!(!old.reusable);
        assert!(read("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").unwrap().unwrap().framing.is_none());
        assert!(read("HTTP/1.1 200 OK\r\nContent-Le").unwrap().is_none());
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            assert!(read(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n")).is_err(), "{headers}");
        }
    }

    #[test]
    fn a_request_is_written_with_one_host_and_its_own_framing() {
        let request = http::Request::builder()
            .uri("http://a.example/x?y=1")
            .header("host", "other")
            .header("content-length", "99")
            .header("x-a", "b");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        write_request(&mut out, &head, RequestFraming::Length(120), None);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            "GET /x?y=1 HTTP/1.1\r\nhost: a.example\r\nx-a: b\r\ncontent-length: 120\r\n\r\n"
        );
    }
}
