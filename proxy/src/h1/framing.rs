//! Where an HTTP/1.1 message body ends (RFC 9112, 6 and 7): lengths, chunks and trailers. Pure state machines over
//! bytes, strict: whatever two readers could read differently is an error.

use http::{HeaderMap, HeaderName, HeaderValue};

/// A message that breaks RFC 9112.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// What is left of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// Everything until the connection ends.
    UntilClose,
}

/// Where in a chunked body the reader stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In a size of so many digits.
    Size { size: u64, digits: u8 },
    /// In a chunk's extension, which is skipped.
    Extension { size: u64, skipped: u16 },
    /// Before the line feed of a size.
    SizeLf(u64),
    /// In data.
    Data(u64),
    /// Before the carriage return after data.
    DataCr,
    /// Before the line feed after data.
    DataLf,
    /// In the trailer section, read so far.
    Trailers(Vec<u8>),
    /// At the end.
    Done,
}

/// One piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// The first so many bytes of the input are data.
    Data(usize),
    /// The first so many bytes were framing.
    Skip(usize),
    /// The trailers, and the end, after so many bytes.
    Trailers(usize, HeaderMap),
}

/// Bytes of chunk extensions that are skipped per chunk.
const EXTENSION_BYTES_MAX: u16 = 1024;
/// Bytes of a trailer section.
const TRAILER_BYTES_MAX: usize = 16 << 10;
/// Fields of a trailer section.
const TRAILERS_MAX: usize = 64;

impl Framing {
    /// The start of a chunked body.
    pub fn chunked() -> Self {
        Self::Chunked(Chunk::Size { size: 0, digits: 0 })
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// Takes the next piece from the input, which must not be empty.
    pub fn next(&mut self, input: &[u8]) -> Result<Piece, Malformed> {
        match self {
            Self::UntilClose => Ok(Piece::Data(input.len())),
            Self::Length(left) => {
                let taken = (*left).min(input.len() as u64);
                *left -= taken;
                Ok(Piece::Data(taken as usize))
            }
            Self::Chunked(Chunk::Data(left)) => {
                let (taken, all) = ((*left).min(input.len() as u64), *left);
                *self = Self::Chunked(if taken == all { Chunk::DataCr } else { Chunk::Data(all - taken) });
                Ok(Piece::Data(taken as usize))
            }
            Self::Chunked(chunk) => chunk.skip(input),
        }
    }
}

impl Chunk {
    /// Reads framing until data begins, the body ends or the input does.
    fn skip(&mut self, input: &[u8]) -> Result<Piece, Malformed> {
        for (at, byte) in input.iter().enumerate() {
            if let Self::Trailers(read) = self {
                read.push(*byte);
                if read.ends_with(b"\r\n\r\n") || read.as_slice() == b"\r\n" {
                    let trailers = parse_trailers(read)?;
                    *self = Self::Done;
                    return Ok(Piece::Trailers(at + 1, trailers));
                }
                if read.len() > TRAILER_BYTES_MAX {
                    return Err(Malformed("the trailer section is too long"));
                }
                continue;
            }
            let next = self.step(*byte)?;
            *self = next;
            if matches!(self, Self::Data(_)) {
                return Ok(Piece::Skip(at + 1));
            }
        }
        Ok(Piece::Skip(input.len()))
    }

    fn step(&self, byte: u8) -> Result<Self, Malformed> {
        match (self, byte) {
            (Self::Size { digits: 15.., .. }, _) => Err(Malformed("a chunk's size is too long")),
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                Ok(Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 })
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Ok(Self::SizeLf(*size)),
            (Self::Size { size, digits: 1.. }, b';' | b' ' | b'\t') => Ok(Self::Extension { size: *size, skipped: 0 }),
            (Self::Size { .. }, _) => Err(Malformed("a chunk's size is not hexadecimal")),
            (Self::Extension { size, .. }, b'\r') => Ok(Self::SizeLf(*size)),
            (Self::Extension { .. }, b'\n') => Err(Malformed("a bare line feed in a chunk's extension")),
            (Self::Extension { skipped: EXTENSION_BYTES_MAX, .. }, _) => {
                Err(Malformed("a chunk's extension is too long"))
            }
            (Self::Extension { size, skipped }, _) => Ok(Self::Extension { size: *size, skipped: skipped + 1 }),
            (Self::SizeLf(0), b'\n') => Ok(Self::Trailers(Vec::new())),
            (Self::SizeLf(size), b'\n') => Ok(Self::Data(*size)),
            (Self::DataCr, b'\r') => Ok(Self::DataLf),
            (Self::DataLf, b'\n') => Ok(Self::Size { size: 0, digits: 0 }),
            _ => Err(Malformed("a chunk does not end where its size says")),
        }
    }
}

fn parse_trailers(section: &[u8]) -> Result<HeaderMap, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    let parsed = httparse::parse_headers(section, &mut fields);
    let Ok(httparse::Status::Complete((_, fields))) = parsed else { return Err(Malformed("bad trailers")) };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed("bad trailers"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed("bad trailers"))?;
        trailers.append(name, value);
    }
    crate::http::headers::sanitise_trailers(&mut trailers);
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a whole chunked body that arrives in pieces of the given size.
    fn read(body: &[u8], step: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), Malformed> {
        let (mut framing, mut data, mut trailers, mut at) = (Framing::chunked(), Vec::new(), None, 0);
        while at < body.len() && !framing.is_done() {
            let input = &body[at..(at + step).min(body.len())];
            at += match framing.next(input)? {
                Piece::Data(n) => {
                    data.extend_from_slice(&input[..n]);
                    n
                }
                Piece::Skip(n) => n,
                Piece::Trailers(n, fields) => {
                    trailers = Some(fields);
                    n
                }
            };
        }
        Ok((data, trailers, at))
    }

    #[test]
    fn chunks_and_trailers_are_read_whatever_the_pieces() {
        let body = b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 7\r\ncontent-length: 3\r\n\r\nREST";
        for step in 1..body.len() {
            let (data, trailers, used) = read(body, step).unwrap();
            assert_eq!((data.as_slice(), used), (&b"hello!"[..], body.len() - 4), "step {step}");
            let trailers = trailers.unwrap();
            assert_eq!((trailers.len(), trailers["x-sum"].as_bytes()), (1, &b"7"[..]));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for body in [
            "\r\n",
            "g\r\n",
            "5\nhello\r\n",
            "5\r\nhelloX",
            "5\r\nhello\rX",
            "-1\r\n",
            " 5\r\n",
            "5;a\nb\r\n",
            "1234567890abcdef0\r\n",
        ] {
            assert!(read(body.as_bytes(), 3).is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200), step in 1usize..9) {
            let _ = read(&body, step);
        }
    }
}
