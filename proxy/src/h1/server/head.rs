//! Heads of requests, read; heads of answers, written.

use crate::{
    error::{ErrorKind, RequestError},
    h1::{CHUNKED, Facts, Framing, Inbox, Malformed, read_fields, write_field, write_length},
    http::headers::content_length,
    limits::Limits,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, Version, header, request};
use std::mem::MaybeUninit;

/// Fields that are read without memory of their own.
const FIELDS_INLINE: usize = 100;
/// Room for what a gateway adds to a request.
const FIELDS_SPARE: usize = 8;

/// A request's head.
pub struct RequestHead {
    /// The head.
    pub parts: request::Parts,
    /// How its body ends; `None`: there is none.
    pub framing: Option<Framing>,
    /// What else concerns the connection.
    pub client: Client,
}

/// What a client can do, and wants of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Whether it knows chunks (HTTP/1.1).
    pub knows_chunks: bool,
    /// Whether it takes trailers.
    pub takes_trailers: bool,
    /// Whether it waits for `100 Continue`.
    pub expects_continue: bool,
    /// Whether it wants the connection to go on.
    pub persistent: bool,
    /// Whether it asked for a head alone.
    pub head_only: bool,
}

/// How an answer's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerFraming {
    /// No body, whatever the headers say of one.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection ends.
    UntilClose,
}

/// Looks for the end of heads that come in pieces, so that a slow one is not read anew for each byte of it.
#[derive(Debug, Default)]
pub struct Progress {
    seen: usize,
    try_at: usize,
}

// === impl Progress ===

impl Progress {
    /// Whether reading the head again may tell something new.
    fn is_worth_it(&mut self, bytes: &[u8]) -> bool {
        let new = &bytes[self.seen.saturating_sub(3).min(bytes.len())..];
        self.seen = bytes.len();
        if bytes.len() >= self.try_at {
            self.try_at = bytes.len() * 2;
            return true;
        }
        new.windows(2).any(|pair| pair == b"\n\r" || pair == b"\n\n")
    }
}

/// Reads a request's head and takes it out; `None`: more bytes are needed.
///
/// # Errors
/// If it breaks RFC 9112 or is over a limit.
pub fn read_request(
    inbox: &mut Inbox,
    progress: &mut Progress,
    limits: &Limits,
) -> Result<Option<RequestHead>, RequestError> {
    let whole = if progress.is_worth_it(inbox) { parse(inbox, limits)? } else { None };
    match whole {
        Some((head, length)) => {
            inbox.skip(length);
            *progress = Progress::default();
            Ok(Some(head))
        }
        None if inbox.len() > limits.uri_bytes_max + limits.header_bytes_max.min(1024) && !inbox.contains(&b'\n') => {
            Err(ErrorKind::UriTooLong.into())
        }
        None if inbox.len() >= limits.header_bytes_max => Err(ErrorKind::HeadersTooLarge.into()),
        None => Ok(None),
    }
}

fn parse(input: &[u8], limits: &Limits) -> Result<Option<(RequestHead, usize)>, RequestError> {
    let mut inline = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_INLINE];
    let mut more = Vec::new();
    let fields = match limits.headers_max {
        few @ ..=FIELDS_INLINE => &mut inline[..few],
        many => {
            more.resize_with(many, MaybeUninit::uninit);
            &mut more[..]
        }
    };
    let mut parsed = httparse::Request::new(&mut []);
    let length = match parsed.parse_with_uninit_headers(input, fields) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(ErrorKind::TooManyHeaders.into()),
        Err(error) => return Err(RequestError::new(ErrorKind::BadRequest, error)),
    };
    if length > limits.header_bytes_max {
        return Err(ErrorKind::HeadersTooLarge.into());
    }
    if has_bare_line_feed(&input[..length]) {
        return Err(RequestError::new(ErrorKind::BadRequest, "a line ends in a bare line feed"));
    }
    let head = whole(&parsed, input, length).map_err(|error| RequestError::new(ErrorKind::BadRequest, error))?;
    Ok(Some((head, length)))
}

/// RFC 9112, 2.2, allows a bare line feed to be read as a line's end; a proxy that does may be read differently by whoever
/// stands behind it.
fn has_bare_line_feed(head: &[u8]) -> bool {
    head.first() == Some(&b'\n') || head.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r')
}

