//! Heads of HTTP/1.1 messages to and from backends: written from, and read into, header maps.

use crate::h1::{CHUNKED, Facts, Framing, Inbox, Malformed, read_fields, write_field, write_length};
use crate::http::Added;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request};
use std::mem::MaybeUninit;

/// Header fields of a response.
const HEADERS_MAX: usize = 128;
/// Room for what a gateway adds to a response.
const FIELDS_SPARE: usize = 3;

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
pub fn write_request(
    out: &mut Vec<u8>,
    head: &request::Parts,
    added: Added<'_>,
    framing: RequestFraming,
    upgrade: Option<&HeaderValue>,
) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = head.uri.authority() {
        write_field(out, "host", authority.as_str().as_bytes());
    }
    for (name, value) in &head.headers {
        // By length first: most headers are told apart without a comparison.
        let ours = match name.as_str().len() {
            4 => *name == header::HOST && head.uri.authority().is_some(),
            11 => added.replaces(name),
            // The framing comes from the body.
            14 => *name == header::CONTENT_LENGTH,
            _ => false,
        };
        if !ours {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    added.write(head, out);
    match framing {
        RequestFraming::Length(length) => write_length(out, length),
        RequestFraming::Chunked => out.extend_from_slice(CHUNKED),
        RequestFraming::None => {}
    }
    if let Some(upgrade) = upgrade {
        out.extend_from_slice(b"connection: upgrade\r\n");
        write_field(out, "upgrade", upgrade.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads a response's head from the start of `inbox` and takes it out; `None`: more bytes are needed.
pub fn read_response(inbox: &mut Inbox, method: &Method) -> Result<Option<ResponseHead>, Malformed> {
    let input: &[u8] = inbox;
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
    let (headers, facts) = read_fields(parsed.headers, input, &shared, FIELDS_SPARE)?;
    inbox.skip(length);
    finish(status, headers, &facts, http_1_1, method).map(Some)
}

fn finish(
    status: StatusCode,
    mut headers: HeaderMap,
    facts: &Facts,
    http_1_1: bool,
    method: &Method,
) -> Result<ResponseHead, Malformed> {
    let no_body = method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    let framing = match facts.length {
        _ if no_body => None,
        _ if facts.chunked => Some(Framing::chunked()),
        Some(0) => None,
        Some(length) => Some(Framing::Length(length)),
        None => Some(Framing::UntilClose),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<ResponseHead>, Malformed> {
        read_response(&mut Inbox::new(bytes::BytesMut::from(text)), &Method::GET)
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
        write_request(&mut out, &head, Added::default(), RequestFraming::Length(120), None);
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            "GET /x?y=1 HTTP/1.1\r\nhost: a.example\r\nx-a: b\r\ncontent-length: 120\r\n\r\n"
        );
    }
}
