//! The frames that a client sends (RFC 9114, 6.2 and 7): checked, bounded, and handed on one whole frame at a time, so
//! that what reads them next holds no more than one. State machines over bytes, no IO.
//!
//! The h3 crate collects a frame of any length before it looks at it, takes an empty DATA frame for the end of a body
//! and a body that is cut off for a whole one. None of that is reachable behind this module.

use bytes::{Buf, Bytes, BytesMut};
use h3::error::Code;

/// Bytes of a frame on the control stream: a SETTINGS frame has a few dozen.
const CONTROL_FRAME_BYTES_MAX: usize = 4096;
/// Bytes set aside for a frame before they have come.
const FRAME_BYTES_EXPECTED: usize = 4096;
/// Bytes of a frame's type and length.
const HEADER_BYTES_MAX: usize = 16;

const DATA: u64 = 0x0;
const HEADERS: u64 = 0x1;
const CANCEL_PUSH: u64 = 0x3;
const SETTINGS: u64 = 0x4;
const PUSH_PROMISE: u64 = 0x5;
const GOAWAY: u64 = 0x7;
const MAX_PUSH_ID: u64 = 0xd;
/// Frames of HTTP/2 that have no meaning in HTTP/3 and must not occur (RFC 9114, 7.2.8).
const OF_HTTP2: [u64; 4] = [0x2, 0x6, 0x8, 0x9];
/// The type of a control stream (RFC 9114, 6.2.1).
const CONTROL_STREAM: u64 = 0x0;

/// The frames of one stream.
#[derive(Debug)]
pub struct Frames {
    place: Place,
    state: State,
    whole_bytes_max: usize,
}

/// What ends the connection: the client breaks the protocol, or goes beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What the client is told.
    pub code: Code,
    /// The same in words.
    pub what: &'static str,
    /// The limit's name in metrics.
    pub limit: &'static str,
}

/// What the input held.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole frame, or bytes that are no frames.
    Whole(Bytes),
    /// A piece of a body, as a DATA frame of its own: its type and length, and its payload.
    Data(Bytes, Bytes),
}

/// Where the frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Request(Expected),
    Control,
    /// A unidirectional stream whose type is not known yet.
    Untyped,
    /// A unidirectional stream that is no control stream.
    Opaque,
}

/// What comes next on a request stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Head,
    Body,
    End,
}

#[derive(Debug)]
enum State {
    /// In a type and length, or in the type of a stream.
    Header(Header),
    /// In a frame that is handed on as it comes, with so many bytes left.
    Data(u64),
    /// In a frame without meaning, with so many bytes left.
    Skipped(u64),
    /// In a frame that is handed on as a whole, its type and length included.
    Whole { kind: u64, frame: BytesMut, left: usize },
}

#[derive(Clone, Copy, Debug, Default)]
struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    length: usize,
}

// === impl Frames ===

impl Frames {
    /// The frames of a request stream.
    pub fn request(head_bytes_max: usize) -> Self {
        Self { place: Place::Request(Expected::Head), state: State::start(), whole_bytes_max: head_bytes_max }
    }

    /// The frames of a unidirectional stream, if it turns out to be the control stream.
    pub fn unidirectional() -> Self {
        Self { place: Place::Untyped, state: State::start(), whole_bytes_max: CONTROL_FRAME_BYTES_MAX }
    }

