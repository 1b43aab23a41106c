//! Reads a TLS ClientHello (RFC 8446, section 4.1.2) from bytes, be it in one record or in many. Pure: it reads from no
//! connection, answers nothing, and holds no more than the limit.

use rustls_pki_types::DnsName;
use std::{borrow::Cow, net::IpAddr};

const RECORD_HANDSHAKE: u8 = 22;
const RECORD_HEADER_BYTES: usize = 5;
/// <https://www.rfc-editor.org/rfc/rfc8446#section-5.1>
const RECORD_BYTES_MAX: usize = 1 << 14;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const HANDSHAKE_HEADER_BYTES: usize = 4;
const VERSION_MAJOR: u8 = 3;
const RANDOM_BYTES: usize = 32;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_ALPN: u16 = 16;
const NAME_TYPE_HOST: u8 = 0;

/// What routing needs of a ClientHello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The server name in lower case without a dot at its end. An address is none: RFC 6066 forbids it, but clients
    /// that connect to an address send it all the same.
    pub server_name: Option<String>,
    /// The protocols that the client speaks inside, in its order of preference.
    pub alpn: Vec<Vec<u8>>,
}

/// Why there is no ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeekError {
    /// What is there may be the beginning of one.
    #[error("the ClientHello is not complete")]
    NeedMore,
    /// The bytes are not TLS.
    #[error("this is not TLS")]
    NotTls,
    /// The bytes break the rules of TLS.
    #[error("the ClientHello is malformed")]
    Malformed,
    /// It is longer than the limit.
    #[error("the ClientHello is too long")]
    TooLong,
}

/// Reads the ClientHello that `bytes` begin with. `limit` holds for the bytes with the headers of their records, so
/// the answer to `limit` bytes or more is never [`PeekError::NeedMore`].
///
/// # Errors
/// See [`PeekError`].
pub fn parse_client_hello(bytes: &[u8], limit: usize) -> Result<Hello, PeekError> {
    match message(bytes, limit) {
        Ok(body) => hello(Reader(&body)).ok_or(PeekError::Malformed),
        Err(PeekError::NeedMore) if bytes.len() >= limit => Err(PeekError::TooLong),
        Err(error) => Err(error),
    }
}

/// The body of the first handshake message.
fn message(bytes: &[u8], limit: usize) -> Result<Cow<'_, [u8]>, PeekError> {
    if bytes.first().is_some_and(|byte| *byte != RECORD_HANDSHAKE)
        || bytes.get(1).is_some_and(|byte| *byte != VERSION_MAJOR)
    {
        return Err(PeekError::NotTls);
    }
    let mut fragments = Fragments(bytes);
    let mut whole = Cow::Borrowed(&bytes[..0]);
    loop {
        match end_of_message(&whole, limit)? {
            Some(end) if end <= whole.len() => {
                return Ok(match whole {
                    Cow::Borrowed(whole) => Cow::Borrowed(&whole[HANDSHAKE_HEADER_BYTES..end]),
                    Cow::Owned(whole) => Cow::Owned(whole[HANDSHAKE_HEADER_BYTES..end].to_vec()),
                });
            }
            _ => {}
        }
        let fragment = fragments.next().ok_or(PeekError::NeedMore)??;
        if whole.is_empty() {
            whole = Cow::Borrowed(fragment);
        } else {
            whole.to_mut().extend_from_slice(fragment);
        }
    }
}

/// Where the handshake message that `bytes` begin with ends, if that is known already.
fn end_of_message(bytes: &[u8], limit: usize) -> Result<Option<usize>, PeekError> {
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE_CLIENT_HELLO) {
        return Err(PeekError::Malformed);
    }
    let Some([_, length @ ..]) = bytes.first_chunk::<HANDSHAKE_HEADER_BYTES>() else { return Ok(None) };
    let [a, b, c] = length.map(usize::from);
    let end = HANDSHAKE_HEADER_BYTES + (a << 16 | b << 8 | c);
    if end + RECORD_HEADER_BYTES > limit { Err(PeekError::TooLong) } else { Ok(Some(end)) }
}

/// The pieces of handshake messages in a row of records; the last may be incomplete.
struct Fragments<'a>(&'a [u8]);

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<&'a [u8], PeekError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.first().is_some_and(|kind| *kind != RECORD_HANDSHAKE) {
            return Some(Err(PeekError::Malformed));
        }
        let ([_, major, _, high, low], rest) = self.0.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        // Empty fragments are forbidden for handshake messages, and would let a record cost more than it carries.
        if *major != VERSION_MAJOR || length == 0 || length > RECORD_BYTES_MAX {
            return Some(Err(PeekError::Malformed));
        }
        let (fragment, rest) = rest.split_at(length.min(rest.len()));
        self.0 = rest;
        (!fragment.is_empty()).then_some(Ok(fragment))
    }
}

fn hello(mut body: Reader<'_>) -> Option<Hello> {
    let version = body.u16()?;
    if version >> 8 != u16::from(VERSION_MAJOR) {
        return None;
    }
    body.take(RANDOM_BYTES)?;
    let _session = body.vector8()?;
    let _ciphers = body.vector16()?;
    let _compression = body.vector8()?;
    let mut hello = Hello::default();
    if body.is_empty() {
        return Some(hello);
    }
    let mut extensions = body.vector16()?;
    let (mut names, mut protocols) = (None, None);
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.vector16()?;
        let seen = match kind {
            EXTENSION_SERVER_NAME => names.replace(content),
            EXTENSION_ALPN => protocols.replace(content),
            _ => None,
        };
        // Two of a kind are forbidden; which of two names counts must never be a matter of who reads.
        if seen.is_some() {
            return None;
        }
    }
    hello.server_name = names.map_or(Some(None), server_name)?;
    hello.alpn = protocols.map_or(Some(Vec::new()), alpn)?;
    body.is_empty().then_some(hello)
}

/// The outer `None`: malformed. The inner: no name.
fn server_name(mut extension: Reader<'_>) -> Option<Option<String>> {
    let mut list = extension.vector16()?;
    let mut host = None;
    while !list.is_empty() {
        let kind = list.u8()?;
        let name = list.vector16()?;
        if kind == NAME_TYPE_HOST && host.replace(name.0).is_some() {
            return None;
        }
    }
    let text = std::str::from_utf8(host?).ok()?;
    if !extension.is_empty() {
        return None;
    }
    if text.parse::<IpAddr>().is_ok() {
        return Some(None);
    }
    let name = DnsName::try_from(text.strip_suffix('.').unwrap_or(text)).ok()?;
    Some(Some(name.as_ref().to_ascii_lowercase()))
}

fn alpn(mut extension: Reader<'_>) -> Option<Vec<Vec<u8>>> {
    let mut list = extension.vector16()?;
    let mut protocols = Vec::new();
    while !list.is_empty() {
        let protocol = list.vector8()?;
        if protocol.is_empty() {
            return None;
        }
        protocols.push(protocol.0.to_vec());
    }
    (extension.is_empty() && !protocols.is_empty()).then_some(protocols)
}

/// Bytes that are still to be read.
struct Reader<'a>(&'a [u8]);

// === impl Reader ===

impl<'a> Reader<'a> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Option<Self> {
        let count = self.u8()?;
        self.take(usize::from(count)).map(Self)
    }

    fn vector16(&mut self) -> Option<Self> {
        let count = self.u16()?;
        self.take(usize::from(count)).map(Self)
    }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
