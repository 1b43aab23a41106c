//! What is answered to which request, made once. It knows no sockets.

use std::borrow::Cow;

/// Size of the large answer's body.
const LARGE_BYTES: usize = 1024 * 1024;

/// The answers, ready to be written as they are.
pub struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
}

// === impl Answers ===

impl Answers {
    /// The answers; `body` is that of the small one.
    pub fn new(body: &str) -> Self {
        let large = vec![b'x'; LARGE_BYTES];
        Self { small: answer("text/plain", "", body.as_bytes()), large: answer("application/octet-stream", "", &large) }
    }

    /// The answer to a request with this head: `/1m` is 1 MiB, `/echo` the head itself with the number of the
    /// connection that it came by, everything else the small one.
    pub fn of(&self, head: &[u8], connection: u64) -> Cow<'_, [u8]> {
        if head.starts_with(b"GET /1m ") {
            Cow::Borrowed(&self.large)
        } else if head.starts_with(b"GET /echo ") {
            Cow::Owned(answer("text/plain", &format!("X-Connection: {connection}\r\n"), head))
        } else {
            Cow::Borrowed(&self.small)
        }
    }
}

fn answer(content_type: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{headers}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_chooses_the_answer() {
        let answers = Answers::new("hi");
        assert!(answers.of(b"GET / HTTP/1.1\r\n\r\n", 1).ends_with(b"Content-Length: 2\r\n\r\nhi"));
        assert!(answers.of(b"GET /1m HTTP/1.1\r\n\r\n", 1).len() > LARGE_BYTES);
        let echo = answers.of(b"GET /echo HTTP/1.1\r\nA: b\r\n\r\n", 7).into_owned();
        let echo = String::from_utf8(echo).unwrap();
        assert!(echo.contains("X-Connection: 7\r\n") && echo.contains("A: b\r\n"), "{echo}");
    }
}
