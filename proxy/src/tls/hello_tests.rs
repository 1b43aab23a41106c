//! What the ClientHello reader makes of real, cut, mutated and forged bytes.

use super::*;
use crate::tls::testing::client_hello;
use proptest::prelude::*;

const LIMIT: usize = 16 << 10;

/// The same ClientHello in records of `size` bytes each.
fn in_records_of(size: usize, record: &[u8]) -> Vec<u8> {
    let fragments = record[RECORD_HEADER_BYTES..].chunks(size);
    fragments.flat_map(|part| [&[22, 3, 1, (part.len() >> 8) as u8, part.len() as u8], part].concat()).collect()
}

/// A ClientHello with these extensions.
fn forged(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; RANDOM_BYTES]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut record = vec![22, 3, 1];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

fn name_extension(name: &[u8]) -> Vec<u8> {
    let length = name.len() as u16;
    let mut extension = vec![0, 0];
    extension.extend((length + 5).to_be_bytes());
    extension.extend((length + 3).to_be_bytes());
    extension.push(0);
    extension.extend(length.to_be_bytes());
    extension.extend(name);
    extension
}

fn name_of(name: &[u8]) -> Result<Option<String>, PeekError> {
    parse_client_hello(&forged(&name_extension(name)), LIMIT).map(|hello| hello.server_name)
}

#[test]
fn a_real_hello_is_read_whole_and_in_fragments_of_any_size() {
    let real = client_hello("A.Example", &[b"h2", b"http/1.1"]);
    let expected =
        Hello { server_name: Some("a.example".to_owned()), alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()] };
    assert_eq!(parse_client_hello(&real, LIMIT), Ok(expected.clone()));
    for size in [1, 2, 3, 5, 7, 64, 200] {
        assert_eq!(parse_client_hello(&in_records_of(size, &real), LIMIT), Ok(expected.clone()), "{size}");
    }
}

#[test]
fn a_real_hello_cut_anywhere_needs_more() {
    let real = client_hello("a.example", &[b"h2"]);
    for bytes in [real.clone(), in_records_of(3, &real)] {
        for end in 0..bytes.len() {
            assert_eq!(parse_client_hello(&bytes[..end], LIMIT), Err(PeekError::NeedMore), "{end}");
        }
        let followed = [&bytes[..], b"more"].concat();
        assert!(parse_client_hello(&followed, LIMIT).is_ok(), "what follows does not matter");
    }
}

#[test]
fn other_protocols_are_told_from_broken_tls() {
    assert_eq!(parse_client_hello(b"GET / HTTP/1.1\r\n", LIMIT), Err(PeekError::NotTls));
    assert_eq!(parse_client_hello(&[22, 2], LIMIT), Err(PeekError::NotTls));
    assert_eq!(parse_client_hello(&[22, 3, 1, 0, 1, 2], LIMIT), Err(PeekError::Malformed), "a ServerHello");
    assert_eq!(parse_client_hello(&[22, 3, 1, 0, 0], LIMIT), Err(PeekError::Malformed), "an empty record");
    assert_eq!(parse_client_hello(&[22, 3, 1, 0x40, 1], LIMIT), Err(PeekError::Malformed), "a record too long");
    let switched = [&[22, 3, 1, 0, 1, 1][..], &[23, 3, 3, 0, 1, 0]].concat();
    assert_eq!(parse_client_hello(&switched, LIMIT), Err(PeekError::Malformed), "data amid a handshake");
}

#[test]
fn a_hello_beyond_the_limit_is_too_long_as_soon_as_it_says_so() {
    let real = client_hello("a.example", &[]);
    assert_eq!(parse_client_hello(&real[..9], real.len() - 1), Err(PeekError::TooLong));
    assert!(parse_client_hello(&real, real.len()).is_ok());
    let split = in_records_of(1, &real);
    assert_eq!(parse_client_hello(&split[..real.len()], real.len()), Err(PeekError::TooLong), "headers count");
}

#[test]
fn names_are_validated() {
    assert_eq!(name_of(b"WWW.Example.COM."), Ok(Some("www.example.com".to_owned())));
    assert_eq!(name_of(b"a_b.example"), Ok(Some("a_b.example".to_owned())));
    assert_eq!(name_of(b"127.0.0.1"), Ok(None), "an address is no name");
    assert_eq!(name_of(b"::1"), Ok(None));
    for bad in [&b""[..], b".", b"a..b", b"*.example", b"a b", b"a/b", b"a\0.example", b"\xff", b"1.2.3", &[b'a'; 64]] {
        assert_eq!(name_of(bad), Err(PeekError::Malformed), "{}", bad.escape_ascii());
    }
}

#[test]
fn doubled_and_empty_extensions_are_malformed() {
    let name = name_extension(b"a.example");
    let doubled = forged(&[name.clone(), name].concat());
    assert_eq!(parse_client_hello(&doubled, LIMIT), Err(PeekError::Malformed));
    for extension in
        [&[0, 0, 0, 0][..], &[0, 0, 0, 2, 0, 0], &[0, 16, 0, 2, 0, 0], &[0, 16, 0, 3, 0, 1, 0], &[0, 16, 9]]
    {
        assert_eq!(parse_client_hello(&forged(extension), LIMIT), Err(PeekError::Malformed), "{extension:?}");
    }
    assert_eq!(parse_client_hello(&forged(&[]), LIMIT), Ok(Hello::default()));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), limit in 0usize..700) {
        let _ = parse_client_hello(&bytes, limit);
    }

    #[test]
    fn a_mutated_hello_never_panics_and_never_needs_more_than_the_limit(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        size in 1usize..300,
        limit in 64usize..2000,
    ) {
        let mut bytes = in_records_of(size, &client_hello("a.example", &[b"h2", b"http/1.1"]));
        for (at, byte) in changes {
            *at.get_mut(&mut bytes) = byte;
        }
        let result = parse_client_hello(&bytes, limit);
        prop_assert!(result != Err(PeekError::NeedMore) || bytes.len() < limit);
    }
}
