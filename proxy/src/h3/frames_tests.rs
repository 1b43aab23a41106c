//! Frames as hostile and as ordinary clients send them, in pieces of every size.

use super::*;
use proptest::prelude::*;

const LIMIT: usize = 1000;

/// Feeds a stream in pieces of `step` bytes; gives what is handed on, and the fault if there is one.
fn read(mut frames: Frames, stream: &[u8], step: usize) -> (Vec<u8>, Result<(), Fault>) {
    let mut out = Vec::new();
    for piece in stream.chunks(step) {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match frames.next(&mut input) {
                Ok(Some(Piece::Whole(bytes))) => out.extend_from_slice(&bytes),
                Ok(Some(Piece::Data(header, payload))) => out.extend([header, payload].concat()),
                Ok(None) => break,
                Err(fault) => return (out, Err(fault)),
            }
        }
    }
    (out, frames.end())
}

fn request(stream: &[u8]) -> (Vec<u8>, Result<(), Fault>) {
    read(Frames::request(LIMIT), stream, stream.len().max(1))
}

fn code(result: Result<(), Fault>) -> Option<Code> {
    result.err().map(|fault| fault.code)
}

#[test]
fn a_request_passes_without_what_has_no_meaning() {
    // HEADERS, an empty DATA, a reserved frame, DATA, HEADERS.
    let stream = b"\x01\x03abc\x00\x00\x21\x02xx\x00\x02hi\x01\x01t";
    for step in 1..stream.len() {
        let (out, result) = read(Frames::request(LIMIT), stream, step);
        result.unwrap();
        assert!(out.starts_with(b"\x01\x03abc\x00") && out.ends_with(b"\x01\x01t"), "step {step}: {out:?}");
        assert!(!out.windows(2).any(|pair| pair == b"xx" || pair == b"\x00\x00"), "step {step}: {out:?}");
    }
}

#[test]
fn a_stream_that_ends_within_a_frame_is_an_error() {
    for stream in [&b"\x01"[..], b"\x01\x03ab", b"\x01\x01a\x00\x05", b"\x01\x01a\x00\x05hell", b"\x01\x01a\x21\x01"] {
        assert_eq!(code(request(stream).1), Some(Code::H3_FRAME_ERROR), "{stream:?}");
    }
    request(b"").1.unwrap();
    request(b"\x01\x01a\x00\x00").1.unwrap();
}

#[test]
fn frames_out_of_place_are_errors() {
    let streams = [
        &b"\x00\x01a"[..],
        b"\x01\x01a\x01\x01t\x00\x01a",
        b"\x01\x01a\x01\x01t\x01\x01t",
        b"\x04\x00",
        b"\x01\x01a\x07\x01\x00",
        b"\x05\x01\x00",
        b"\x06\x00",
        b"\x01\x01a\x09\x00",
    ];
    for stream in streams {
        assert_eq!(code(request(stream).1), Some(Code::H3_FRAME_UNEXPECTED), "{stream:?}");
    }
}

#[test]
fn a_frame_beyond_its_limit_is_refused_before_it_is_read() {
    let too_long = (LIMIT as u16 + 1) | 0x4000;
    let head = [&[1][..], &too_long.to_be_bytes()].concat();
    let fault = request(&head).1.unwrap_err();
    assert_eq!((fault.code, fault.limit), (Code::H3_EXCESSIVE_LOAD, "header_bytes_max"));
    let endless = b"\x01\xff\xff\xff\xff\xff\xff\xff\xff";
    assert_eq!(code(request(endless).1), Some(Code::H3_EXCESSIVE_LOAD));
    let settings = b"\x00\x04\xbf\xff\xff\xff";
    assert_eq!(code(read(Frames::unidirectional(), settings, 6).1), Some(Code::H3_EXCESSIVE_LOAD));
}

#[test]
fn a_body_of_any_announced_length_is_handed_on_as_it_comes() {
    let mut frames = Frames::request(LIMIT);
    let mut input = Bytes::from_static(b"\x01\x01a\x00\xc0\x00\x00\x10\x00\x00\x00\x00some");
    assert_eq!(frames.next(&mut input), Ok(Some(Piece::Whole(Bytes::from_static(b"\x01\x01a")))));
    let data = Piece::Data(Bytes::from_static(b"\x00\x04"), Bytes::from_static(b"some"));
    assert_eq!(frames.next(&mut input), Ok(Some(data)));
    assert_eq!(frames.next(&mut input), Ok(None));
}

#[test]
fn the_control_stream_holds_its_own_frames_alone() {
    let read = |stream: &[u8]| read(Frames::unidirectional(), stream, 1);
    let good = b"\x00\x04\x02\x06\x10\x07\x01\x00\x0d\x01\x05";
    assert_eq!(read(good), (good.to_vec(), Ok(())));
    assert_eq!(code(read(b"\x00\x00\x01a").1), Some(Code::H3_FRAME_UNEXPECTED));
    assert_eq!(code(read(b"\x00\x01\x01a").1), Some(Code::H3_FRAME_UNEXPECTED));
    for padded in [&b"\x00\x07\x02\x00\x04"[..], b"\x00\x0d\x00", b"\x00\x03\x01\x40"] {
        assert_eq!(code(read(padded).1), Some(Code::H3_FRAME_ERROR), "{padded:?}");
    }
}

#[test]
fn streams_of_other_types_are_not_looked_into() {
    let stream = b"\x02\x01\x02\x03\xff\xff";
    for step in 1..=stream.len() {
        assert_eq!(read(Frames::unidirectional(), stream, step), (stream.to_vec(), Ok(())), "step {step}");
    }
    assert_eq!(read(Frames::unidirectional(), b"\x40", 1).1, Ok(()));
}

proptest! {
    /// Whatever comes, and however it is cut: no panic, the same result, and only frames that are whole.
    #[test]
    fn any_bytes_give_the_same_result_in_pieces_of_any_size(
        stream in proptest::collection::vec(prop_oneof![0u8..16, any::<u8>()], 0..200),
        step in 1usize..50,
        unidirectional: bool,
    ) {
        let frames = || if unidirectional { Frames::unidirectional() } else { Frames::request(LIMIT) };
        let (_, whole) = read(frames(), &stream, stream.len().max(1));
        let (out, in_pieces) = read(frames(), &stream, step);
        prop_assert_eq!(whole, in_pieces);
        if !unidirectional {
            prop_assert_eq!(read(frames(), &out, 1), (canonical(&out), Ok(())));
        }
    }
}

/// What comes of frames that are whole: DATA split into single bytes where it is fed in single bytes.
fn canonical(stream: &[u8]) -> Vec<u8> {
    let (mut rest, mut out) = (stream, Vec::new());
    while let Some((kind, taken)) = varint(rest) {
        let (length, more) = varint(&rest[taken..]).unwrap();
        let (head, payload) = (taken + more, length as usize);
        match kind {
            DATA => rest[head..head + payload].iter().for_each(|byte| out.extend([0, 1, *byte])),
            _ => out.extend_from_slice(&rest[..head + payload]),
        }
        rest = &rest[head + payload..];
    }
    out
}
