//! What must hold of every ClientHello: no panic, one answer however the bytes arrive, and the name that the TLS library
//! would read.

use portolan_proxy::tls::{Hello, PeekError, parse_client_hello};
use rustls::server::Acceptor;

/// Cuts of one input that are tried.
const CUTS_MAX: usize = 48;
/// Beyond this the library gives up too.
const LIMIT_MAX: usize = 0xffff;

/// Checks an input: a shape, a limit of two bytes, then the records as they are (shape 0) or a handshake message to be
/// put into records of so many bytes. Says whether it was a ClientHello.
pub fn check(input: &[u8]) -> bool {
    let Some(([shape, high, low], payload)) = input.split_first_chunk() else { return false };
    let limit = usize::from(u16::from_be_bytes([*high, *low]));
    let bytes = match shape {
        0 => payload.to_vec(),
        size => in_records_of(usize::from(*size), payload),
    };
    // Whoever reads from a connection reads no more than the limit.
    let bytes = &bytes[..bytes.len().min(limit)];
    let whole = parse_client_hello(bytes, limit);
    assert!(whole != Err(PeekError::NeedMore) || bytes.len() < limit, "waits for more than the limit");
    cuts_agree(bytes, limit, &whole);
    if *shape != 0 {
        sizes_agree(payload);
    }
    library_agrees(bytes);
    whole.is_ok()
}

/// A message in records of so many bytes.
fn in_records_of(size: usize, message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in message.chunks(size) {
        let length = u16::try_from(part.len()).expect("a part is no longer than 255 bytes or the test's own choice");
        bytes.extend([22, 3, 1]);
        bytes.extend(length.to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

/// An answer is final: bytes that arrive later never change it.
fn cuts_agree(bytes: &[u8], limit: usize, whole: &Result<Hello, PeekError>) {
    for end in (0..bytes.len()).step_by(bytes.len() / CUTS_MAX + 1) {
        let cut = parse_client_hello(&bytes[..end], limit);
        assert!(cut == Err(PeekError::NeedMore) || cut == *whole, "{cut:?} of {end} bytes, {whole:?} of all");
    }
}

/// How a message is cut into records does not matter.
fn sizes_agree(message: &[u8]) {
    let [one, other] = [3, 1000].map(|size| parse_client_hello(&in_records_of(size, message), usize::MAX));
    assert_eq!(one, other, "the size of records matters");
}

/// What the library accepts is read alike here, or refused as malformed (the library passes over what follows the first
/// name): who routes by a name and who serves it must not differ.
fn library_agrees(bytes: &[u8]) {
    let (mut acceptor, mut rest) = (Acceptor::default(), bytes);
    let accepted = loop {
        if rest.is_empty() || acceptor.read_tls(&mut rest).is_err() {
            return;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err(_) => return,
        }
    };
    let theirs = accepted.client_hello();
    let name = theirs.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    let alpn: Vec<Vec<u8>> = theirs.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
    let ours = parse_client_hello(bytes, LIMIT_MAX);
    let theirs = Hello { server_name: name, alpn };
    assert!(
        ours == Err(PeekError::Malformed) || ours.as_ref() == Ok(&theirs),
        "{ours:?}, the library reads {theirs:?}"
    );
}