    /// Takes the next piece from the input. `None`: all of the input was taken, and holds no piece to its end.
    ///
    /// # Errors
    /// See [`Fault`]; nothing may be taken afterwards.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece>, Fault> {
        if self.place == Place::Opaque {
            return Ok((!input.is_empty()).then(|| Piece::Whole(std::mem::take(input))));
        }
        loop {
            match &mut self.state {
                State::Header(header) => {
                    let Some(byte) = input.first().copied() else { return Ok(None) };
                    input.advance(1);
                    header.push(byte);
                    if self.place == Place::Untyped {
                        if let Some(piece) = self.stream_type() {
                            return Ok(Some(piece));
                        }
                    } else if let Some((kind, length)) = header.frame() {
                        self.state = self.begin(kind, length)?;
                    }
                }
                // Also an empty DATA frame, which is no end of anything.
                State::Data(0) | State::Skipped(0) => self.state = State::start(),
                State::Whole { kind, frame, left: 0 } => {
                    let (kind, frame) = (*kind, std::mem::take(frame));
                    self.state = State::start();
                    return check_whole(kind, frame.freeze()).map(Some);
                }
                _ if input.is_empty() => return Ok(None),
                State::Data(left) => {
                    let payload = input.split_to(min(*left, input.len()));
                    *left -= payload.len() as u64;
                    return Ok(Some(Piece::Data(header(DATA, payload.len() as u64), payload)));
                }
                State::Skipped(left) => {
                    let taken = min(*left, input.len());
                    input.advance(taken);
                    *left -= taken as u64;
                }
                State::Whole { frame, left, .. } => {
                    let taken = input.split_to((*left).min(input.len()));
                    frame.extend_from_slice(&taken);
                    *left -= taken.len();
                }
            }
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// In the middle of a frame (RFC 9114, 7.1).
    pub fn end(&self) -> Result<(), Fault> {
        let complete = match &self.state {
            State::Header(header) => header.length == 0,
            State::Data(left) | State::Skipped(left) => *left == 0,
            State::Whole { .. } => false,
        };
        let framed = matches!(self.place, Place::Request(_) | Place::Control);
        if complete || !framed { Ok(()) } else { Err(broken(Code::H3_FRAME_ERROR, "a frame is cut off")) }
    }

    /// What a frame is, once its type and length are known.
    fn begin(&mut self, kind: u64, length: u64) -> Result<State, Fault> {
        match (self.place, kind) {
            (Place::Request(Expected::Head), HEADERS) => {
                self.place = Place::Request(Expected::Body);
                self.begin_whole(kind, length)
            }
            (Place::Request(Expected::Body), HEADERS) => {
                self.place = Place::Request(Expected::End);
                self.begin_whole(kind, length)
            }
            (Place::Request(Expected::Body), DATA) => Ok(State::Data(length)),
            (Place::Control, SETTINGS | GOAWAY | MAX_PUSH_ID | CANCEL_PUSH) => self.begin_whole(kind, length),
            (_, DATA | HEADERS | SETTINGS | GOAWAY | MAX_PUSH_ID | CANCEL_PUSH | PUSH_PROMISE) => {
                Err(broken(Code::H3_FRAME_UNEXPECTED, "a frame is out of place"))
            }
            _ if OF_HTTP2.contains(&kind) => Err(broken(Code::H3_FRAME_UNEXPECTED, "a frame of HTTP/2")),
            _ => Ok(State::Skipped(length)),
        }
    }

    fn begin_whole(&self, kind: u64, length: u64) -> Result<State, Fault> {
        let left = usize::try_from(length).ok().filter(|length| *length <= self.whole_bytes_max);
        let Some(left) = left else {
            let limit = if kind == HEADERS { "header_bytes_max" } else { "malformed_http" };
            return Err(Fault { code: Code::H3_EXCESSIVE_LOAD, what: "a frame is too long", limit });
        };
        let mut frame = BytesMut::with_capacity(HEADER_BYTES_MAX + left.min(FRAME_BYTES_EXPECTED));
        frame.extend_from_slice(&header(kind, length));
        Ok(State::Whole { kind, frame, left })
    }

    /// The type of a unidirectional stream, once it is known.
    fn stream_type(&mut self) -> Option<Piece> {
        let State::Header(header) = &self.state else { return None };
        let (kind, _) = varint(&header.bytes[..header.length])?;
        let piece = Piece::Whole(Bytes::copy_from_slice(&header.bytes[..header.length]));
        self.place = if kind == CONTROL_STREAM { Place::Control } else { Place::Opaque };
        self.state = State::start();
        Some(piece)
    }
}

/// Looks at a frame that is complete.
fn check_whole(kind: u64, frame: Bytes) -> Result<Piece, Fault> {
    // One number and nothing else: what came behind it would be read as another frame.
    if matches!(kind, GOAWAY | MAX_PUSH_ID | CANCEL_PUSH) {
        // Type and length of so short a frame take a byte each; of a longer one, the length is part of what is left.
        let payload = &frame[2..];
        if varint(payload).is_none_or(|(_, length)| length != payload.len()) {
            return Err(broken(Code::H3_FRAME_ERROR, "a frame's payload is malformed"));
        }
    }
    Ok(Piece::Whole(frame))
}

// === impl State, Header ===

impl State {
    fn start() -> Self {
        Self::Header(Header::default())
    }
}

impl Header {
    /// Two numbers are complete after this many bytes at the latest, so that there is always room.
    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Type and length of a frame, once both are there.
    fn frame(&self) -> Option<(u64, u64)> {
        let bytes = &self.bytes[..self.length];
        let (kind, taken) = varint(bytes)?;
        let (length, _) = varint(&bytes[taken..])?;
        Some((kind, length))
    }
}

/// A number (RFC 9000, 16), and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = 1 << (bytes.first()? >> 6);
    let number = bytes.get(..length)?;
    let first = u64::from(number[0] & 0x3f);
    Some((number[1..].iter().fold(first, |value, byte| value << 8 | u64::from(*byte)), length))
}

/// Type and length of a frame. The types that occur here are below 64.
fn header(kind: u64, length: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES_MAX);
    bytes.extend_from_slice(&[kind as u8]);
    match length {
        0..0x40 => bytes.extend_from_slice(&[length as u8]),
        0x40..0x4000 => bytes.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes()),
        0x4000..0x4000_0000 => bytes.extend_from_slice(&(length as u32 | 0x8000_0000).to_be_bytes()),
        _ => bytes.extend_from_slice(&(length | 0xc000_0000_0000_0000).to_be_bytes()),
    }
    bytes.freeze()
}

fn min(left: u64, length: usize) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

fn broken(code: Code, what: &'static str) -> Fault {
    Fault { code, what, limit: "malformed_http" }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
