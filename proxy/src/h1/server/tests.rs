//! Heads of requests: what is read, what is refused, and why.

use super::head::{AnswerFraming, Client, Progress, RequestHead, framing_of, read_request, write_response};
use crate::{
    error::{ErrorKind, RequestError},
    h1::{Framing, Inbox},
    limits::Limits,
};
use bytes::BytesMut;
use http::{Method, Response, StatusCode, Version};
use proptest::prelude::*;

fn read_within(text: &[u8], limits: &Limits) -> Result<Option<RequestHead>, RequestError> {
    read_request(&mut Inbox::new(BytesMut::from(text)), &mut Progress::default(), limits)
}

fn read(text: &str) -> Result<Option<RequestHead>, RequestError> {
    read_within(text.as_bytes(), &Limits::default())
}

fn whole(text: &str) -> RequestHead {
    read(text).unwrap().expect("the head is whole")
}

#[test]
fn a_head_is_read_with_its_framing() {
    let head = whole("POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((head.parts.method, head.parts.version), (Method::POST, Version::HTTP_11));
    assert_eq!((head.parts.uri.path(), head.parts.uri.query()), ("/a", Some("b")));
    assert_eq!(head.framing, Some(Framing::Length(3)));
    assert!(head.client.persistent && !head.client.expects_continue);
    assert_eq!(whole("POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n").framing, Some(Framing::chunked()));
    assert_eq!(whole("POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n").framing, None);
}

#[test]
fn versions_and_connection_decide_whether_it_goes_on() {
    for (text, persistent) in [
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nconnection: x, Close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nconnection: Keep-Alive\r\n\r\n", true),
    ] {
        assert_eq!(whole(text).client.persistent, persistent, "{text:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for text in [
        "POST / HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 3, 3\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: +3\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: identity\r\n\r\n",
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET /a#b HTTP/1.1\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
    ] {
        assert_eq!(read(text).err().map(|error| error.kind), Some(ErrorKind::BadRequest), "{text:?}");
    }
}

#[test]
fn each_limit_of_a_head_has_its_own_answer() {
    let limits = Limits { header_bytes_max: 2048, uri_bytes_max: 128, headers_max: 3, ..Limits::default() };
    let refused = |text: String| read_within(text.as_bytes(), &limits).err().map(|error| error.kind);
    let field = |length: usize| format!("GET / HTTP/1.1\r\na: {}", "x".repeat(length));
    assert_eq!(refused(field(1000)), None);
    assert_eq!(refused(field(3000)), Some(ErrorKind::HeadersTooLarge));
    assert_eq!(refused(field(3000) + "\r\n\r\n"), Some(ErrorKind::HeadersTooLarge));
    assert_eq!(refused(format!("GET /{}", "x".repeat(1500))), Some(ErrorKind::UriTooLong));
    assert_eq!(refused("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n".into()), None);
    assert_eq!(
        refused("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n".into()),
        Some(ErrorKind::TooManyHeaders)
    );
    let many = Limits { headers_max: 1000, ..Limits::default() };
    let fields: String = (0..500).map(|n| format!("x-{n}: {n}\r\n")).collect();
    let head = read_within(format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes(), &many).unwrap().unwrap();
    assert_eq!(head.parts.headers.len(), 500);
}

#[test]
fn an_answer_is_framed_as_its_client_can_read_it() {
    let client = |knows_chunks, head_only| Client {
        knows_chunks,
        takes_trailers: false,
        expects_continue: false,
        persistent: true,
        head_only,
    };
    let with = |status: u16, length: Option<&str>| {
        let mut response = Response::builder().status(status);
        if let Some(length) = length {
            response = response.header("content-length", length);
        }
        response.body(()).unwrap()
    };
    let framing = |status, length, exact, client| framing_of(&with(status, length), exact, client);
    let new = client(true, false);
    assert_eq!(framing(200, None, Some(3), new), AnswerFraming::Length(3));
    assert_eq!(framing(200, Some("9"), None, new), AnswerFraming::Length(9));
    assert_eq!(framing(200, None, None, new), AnswerFraming::Chunked);
    assert_eq!(framing(200, None, None, client(false, false)), AnswerFraming::UntilClose);
    assert_eq!(framing(200, Some("9"), Some(0), client(true, true)), AnswerFraming::Nothing);
    assert_eq!(framing(204, None, Some(0), new), AnswerFraming::Nothing);
    assert_eq!(framing(304, Some("9"), Some(0), new), AnswerFraming::Nothing);
    let written = |response: &Response<()>, framing, client, persistent| {
        let mut out = Vec::new();
        write_response(&mut out, response, framing, client, persistent);
        String::from_utf8(out).unwrap()
    };
    let text = written(&with(200, Some("9")), AnswerFraming::Nothing, client(true, true), true);
    assert!(
        text.starts_with("HTTP/1.1 200 OK\r\ncontent-length: 9\r\ndate: ") && text.ends_with("GMT\r\n\r\n"),
        "{text}"
    );
    let text = written(&with(204, Some("9")), AnswerFraming::Nothing, new, true);
    assert!(!text.contains("content-length"), "{text}");
    let text = written(&with(200, None), AnswerFraming::Length(3), client(false, false), true);
    assert!(text.starts_with("HTTP/1.0 200") && text.contains("connection: keep-alive\r\n"), "{text}");
    assert_eq!(StatusCode::from_u16(599).unwrap().canonical_reason(), None);
    assert!(written(&with(599, None), AnswerFraming::Length(0), new, false).starts_with("HTTP/1.1 599 \r\n"));
}

proptest! {
    #[test]
    fn a_head_in_pieces_is_read_like_one_at_once(
        names in proptest::collection::vec("[a-z]{1,12}", 0..6),
        values in proptest::collection::vec("[ -~]{0,40}", 6),
        step in 1usize..40,
    ) {
        let fields: String = names.iter().zip(&values).map(|(name, value)| format!("x-{name}: {value}\r\n")).collect();
        let text = format!("GET /a HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        let expected = whole(&text).parts.headers;
        let (mut so_far, mut progress) = (BytesMut::new(), Progress::default());
        let mut got = None;
        for piece in text.as_bytes().chunks(step) {
            so_far.extend_from_slice(piece);
            let mut inbox = Inbox::new(so_far.clone());
            if let Some(head) = read_request(&mut inbox, &mut progress, &Limits::default()).unwrap() {
                got = Some(head.parts.headers);
                prop_assert!(so_far.len() == text.len());
            }
        }
        prop_assert_eq!(got, Some(expected));
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_within(&bytes, &Limits::default());
        let _ = read_within(&[b"POST / HTTP/1.1\r\n".as_slice(), &bytes].concat(), &Limits::default());
    }
}
