//! Clients that break the protocol, on purpose or not. The port outlives all of them.

use super::support::{Site, close_code, run};
use crate::{Limits, rng::Rng};
use bytes::Bytes;
use h3::error::Code;
use http::{Request, StatusCode};
use std::time::Duration;

/// The head of a POST to `a.example`, by the static table of QPACK alone.
fn post() -> Vec<u8> {
    let fields = [&b"\x00\x00\xd4\xd7\xc1\x50\x09"[..], b"a.example"].concat();
    [&[0x01, fields.len() as u8][..], &fields].concat()
}

/// Opens a connection whose control stream is in order.
async fn connect(site: &Site) -> (quinn::Connection, quinn::SendStream) {
    let connection = site.quic("a.example").await.unwrap();
    let mut control = connection.open_uni().await.unwrap();
    control.write_all(b"\x00\x04\x00").await.unwrap();
    (connection, control)
}

/// Sends bytes on a request stream, ends it, and gives the code with which the connection is closed.
async fn close_after(site: &Site, bytes: &[u8]) -> Option<u64> {
    let (connection, _control) = connect(site).await;
    let (mut send, _receive) = connection.open_bi().await.unwrap();
    // The server may have closed the connection by then.
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let closed = tokio::time::timeout(Duration::from_secs(10), connection.closed()).await;
    closed.ok().and_then(|error| close_code(&error))
}

async fn assert_serves(site: &Site) {
    let mut client = site.client("a.example").await;
    assert_eq!(client.get("https://a.example/old").await.0.status(), StatusCode::FOUND);
}

#[test]
fn a_body_that_is_cut_off_within_a_frame_closes_the_connection() {
    run(async {
        let site = Site::start(Limits::default()).await;
        for rest in [&b"\x00\x0a"[..], b"\x00\x0ahello", b"\x00", b"\x01\x05tra"] {
            let code = close_after(&site, &[&post(), rest].concat()).await;
            assert_eq!(code, Some(Code::H3_FRAME_ERROR.value()), "{rest:?}");
        }
        assert_serves(&site).await;
    });
}

#[test]
fn frames_without_end_and_out_of_place_close_the_connection() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let excessive = Some(Code::H3_EXCESSIVE_LOAD.value());
        assert_eq!(close_after(&site, b"\x01\xc0\x00\x00\xff\xff\xff\xff\xff").await, excessive);
        assert_eq!(site.limit("header_bytes_max"), 1.0);
        let unexpected = Some(Code::H3_FRAME_UNEXPECTED.value());
        for stream in [&b"\x00\x01a"[..], b"\x04\x00", b"\x06\x00"] {
            assert_eq!(close_after(&site, stream).await, unexpected, "{stream:?}");
        }
        let garbled = [&post()[..], b"\x01\x03\x00\x00\xff"].concat();
        assert_eq!(close_after(&site, &garbled).await, Some(Code::QPACK_DECOMPRESSION_FAILED.value()));
        assert_serves(&site).await;
    });
}

#[test]
fn a_head_that_decodes_to_too_much_is_answered_with_431() {
    run(async {
        let site = Site::start(Limits { header_bytes_max: 1024, ..Limits::default() }).await;
        let (connection, _control) = connect(&site).await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // Each field is one byte here and over 32 where it is decoded.
        let fields = [&b"\x00\x00"[..], &[0xd4; 63]].concat();
        send.write_all(&[&[0x01, 0x40, fields.len() as u8][..], &fields].concat()).await.unwrap();
        send.finish().unwrap();
        let answer = receive.read_to_end(1000).await.unwrap();
        // "431" in the Huffman code of RFC 7541.
        assert!(contains(&answer, b"\x69\x90\xff"), "{answer:?}");
        while site.limit("header_bytes_max") < 1.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_serves(&site).await;
    });
}

#[test]
fn an_empty_piece_is_no_end_of_a_body() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let (connection, _control) = connect(&site).await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&[&post()[..], b"\x00\x02he\x00\x00\x21\x01x\x00\x03llo"].concat()).await.unwrap();
        send.finish().unwrap();
        let answer = receive.read_to_end(10_000).await.unwrap();
        assert!(contains(&answer, b"hello"), "{answer:?}");
    });
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_client_that_gives_up_request_after_request_is_sent_away() {
    run(async {
        let limits = Limits { h2_streams_max: 8, h2_pending_resets_max: 16, ..Limits::default() };
        let site = Site::start(limits).await;
        let (connection, _control) = connect(&site).await;
        let give_up = async {
            loop {
                let Ok((mut send, mut receive)) = connection.open_bi().await else { return };
                let _ = send.write_all(&post()).await;
                tokio::task::yield_now().await;
                let cancelled = (Code::H3_REQUEST_CANCELLED.value() as u32).into();
                let _ = (send.reset(cancelled), receive.stop(cancelled));
            }
        };
        give_up.await;
        let code = close_code(&connection.closed().await);
        assert_eq!(code, Some(Code::H3_EXCESSIVE_LOAD.value()));
        assert_eq!(site.limit("h2_pending_resets_max"), 1.0);
        assert_serves(&site).await;
    });
}

