//! The gRPC dialogue against bytes that are written out by hand, so that a wrong tag on both sides does not go unseen.

use super::*;
use crate::{http::auth::seen::testing::post, tls::CertificateNames};
use proptest::prelude::*;
use std::fmt::Write;

/// A field of the wire format whose content has a length.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).ok().filter(|length| *length < 128).expect("short fields only");
    [&[tag << 3 | 2, length], content].concat()
}

/// A small number.
fn number(tag: u8, value: u8) -> Vec<u8> {
    vec![tag << 3, value]
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message].concat()
}

fn option(key: &str, value: &str, rest: &[u8]) -> Vec<u8> {
    [field(1, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat()), rest.to_vec()].concat()
}

fn answered(body: impl Into<Bytes>, headers: &[(&'static str, &'static str)], trailers: &[&'static str]) -> Answered {
    let mut response = Response::new(());
    for (name, value) in headers {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    let status = trailers.iter().map(|status| (HeaderName::from_static("grpc-status"), status.parse().unwrap()));
    Answered { response, body: body.into(), trailers: status.collect() }
}

const GRPC: [(&str, &str); 1] = [("content-type", "application/grpc+proto")];

fn decided(message: &[u8]) -> Result<Decision, Unusable> {
    decision(&answered(frame(message), &GRPC, &["0"]))
}

/// The contents of the fields of one tag; numbers as their text.
fn fields(mut message: &[u8], wanted: u64) -> Vec<Vec<u8>> {
    fn varint(message: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 128 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let content = match key & 7 {
            0 => varint(&mut message).to_string().into_bytes(),
            2 => {
                let length = varint(&mut message) as usize;
                let (content, rest) = message.split_at(length);
                message = rest;
                content.to_vec()
            }
            other => panic!("wire type {other}"),
        };
        if key >> 3 == wanted {
            found.push(content);
        }
    }
    found
}

/// The one field at the end of a path of tags.
fn at(message: &[u8], path: &[u64]) -> String {
    let last = path.iter().fold(message.to_vec(), |message, tag| fields(&message, *tag).swap_remove(0));
    String::from_utf8(last).unwrap()
}

fn client(certificate: Option<&ClientCertificate>) -> Client<'_> {
    Client {
        peer: "192.0.2.7:40000".parse().unwrap(),
        local: "[::ffff:192.0.2.1]:8443".parse().unwrap(),
        scheme: "https",
        certificate,
        time: UNIX_EPOCH + Duration::new(7, 9),
    }
}

fn asked(body: &'static [u8], size: Option<u64>, allowed: &[HeaderName]) -> Vec<u8> {
    let head = post();
    let seen = Seen::new(&head, Bytes::from_static(body), size);
    let framed = message(&seen, &client(None), allowed);
    let length = u32::from_be_bytes(framed[1..5].try_into().unwrap()) as usize;
    assert_eq!((framed[0], length), (0, framed.len() - 5));
    framed[5..].to_vec()
}

/// The headers of a question as `name=value`, sorted.
fn headers_of(message: &[u8]) -> Vec<String> {
    let http = [1, 4, 2].iter().fold(message.to_vec(), |message, tag| fields(&message, *tag).swap_remove(0));
    let mut headers: Vec<String> =
        fields(&http, 3).iter().map(|entry| format!("{}={}", at(entry, &[1]), at(entry, &[2]))).collect();
    headers.sort();
    headers
}

#[test]
fn the_question_has_its_attributes_at_the_published_tags() {
    let message = asked(b"hello", Some(900), &[]);
    let http = |tag| at(&message, &[1, 4, 2, tag]);
    assert_eq!((http(2), http(4), http(5)), ("POST".into(), "/a/b?c=d".into(), "shop.example".into()));
    assert_eq!(
        (http(6), http(9), http(10), http(11)),
        ("https".into(), "900".into(), "HTTP/1.1".into(), "hello".into())
    );
    let peer = |side, tag| at(&message, &[1, side, 1, 1, tag]);
    assert_eq!((peer(1, 2), peer(1, 3)), ("192.0.2.7".into(), "40000".into()));
    assert_eq!((peer(2, 2), peer(2, 3)), ("192.0.2.1".into(), "8443".into()));
    assert_eq!((at(&message, &[1, 4, 1, 1]), at(&message, &[1, 4, 1, 2])), ("7".into(), "9".into()));
}

#[test]
fn all_headers_are_shown_where_none_is_named() {
    let headers = headers_of(&asked(b"", None, &[]));
    for want in [
        ":authority=shop.example",
        ":method=POST",
        ":path=/a/b?c=d",
        "authorization=Bearer x",
        "cookie=a=1; b=2",
        "x-a=1,2",
        "x-forwarded-for=192.0.2.7",
    ] {
        assert!(headers.iter().any(|header| header == want), "{want} of {headers:?}");
    }
}

#[test]
fn only_the_named_headers_are_shown() {
    let allowed = [HeaderName::from_static("x-a"), header::AUTHORIZATION];
    assert_eq!(headers_of(&asked(b"", None, &allowed)), ["authorization=Bearer x", "x-a=1,2"]);
}

#[test]
fn a_body_that_is_no_text_is_sent_as_bytes_and_an_unknown_size_as_minus_one() {
    let message = asked(b"\xff\x00", None, &[]);
    let http = [1, 4, 2].iter().fold(message.clone(), |message, tag| fields(&message, *tag).swap_remove(0));
    assert_eq!((fields(&http, 11).len(), fields(&http, 12)), (0, vec![b"\xff\x00".to_vec()]));
    assert_eq!(at(&http, &[9]), u64::MAX.to_string());
}

#[test]
fn only_a_certificate_that_proves_something_names_a_principal() {
    let certificate = |uri: &[&str], dns: &[&str], verified| ClientCertificate {
        subject: "CN=x".into(),
        names: CertificateNames {
            uri: uri.iter().map(|name| (*name).into()).collect(),
            dns: dns.iter().map(|name| (*name).into()).collect(),
            ip: Box::new([]),
        },
        fingerprint: [0; 32],
        verified,
    };
    assert_eq!(principal(&certificate(&["spiffe://a/b"], &["a.example"], true)), "spiffe://a/b");
    assert_eq!(principal(&certificate(&[], &["a.example"], true)), "a.example");
    assert_eq!(principal(&certificate(&[], &[], true)), "CN=x");
    assert_eq!(principal(&certificate(&["spiffe://a/b"], &[], false)), "");
}

#[test]
fn the_call_is_a_grpc_call_with_a_deadline() {
    let question = question("auth.security:9001", Duration::from_secs(5)).unwrap();
    assert_eq!((question.method, question.uri.path()), (Method::POST, "/envoy.service.auth.v3.Authorization/Check"));
    let mut headers = String::new();
    for name in ["host", "content-type", "te", "grpc-timeout"] {
        write!(headers, "{} ", question.headers[name].to_str().unwrap()).unwrap();
    }
    assert_eq!(headers, "auth.security:9001 application/grpc trailers 5000m ");
    assert!(super::question("a\nb", Duration::ZERO).is_err());
}

#[test]
fn ok_allows_and_changes_the_request_and_the_response() {
    let ok = [
        field(2, &option("x-user", "ann", &[])),
        field(2, &option("x-a", "3", &field(2, &number(1, 1)))),
        field(5, b"authorization"),
        field(5, b":path"),
        field(5, b"Host"),
        field(6, &option("x-seen", "yes", &[])),
        field(7, &[field(1, b"c"), field(2, b"e")].concat()),
        field(8, b"gone"),
    ];
    let Ok(Decision::Allowed(effects)) = decided(&[field(1, &[]), field(3, &ok.concat())].concat()) else {
        panic!("not allowed");
    };
    let mut head = post();
    effects.request.apply(&mut head.headers);
    effects.query.apply(&mut head).unwrap();
    assert!(head.headers["x-user"] == "ann" && head.headers["host"] == "shop.example");
    assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2", "3"]);
    assert!(!head.headers.contains_key("authorization") && head.uri == "/a/b?c=e");
    let mut response = HeaderMap::new();
    effects.response.apply(&mut response);
    assert_eq!(response["x-seen"], "yes");
}

#[test]
fn a_bare_ok_allows_and_changes_nothing() {
    let Ok(Decision::Allowed(effects)) = decided(&field(1, &[])) else { panic!("not allowed") };
    assert!(effects.request.is_empty() && effects.response.is_empty() && effects.query == QueryChanges::default());
}

#[test]
fn denials_carry_status_headers_and_body() {
    let denied = [
        field(1, &[1 << 3, 0x91, 0x03]),
        field(2, &option("www-authenticate", "Basic", &[])),
        field(2, &option("content-length", "99", &[])),
        field(3, b"who are you?"),
    ];
    let message = [field(1, &number(1, 16)), field(2, &denied.concat())].concat();
    let Ok(Decision::Denied { response, body }) = decided(&message) else { panic!("not denied") };
    assert_eq!((response.status().as_u16(), &body[..]), (401, &b"who are you?"[..]));
    assert!(response.headers().len() == 1 && response.headers()["www-authenticate"] == "Basic");
}

#[test]
fn every_doubt_denies() {
    let forbidden = |message: &[u8]| match decided(message) {
        Ok(Decision::Denied { response, .. }) => response.status() == StatusCode::FORBIDDEN,
        _ => false,
    };
    assert!(forbidden(&field(1, &number(1, 7))), "no OK and no response");
    assert!(forbidden(&[field(1, &number(1, 7)), field(3, &[])].concat()), "no OK, though with an OK response");
    assert!(forbidden(&[field(1, &[]), field(2, &[])].concat()), "OK, though with a denial");
    assert!(forbidden(&[field(1, &number(1, 7)), field(2, &field(1, &number(1, 100)))].concat()), "status 100");
    assert_eq!(decided(&[]).map(|_| ()), Err(Unusable::Undecided));
    let bad = field(3, &field(2, &option(":path", "/admin", &[])));
    assert_eq!(decided(&[field(1, &[]), bad].concat()).map(|_| ()), Err(Unusable::Header));
}

#[test]
fn more_changes_than_the_limit_are_refused() {
    let changes = vec!["x".to_owned(); CHANGES_MAX + 1];
    let ok = OkHttpResponse { headers_to_remove: changes, ..Default::default() };
    assert_eq!(effects(ok).map(|_| ()), Err(Unusable::TooManyChanges));
    let denied = DeniedHttpResponse { headers: vec![Default::default(); CHANGES_MAX + 1], ..Default::default() };
    assert_eq!(refusal(denied).map(|_| ()), Err(Unusable::TooManyChanges));
}

#[test]
fn the_grpc_status_is_in_trailers_or_headers_and_must_be_zero() {
    let ok = frame(&field(1, &[]));
    let refused = |answer: Answered| decision(&answer).map(|_| ()).unwrap_err();
    let in_headers = [GRPC[0], ("grpc-status", "7")];
    assert_eq!(refused(answered("", &in_headers, &[])), Unusable::GrpcStatus(7));
    assert_eq!(refused(answered(ok.clone(), &GRPC, &["14"])), Unusable::GrpcStatus(14));
    assert_eq!(refused(answered(ok.clone(), &GRPC, &[])), Unusable::NoGrpcStatus);
    assert_eq!(refused(answered(ok.clone(), &[("content-type", "text/html")], &["0"])), Unusable::NotGrpc);
    let mut unavailable = answered(ok, &GRPC, &["0"]);
    *unavailable.response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(refused(unavailable), Unusable::Status(503));
}

#[test]
fn one_whole_uncompressed_message_is_taken_and_nothing_else() {
    let refused = |body: &'static [u8]| decision(&answered(body, &GRPC, &["0"])).map(|_| ()).unwrap_err();
    assert_eq!(refused(b""), Unusable::Framing);
    assert_eq!(refused(b"\0\0\0\0"), Unusable::Framing);
    assert_eq!(refused(b"\0\0\0\0\x03\x0a\0"), Unusable::Framing);
    assert_eq!(refused(b"\0\0\0\0\x02\x0a\0\0\0\0\0\x02\x0a\0"), Unusable::Framing);
    assert_eq!(refused(b"\x01\0\0\0\x02\x0a\0"), Unusable::Compressed);
    assert_eq!(refused(b"\x02\0\0\0\x02\x0a\0"), Unusable::Framing);
    assert_eq!(refused(b"\0\0\0\0\x02\x0a\x09"), Unusable::Message);
}

proptest! {
    #[test]
    fn random_answers_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decision(&answered(bytes, &GRPC, &["0"]));
    }

    #[test]
    fn random_messages_never_panic_and_what_they_do_can_be_done(
        status in proptest::option::of(0u8..20),
        tag in 2u8..4,
        content in proptest::collection::vec((1u8..9, proptest::collection::vec(any::<u8>(), 0..8)), 0..8),
    ) {
        let content: Vec<u8> = content.iter().flat_map(|(tag, bytes)| field(*tag, bytes)).collect();
        let status = status.map(|code| field(1, &number(1, code))).unwrap_or_default();
        match decided(&[status.clone(), field(tag, &content)].concat()) {
            Ok(Decision::Allowed(effects)) => {
                prop_assert!(tag == 3 && (status.is_empty() || status[3] == 0));
                let mut head = post();
                effects.request.apply(&mut head.headers);
                prop_assert!(effects.query.apply(&mut head).is_some());
            }
            Ok(Decision::Denied { response, .. }) => prop_assert!(response.status().as_u16() >= 200),
            Err(_) => {}
        }
    }
}
