//! gRPC calls against a server made of frames.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use portolan_client::{Answer, Code, EchoRequest, EchoResponse, Failure, FailureKind, GrpcMethod, Protocol, Spoken};
use prost::Message;

use crate::servers::{Body, Names, full, request, serve};

/// One answer for each message; the method's name decides how the call ends.
async fn answer(request: http::Request<Incoming>, _peer: SocketAddr) -> Response<Body> {
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let is_grpc = request.headers()["te"] == "trailers" && request.headers()["content-type"] == "application/grpc";
    let mut wire = request.into_body().collect().await.unwrap().to_bytes();
    let mut messages = BytesMut::new();
    while !wire.is_empty() {
        let length = u32::from_be_bytes(wire[1..5].try_into().unwrap()) as usize;
        let asked = EchoRequest::decode(wire.slice(5..5 + length)).unwrap();
        wire = wire.slice(5 + length..);
        let answer = EchoResponse { message: asked.message, pod: "grpc-0".into(), ..Default::default() };
        messages.put_u8(0);
        messages.put_u32(answer.encoded_len() as u32);
        answer.encode(&mut messages).unwrap();
    }
    let builder = Response::builder().header("content-type", "application/grpc");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(if is_grpc { "0" } else { "3" }));
    trailers.insert("x-end", HeaderValue::from_static("reached"));
    let messages = Full::new(messages.freeze());
    match method.as_str() {
        "Echo" => builder.body(messages.with_trailers(async { Some(Ok(trailers)) }).boxed_unsync()),
        "Missing" => builder.header("grpc-status", "5").header("grpc-message", "no such pod").body(full("")),
        "Cut" => builder.body(messages.boxed_unsync()),
        "Torn" => builder.body(full(Bytes::from_static(&[0, 0, 0, 0, 9, 1]))),
        _ => Response::builder().status(404).header("content-type", "text/plain").body(full("no route")),
    }
    .unwrap()
}

async fn call(method: &str, messages: &[&str]) -> Result<Answer, Failure> {
    let address = serve(None, answer).await;
    let mut call = request(&format!("http://{address}/"));
    call.protocol = Protocol::Grpc(method.parse().unwrap());
    call.messages = messages.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect();
    Names::default().client().send(&call).await
}

#[tokio::test]
async fn unary_and_streaming_calls_bring_messages_and_trailers() {
    for messages in [&["one"][..], &["one", "two", "three"]] {
        let answer = call(GrpcMethod::ECHO, messages).await.unwrap();
        assert_eq!((answer.code.to_string().as_str(), answer.spoken), ("grpc 0 OK", Spoken::Grpc));
        assert_eq!(answer.messages.len(), messages.len());
        assert!(std::str::from_utf8(&answer.messages[0]).unwrap().contains(r#""message":"one""#));
        assert_eq!(answer.trailers.as_ref().unwrap()["x-end"], "reached");
        assert_eq!(answer.backend().unwrap().pod, "grpc-0");
    }
}

#[tokio::test]
async fn a_status_without_messages_is_an_answer() {
    let answer = call("a.B/Missing", &[]).await.unwrap();
    assert_eq!(answer.code, Code::Grpc { code: 5, message: "no such pod".into() });
    assert!(answer.code.is_error());
}

#[tokio::test]
async fn an_http_answer_to_a_call_keeps_its_status() {
    let answer = call("a.B/Unrouted", &["one"]).await.unwrap();
    assert_eq!(answer.code, Code::Http(http::StatusCode::NOT_FOUND));
    assert_eq!(answer.messages, ["no route"]);
}

#[tokio::test]
async fn calls_that_end_early_are_failures() {
    for (method, expected) in [("a.B/Cut", "without grpc-status"), ("a.B/Torn", "cut short")] {
        let failure = call(method, &["one"]).await.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Protocol);
        assert!(failure.to_string().contains(expected), "{failure}");
    }
}