#[test]
fn a_head_that_never_comes_is_waited_for_no_longer_than_its_limit() {
    run(async {
        let site = Site::start(Limits { header_timeout: Duration::from_secs(2), ..Limits::default() }).await;
        let (connection, _control) = connect(&site).await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&post()[..5]).await.unwrap();
        let error = receive.read_to_end(1000).await.unwrap_err();
        let reset = quinn::ReadError::Reset((Code::H3_REQUEST_CANCELLED.value() as u32).into());
        assert_eq!(error, quinn::ReadToEndError::Read(reset));
        assert_eq!(site.limit("header_timeout"), 1.0);
    });
}

#[test]
fn an_answer_that_nobody_takes_is_given_up() {
    run(async {
        let site = Site::start(Limits { stream_idle_timeout: Duration::from_millis(300), ..Limits::default() }).await;
        let mut transport = quinn::TransportConfig::default();
        transport.stream_receive_window(1000u32.into());
        let connection = site.quic_with("a.example", transport).await.unwrap();
        let mut control = connection.open_uni().await.unwrap();
        control.write_all(b"\x00\x04\x00").await.unwrap();
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        // Longer than what the client takes, and shorter than what the server keeps for it.
        let body = [b'x'; 3000];
        send.write_all(&[&post()[..], b"\x00\x4b\xb8", &body].concat()).await.unwrap();
        send.finish().unwrap();
        while site.limit("stream_idle_timeout") < 1.0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let error = receive.read_to_end(10_000).await.unwrap_err();
        let reset = quinn::ReadError::Reset((Code::H3_REQUEST_CANCELLED.value() as u32).into());
        assert_eq!(error, quinn::ReadToEndError::Read(reset));
        assert_serves(&site).await;
    });
}

#[test]
fn a_request_that_is_broken_off_is_reset_and_not_answered() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let (connection, _control) = connect(&site).await;
        let (mut send, mut receive) = connection.open_bi().await.unwrap();
        send.write_all(&[&post()[..], b"\x00\x0ahello"].concat()).await.unwrap();
        site.backend.arrived.notified().await;
        send.reset((Code::H3_REQUEST_CANCELLED.value() as u32).into()).unwrap();
        let error = receive.read_to_end(1000).await.unwrap_err();
        let reset = quinn::ReadError::Reset((Code::H3_REQUEST_INCOMPLETE.value() as u32).into());
        assert_eq!(error, quinn::ReadToEndError::Read(reset));
    });
}

#[test]
fn random_bytes_harm_no_one_else() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let mut other = site.client("a.example").await;
        let seed = 7;
        let rng = Rng::new(seed);
        let bytes = |length: usize| (0..length).map(|_| rng.below(256) as u8).collect::<Vec<u8>>();
        for round in 0..200 {
            let (connection, mut control) = connect(&site).await;
            let _ = control.write_all(&bytes(rng.below(20))).await;
            for _ in 0..4 {
                let Ok((mut send, _receive)) = connection.open_bi().await else { break };
                let noise = bytes(rng.below(100));
                let stream = match rng.below(3) {
                    0 => noise,
                    1 => [&post()[..], &noise].concat(),
                    _ => [&[0x01, noise.len() as u8][..], b"\x00\x00", &noise].concat(),
                };
                let _ = send.write_all(&stream).await;
                let _ = send.finish();
            }
            let asked = other.get("https://a.example/old").await;
            assert_eq!(asked.0.status(), StatusCode::FOUND, "seed {seed}, round {round}");
            connection.close(0u32.into(), b"");
        }
    });
}

#[test]
fn datagrams_that_are_no_quic_are_ignored() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        for length in [0, 1, 20, 1200, 9000] {
            for first in [0x00, 0x40, 0xc0, 0xff] {
                let mut datagram = vec![0xab; length];
                datagram.iter_mut().take(1).for_each(|byte| *byte = first);
                socket.send_to(&datagram, site.address).await.unwrap();
            }
        }
        assert_serves(&site).await;
    });
}

#[test]
fn one_connection_that_breaks_the_protocol_leaves_the_others_their_answers() {
    run(async {
        let site = Site::start(Limits::default()).await;
        let mut client = site.client("a.example").await;
        let mut stream = client.send(Request::post("https://a.example/echo").body(()).unwrap()).await;
        stream.send_data(Bytes::from_static(b"still ")).await.unwrap();
        assert!(close_after(&site, b"\x06\x00").await.is_some());
        stream.send_data(Bytes::from_static(b"here")).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::OK);
        assert_eq!(super::support::receive(&mut stream).await.unwrap().0, "still here");
    });
}
