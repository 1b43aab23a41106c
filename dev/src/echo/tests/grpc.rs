//! gRPC calls, framed by hand.

use super::{
    super::messages::{EchoRequest, EchoResponse},
    *,
};
use ::http::HeaderMap;
use prost::Message;

fn frame(message: &str, count: u32) -> Vec<u8> {
    let bytes = EchoRequest { message: message.to_owned(), count, interval_ms: 0 }.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &bytes].concat()
}

fn parse(mut bytes: &[u8]) -> Vec<EchoResponse> {
    let mut messages = Vec::new();
    while let Some((prefix, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
        messages.push(EchoResponse::decode(&rest[..length]).unwrap());
        bytes = &rest[length..];
    }
    messages
}

fn call(method: &str) -> ::http::request::Builder {
    request(&format!("/portolan.echo.v1.Echo/{method}"))
        .method("POST")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// Messages, and the trailers or, where there is no message, the headers.
async fn finish(response: Response<Incoming>) -> (Vec<EchoResponse>, HeaderMap) {
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let headers = response.headers().clone();
    let answer = response.into_body().collect().await.unwrap();
    let trailers = answer.trailers().cloned().unwrap_or(headers);
    (parse(&answer.to_bytes()), trailers)
}

async fn send(method: &str, bytes: Vec<u8>) -> (Vec<EchoResponse>, HeaderMap) {
    let (_pod, address) = start(EchoProtocol::Auto);
    let mut client = Client::h2(connect(address).await).await;
    let request = call(method).header("x-user", "me").header("echo-trailer", "x-t:1").body(body(bytes)).unwrap();
    finish(client.send(request).await.unwrap()).await
}

#[tokio::test]
async fn a_unary_call_tells_the_pod_the_method_and_the_metadata() {
    let (messages, trailers) = send("Echo", frame("hi", 0)).await;
    assert_eq!((trailers["grpc-status"].as_bytes(), trailers["x-t"].as_bytes()), (&b"0"[..], &b"1"[..]));
    let [answer] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!((answer.message.as_str(), answer.pod.as_str(), answer.namespace.as_str()), ("hi", "cart-0", "shop"));
    assert_eq!((answer.method.as_str(), answer.authority.as_str()), ("/portolan.echo.v1.Echo/Echo", "echo.test"));
    assert!(answer.metadata.iter().any(|entry| entry.name == "x-user" && entry.value == "me"));
    assert_eq!(answer.services, ["cart", "cart-canary"]);
}

#[tokio::test]
async fn streams_answer_as_often_as_asked() {
    let (messages, trailers) = send("ServerStream", frame("hi", 100)).await;
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(messages.iter().map(|message| message.sequence).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    let (messages, trailers) = send("ClientStream", [frame("a", 0), frame("b", 0), frame("c", 0)].concat()).await;
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!((messages.len(), messages[0].message.as_str(), messages[0].sequence), (1, "c", 3));
}

#[tokio::test]
async fn a_bidirectional_stream_answers_each_message_at_once() {
    let (_pod, address) = start(EchoProtocol::Auto);
    let mut client = Client::h2(connect(address).await).await;
    let (sender, mut frames) = tokio::sync::mpsc::channel(1);
    let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
    let sent = BodyExt::boxed(http_body_util::StreamBody::new(frames));
    let mut back = client.send(call("BidiStream").body(sent).unwrap()).await.unwrap().into_body();
    for (sequence, text) in [(1, "one"), (2, "two")] {
        sender.send(Ok(http_body::Frame::data(Bytes::from(frame(text, 0))))).await.unwrap();
        let answer = parse(&back.frame().await.unwrap().unwrap().into_data().unwrap());
        assert_eq!((answer[0].message.as_str(), answer[0].sequence), (text, sequence));
    }
    drop(sender);
    let trailers = back.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_status_is_answered_where_asked() {
    let (_pod, address) = start(EchoProtocol::Auto);
    let mut client = Client::h2(connect(address).await).await;
    let asking = |headers: &[(&str, &str)]| {
        let request = headers.iter().fold(call("Echo"), |request, (name, value)| request.header(*name, *value));
        request.body(body(frame("hi", 0))).unwrap()
    };
    let request = asking(&[("echo-grpc-status", "14"), ("echo-grpc-message", "50% of ü")]);
    let (_, status) = finish(client.send(request).await.unwrap()).await;
    assert_eq!(
        (status["grpc-status"].as_bytes(), status["grpc-message"].as_bytes()),
        (&b"14"[..], &b"50%25 of %C3%BC"[..])
    );
    for expected in ["14", "0"] {
        let request = asking(&[("echo-fail", "key=k,status=14")]);
        let (_, status) = finish(client.send(request).await.unwrap()).await;
        assert_eq!(status["grpc-status"], expected);
    }
    let response = client.send(asking(&[("echo-status", "503")])).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().get("grpc-status")), (503, None));
}

#[tokio::test]
async fn calls_that_cannot_be_understood_end_with_their_status() {
    let compressed = [&[1][..], &frame("hi", 0)[1..]].concat();
    let too_long = [&[0][..], &u32::MAX.to_be_bytes()].concat();
    for (method, bytes, status) in [
        ("Nothing", frame("hi", 0), "12"),
        ("Echo", compressed.clone(), "12"),
        ("BidiStream", compressed, "12"),
        ("Echo", too_long, "8"),
        ("Echo", Vec::new(), "13"),
        ("Echo", vec![0, 0], "13"),
        ("Echo", [frame("a", 0), frame("b", 0)].concat(), "13"),
        ("Echo", vec![0, 0, 0, 0, 1, 0xff], "13"),
        ("ServerStream", frame("a", u32::MAX), "3"),
    ] {
        let (messages, trailers) = send(method, bytes.clone()).await;
        assert!(messages.is_empty());
        assert_eq!(trailers["grpc-status"], status, "{method} {bytes:?}");
    }
}
