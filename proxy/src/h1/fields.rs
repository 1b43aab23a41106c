//! The header fields of a head, read into a map, with what they say of framing and of the connection. Strict: whatever
//! two readers could read differently is an error.

use super::framing::Malformed;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::cell::RefCell;

/// Maps that a thread keeps for heads to come.
const SPARE_MAX: usize = 64;
/// Fields that a map has room for, if it is kept.
const RECYCLED_FIELDS_MAX: usize = 64;

thread_local! {
    static SPARE: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// What a head says of its body and of its connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Content-Length.
    pub length: Option<u64>,
    /// Whether the body comes in chunks.
    pub chunked: bool,
    /// Whether the connection ends with this message.
    pub close: bool,
    /// Whether an HTTP/1.0 connection goes on.
    pub keep_alive: bool,
    /// Whether trailers are taken.
    pub trailers: bool,
    /// Whether `100 Continue` is waited for.
    pub expects_continue: bool,
}

/// Reads the fields that httparse found in `input` into a map with room for `spare` more. `head` is a copy of the whole
/// head, which all values share.
pub fn read_fields(
    fields: &[httparse::Header<'_>],
    input: &[u8],
    head: &Bytes,
    spare: usize,
) -> Result<(HeaderMap, Facts), Malformed> {
    let mut headers = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    headers.reserve(fields.len() + spare);
    let mut facts = Facts::default();
    for field in fields {
        let name =
            HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed("a header's name is malformed"))?;
        facts.note(&name, field.value)?;
        let start = field.value.as_ptr() as usize - input.as_ptr() as usize;
        let value = HeaderValue::from_maybe_shared(head.slice(start..start + field.value.len()));
        headers.append(name, value.map_err(|_| Malformed("a header's value is malformed"))?);
    }
    if facts.length.is_some() && facts.chunked {
        // RFC 9112, 6.3: an attempt at smuggling, or broken.
        return Err(Malformed("both Content-Length and Transfer-Encoding"));
    }
    Ok((headers, facts))
}

/// Takes a map back that nobody reads any more, so that the next head needs no memory of its own.
pub fn recycle(mut headers: HeaderMap) {
    if headers.capacity() <= RECYCLED_FIELDS_MAX {
        headers.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_MAX {
                spare.push(headers);
            }
        });
    }
}

impl Facts {
    fn note(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), Malformed> {
        // By length first: most headers are told apart without a comparison.
        match name.as_str().len() {
            2 if *name == header::TE => self.trailers |= tokens(value).any(|token| is(token, b"trailers")),
            6 if *name == header::EXPECT => self.expects_continue = is(value, b"100-continue"),
            10 if *name == header::CONNECTION => {
                for token in tokens(value) {
                    self.close |= is(token, b"close");
                    self.keep_alive |= is(token, b"keep-alive");
                }
            }
            14 if *name == header::CONTENT_LENGTH => {
                let length = parse_length(value)?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(Malformed("two Content-Lengths"));
                }
                self.length = Some(length);
            }
            17 if *name == header::TRANSFER_ENCODING => {
                if self.chunked || !is(value, b"chunked") {
                    return Err(Malformed("a transfer coding other than chunked"));
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn is(token: &[u8], expected: &[u8]) -> bool {
    token.eq_ignore_ascii_case(expected)
}

fn parse_length(value: &[u8]) -> Result<u64, Malformed> {
    let digits = !value.is_empty() && value.len() <= 18 && value.iter().all(u8::is_ascii_digit);
    let parsed = if digits { std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) } else { None };
    parsed.ok_or(Malformed("Content-Length is malformed"))
}
