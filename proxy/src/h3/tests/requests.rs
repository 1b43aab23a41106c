//! What clients ask and are answered.

use super::support::{Client, Site, receive, run};
use crate::Limits;
use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use http::{HeaderMap, Request, StatusCode};
use std::time::Duration;

const MIB: usize = 1 << 20;

async fn site() -> (Site, Client) {
    let site = Site::start(Limits::default()).await;
    let client = site.client("a.example").await;
    (site, client)
}

#[test]
fn a_filter_answers_and_the_head_is_complete() {
    run(async {
        let (_site, mut client) = site().await;
        let (response, body) = client.get("https://a.example/old?x=1").await;
        assert_eq!(response.status(), StatusCode::FOUND);
        assert_eq!(response.headers()["location"], "https://new.a.example/old?x=1");
        assert!(response.headers().contains_key("date") && body.is_empty());
    });
}

#[test]
fn a_backend_answers_and_sees_a_request_of_its_own_version() {
    run(async {
        let (_site, mut client) = site().await;
        let request = Request::get("https://a.example/some/path").header("cookie", "a=1").header("cookie", "b=2");
        let mut stream = client.send(request.body(()).unwrap()).await;
        stream.finish().await.unwrap();
        let response = stream.recv_response().await.unwrap();
        let saw = |name: &str| response.headers().get(format!("x-saw-{name}")).map(|value| value.to_str().unwrap());
        assert_eq!(
            (response.status(), &response.headers()["x-path"]),
            (StatusCode::OK, &"/some/path".parse().unwrap())
        );
        assert_eq!((saw("via"), saw("x-forwarded-proto")), (Some("3 portolan"), Some("https")));
        assert_eq!((saw("host"), saw("cookie")), (Some("a.example"), Some("a=1; b=2")));
        assert_eq!((saw("content-length"), saw("transfer-encoding")), (None, None), "there is no body");
        for name in ["connection", "transfer-encoding", "keep-alive"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
    });
}

#[test]
fn a_mebibyte_goes_both_ways_with_trailers() {
    run(async {
        let (_site, mut client) = site().await;
        for length in [None, Some(MIB)] {
            let mut request = Request::post("https://a.example/h2/echo").header("te", "trailers");
            if let Some(length) = length {
                request = request.header("content-length", length);
            }
            let stream = client.send(request.body(()).unwrap()).await;
            let (mut sender, mut receiver) = stream.split();
            let sent: Bytes = (0..MIB).map(|at| (at % 251) as u8).collect();
            for piece in sent.chunks(7000) {
                sender.send_data(sent.slice_ref(piece)).await.unwrap();
            }
            if length.is_none() {
                let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), "abc".parse().unwrap())]);
                sender.send_trailers(trailers).await.unwrap();
            }
            sender.finish().await.unwrap();
            let response = receiver.recv_response().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let trailer = response.headers().get("x-saw-trailer").map(|value| value.to_str().unwrap());
            assert_eq!(trailer, length.is_none().then_some("abc"));
            let mut received = Vec::new();
            while let Some(mut data) = receiver.recv_data().await.unwrap() {
                received.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            assert!(received == sent, "{} bytes", received.len());
            let trailers = receiver.recv_trailers().await.unwrap().unwrap();
            let sum: u64 = sent.iter().map(|byte| u64::from(*byte)).sum();
            assert_eq!(trailers["x-sum"], sum.to_string());
        }
    });
}

#[test]
fn each_listener_answers_for_its_own_server_name_alone() {
    run(async {
        let (site, mut a) = site().await;
        let mut b = site.client("b.example").await;
        let location = |response: http::Response<()>| response.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(location(a.get("https://a.example/old").await.0), "https://new.a.example/old");
        assert_eq!(location(b.get("https://b.example/old").await.0), "https://new.b.example/old");
        let (crossing, _) = a.get("https://b.example/old").await;
        assert_eq!(crossing.status(), StatusCode::MISDIRECTED_REQUEST);
        assert!(!crossing.headers().contains_key("connection"));
        assert_eq!(b.get("https://c.example/old").await.0.status(), StatusCode::NOT_FOUND);
    });
}

