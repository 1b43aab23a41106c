//! One connection: finds the heads in what arrives, writes the answers in order. It never looks at a body.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use crate::answers::Answers;

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";
/// A head longer than this ends its connection.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What an event says of a connection's incoming side.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// Nothing new.
    Nothing,
    /// There are bytes to read.
    Bytes,
    /// There may be bytes, and then the end.
    End,
}

/// A client's connection.
pub struct Connection {
    stream: TcpStream,
    number: u64,
    /// The beginning of a head whose end has not arrived.
    partial: Vec<u8>,
    /// Heads that arrived and wait for the answers before theirs, with what was written of the first one's.
    waiting: VecDeque<Vec<u8>>,
    written: usize,
}

// === impl Connection ===

impl Connection {
    /// A connection; `number` tells it from all others.
    pub fn new(stream: TcpStream, number: u64) -> Self {
        Self { stream, number, partial: Vec::new(), waiting: VecDeque::new(), written: 0 }
    }

    /// Reads and writes as far as the socket allows.
    ///
    /// # Errors
    /// The connection is over.
    pub fn ready(&mut self, arrived: Arrived, buffer: &mut [u8], answers: &Answers) -> io::Result<()> {
        self.flush(answers)?;
        if arrived == Arrived::Nothing {
            return Ok(());
        }
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.take(&buffer[..read], answers)?;
            // A short read says that the socket is empty, which saves asking it, unless the end is yet to be read.
            if read < buffer.len() && arrived == Arrived::Bytes {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], answers: &Answers) -> io::Result<()> {
        if self.partial.is_empty() {
            let rest = self.answer_heads(bytes, answers)?;
            self.partial.extend_from_slice(rest);
        } else {
            let mut all = std::mem::take(&mut self.partial);
            all.extend_from_slice(bytes);
            let rest = self.answer_heads(&all, answers)?;
            self.partial.extend_from_slice(rest);
        }
        if self.partial.len() > HEAD_BYTES_MAX { Err(ErrorKind::InvalidData.into()) } else { Ok(()) }
    }

    fn answer_heads<'a>(&mut self, mut bytes: &'a [u8], answers: &Answers) -> io::Result<&'a [u8]> {
        while let Some(end) = bytes.windows(END.len()).position(|window| window == END) {
            let (head, rest) = bytes.split_at(end + END.len());
            bytes = rest;
            if !self.waiting.is_empty() {
                self.waiting.push_back(head.to_vec());
                continue;
            }
            self.written = 0;
            if !self.write(&answers.of(head, self.number))? {
                self.waiting.push_back(head.to_vec());
            }
        }
        Ok(bytes)
    }

    fn flush(&mut self, answers: &Answers) -> io::Result<()> {
        while let Some(head) = self.waiting.front() {
            let answer = answers.of(head, self.number);
            if !self.write(&answer)? {
                return Ok(());
            }
            self.waiting.pop_front();
            self.written = 0;
        }
        Ok(())
    }

    /// Writes on from what is written; true once all of it is.
    fn write(&mut self, answer: &[u8]) -> io::Result<bool> {
        while self.written < answer.len() {
            match self.stream.write(&answer[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn pair() -> (TcpStream, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        server.set_nonblocking(true).unwrap();
        (client, Connection::new(server, 1))
    }

    #[test]
    fn bytes_and_the_end_in_one_event_are_both_taken() {
        let (mut client, mut connection) = pair();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let answers = Answers::new("ok");
        let mut buffer = [0; 1024];
        connection.stream.set_nonblocking(false).unwrap(); // So that the test waits for the end to arrive.
        let over = connection.ready(Arrived::End, &mut buffer, &answers).unwrap_err();
        assert_eq!(over.kind(), ErrorKind::UnexpectedEof);
        drop(connection);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer.ends_with(b"ok"));
    }

    #[test]
    fn a_head_in_pieces_is_answered_once_and_pipelined_heads_in_order() {
        let (mut client, mut connection) = pair();
        let answers = Answers::new("ok");
        for piece in [&b"GET / HT"[..], b"TP/1.1\r\n\r", b"\nGET /1m HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
            connection.take(piece, &answers).unwrap();
        }
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        });
        while !connection.waiting.is_empty() {
            connection.flush(&answers).unwrap();
            std::thread::yield_now();
        }
        drop(connection);
        let head = b"GET / HTTP/1.1\r\n\r\n";
        let mut want = answers.of(head, 1).into_owned();
        want.extend_from_slice(&answers.of(b"GET /1m HTTP/1.1\r\n\r\n", 1));
        want.extend_from_slice(&answers.of(head, 1));
        assert!(reader.join().unwrap() == want, "answers differ in content or order");
    }
}