fn whole(parsed: &httparse::Request<'_, '_>, input: &[u8], length: usize) -> Result<RequestHead, Malformed> {
    let shared = Bytes::copy_from_slice(&input[..length]);
    let (headers, facts) = read_fields(parsed.headers, input, &shared, FIELDS_SPARE)?;
    let http_1_1 = parsed.version == Some(1);
    if facts.chunked && !http_1_1 {
        // RFC 9112, 6.1: the framing of such a message is faulty.
        return Err(Malformed("Transfer-Encoding in HTTP/1.0"));
    }
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method.map_err(|_| Malformed("the method is malformed"))?;
    parts.uri = target(parsed.path.unwrap_or_default(), input, &shared)?;
    parts.version = if http_1_1 { Version::HTTP_11 } else { Version::HTTP_10 };
    parts.headers = headers;
    let client = Client {
        knows_chunks: http_1_1,
        takes_trailers: facts.trailers,
        expects_continue: facts.expects_continue && http_1_1,
        persistent: if http_1_1 { !facts.close } else { facts.keep_alive },
        head_only: parts.method == Method::HEAD,
    };
    Ok(RequestHead { framing: request_framing(&facts), parts, client })
}

fn target(text: &str, input: &[u8], shared: &Bytes) -> Result<Uri, Malformed> {
    if text.contains('#') {
        return Err(Malformed("the target has a fragment"));
    }
    let start = text.as_ptr() as usize - input.as_ptr() as usize;
    Uri::from_maybe_shared(shared.slice(start..start + text.len())).map_err(|_| Malformed("the target is malformed"))
}

fn request_framing(facts: &Facts) -> Option<Framing> {
    match facts.length {
        _ if facts.chunked => Some(Framing::chunked()),
        None | Some(0) => None,
        Some(length) => Some(Framing::Length(length)),
    }
}

// === answers ===

/// Decides how an answer's body is framed. `exact` is its length, if that is known.
pub fn framing_of(response: &Response<()>, exact: Option<u64>, client: Client) -> AnswerFraming {
    let status = response.status();
    if client.head_only
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return AnswerFraming::Nothing;
    }
    match exact.or_else(|| content_length(response.headers())) {
        Some(length) => AnswerFraming::Length(length),
        None if client.knows_chunks => AnswerFraming::Chunked,
        None => AnswerFraming::UntilClose,
    }
}

/// Writes an answer's head. `persistent`: the connection goes on.
pub fn write_response(
    out: &mut Vec<u8>,
    response: &Response<()>,
    framing: AnswerFraming,
    client: Client,
    persistent: bool,
) {
    let status = response.status();
    out.extend_from_slice(if client.knows_chunks { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    write_headers(out, response.headers(), framing, status);
    match framing {
        AnswerFraming::Length(length) => write_length(out, length),
        AnswerFraming::Chunked => out.extend_from_slice(CHUNKED),
        AnswerFraming::Nothing | AnswerFraming::UntilClose => {}
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        out.extend_from_slice(b"connection: upgrade\r\n");
    } else if !persistent {
        out.extend_from_slice(b"connection: close\r\n");
    } else if !client.knows_chunks {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// All headers but those that frame the message or concern the connection, which are ours.
fn write_headers(out: &mut Vec<u8>, headers: &HeaderMap, framing: AnswerFraming, status: StatusCode) {
    let mut dated = false;
    for (name, value) in headers {
        // By length first: most headers are told apart without a comparison.
        let ours = match name.as_str().len() {
            4 => {
                dated |= *name == header::DATE;
                false
            }
            10 => *name == header::CONNECTION,
            // The answer to HEAD says how long the one to GET would be (RFC 9110, 8.6).
            14 => {
                let told = framing == AnswerFraming::Nothing && !is_without_length(status);
                *name == header::CONTENT_LENGTH && !told
            }
            17 => *name == header::TRANSFER_ENCODING,
            _ => false,
        };
        if !ours {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    if !dated {
        write_field(out, "date", crate::clock::date().as_bytes());
    }
}

/// RFC 9110, 8.6: no Content-Length in these.
fn is_without_length(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT
}