#[test]
fn an_unknown_server_name_gets_no_connection() {
    run(async {
        let (site, _) = site().await;
        let error = site.quic("c.example").await.unwrap_err();
        assert!(matches!(error, quinn::ConnectionError::ConnectionClosed(_)), "{error:?}");
        assert_eq!(site.limit("tls_handshake_failed"), 1.0);
    });
}

#[test]
fn a_head_over_its_limit_is_answered_with_431() {
    run(async {
        let limits = Limits { header_bytes_max: 4096, ..Limits::default() };
        let site = Site::start(limits).await;
        let mut client = site.client("a.example").await;
        // This client knows the limit and would not send more, so the number of fields is what is too large.
        let mut request = Request::get("https://a.example/");
        for number in 0..101 {
            request = request.header(format!("x-{number}"), "");
        }
        let mut stream = client.send(request.body(()).unwrap()).await;
        stream.finish().await.unwrap();
        let status = stream.recv_response().await.unwrap().status();
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    });
}

#[test]
fn an_answer_that_breaks_off_is_reset() {
    run(async {
        let (site, mut client) = site().await;
        let mut stream = client.send(Request::get("https://a.example/broken").body(()).unwrap()).await;
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), StatusCode::OK);
        assert_eq!(stream.recv_data().await.unwrap().unwrap().chunk(), b"half");
        site.backend.go_on.notify_one();
        let answered = receive(&mut stream).await;
        let Err(StreamError::RemoteTerminate { code, .. }) = answered else { panic!("{answered:?}") };
        assert_eq!(code, Code::H3_INTERNAL_ERROR);
    });
}

#[test]
fn a_body_that_belies_its_length_is_refused() {
    run(async {
        let (_site, mut client) = site().await;
        for (length, body) in [("3", "four"), ("5", "four")] {
            let request = Request::post("https://a.example/echo").header("content-length", length);
            let mut stream = client.send(request.body(()).unwrap()).await;
            // The server may have stopped it by then.
            let _ = stream.send_data(Bytes::from_static(body.as_bytes())).await;
            let _ = stream.finish().await;
            match stream.recv_response().await {
                Ok(response) => assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{length}"),
                Err(StreamError::RemoteTerminate { code, .. }) => assert_eq!(code, Code::H3_MESSAGE_ERROR, "{length}"),
                Err(error) => panic!("{length}: {error}"),
            }
        }
        assert_eq!(client.get("https://a.example/").await.0.status(), StatusCode::OK);
    });
}

#[test]
fn a_client_that_takes_nothing_holds_the_backend_back() {
    run(async {
        let (site, mut client) = site().await;
        let mut stream = client.send(Request::get("https://a.example/endless").body(()).unwrap()).await;
        stream.finish().await.unwrap();
        stream.recv_response().await.unwrap();
        let mut before = usize::MAX;
        while before != site.backend.sent.get() || before == 0 {
            before = site.backend.sent.get();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // What fits into the windows of both clients and into the kernel's buffers between proxy and backend.
        assert!(before < 32 * MIB, "{before} bytes");
    });
}

#[test]
fn a_request_that_the_client_gives_up_is_given_up_towards_the_backend() {
    run(async {
        let (site, mut client) = site().await;
        let mut stream = client.send(Request::get("https://a.example/slow").body(()).unwrap()).await;
        stream.finish().await.unwrap();
        site.backend.arrived.notified().await;
        stream.stop_sending(Code::H3_REQUEST_CANCELLED);
        site.backend.given_up.notified().await;
        assert_eq!(client.get("https://a.example/old").await.0.status(), StatusCode::FOUND);
    });
}
