//! HTTP/1.1 and h2c: what is told, and what a request may ask for.

use super::*;
use ::http::{HeaderMap, HeaderValue};
use http_body_util::StreamBody;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_answer_tells_the_pod_and_the_request() {
    let (_pod, address) = start(EchoProtocol::Auto);
    let mut client = Client::h1(connect(address).await).await;
    let request = Request::post("/a%2Fb/?q=1&q=2").header("host", "shop.test").header("x-a", "1").header("x-a", "2");
    let response = client.send(request.body(body("hello")).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["echo-pod"], "cart-0");
    let answer = json(response).await;
    assert_eq!(answer.identity.service, "cart");
    assert_eq!(answer.identity.services, ["cart", "cart-canary"]);
    assert_eq!((answer.identity.pod.as_str(), answer.identity.namespace.as_str()), ("cart-0", "shop"));
    assert_eq!((answer.method.as_str(), answer.path.as_str()), ("POST", "/a%2Fb/?q=1&q=2"));
    assert_eq!((answer.host.as_str(), answer.protocol.as_str()), ("shop.test", "HTTP/1.1"));
    assert_eq!(answer.headers["x-a"], ["1", "2"]);
    assert_eq!((answer.body.as_str(), answer.body_length, answer.body_truncated), ("hello", 5, false));
    assert_eq!(answer.tls, None);
}

#[tokio::test]
async fn http2_is_spoken_on_the_same_port_with_trailers_both_ways() {
    let (_pod, address) = start(EchoProtocol::Auto);
    let mut h1 = Client::h1(connect(address).await).await;
    assert_eq!(json(h1.get("/").await.unwrap()).await.protocol, "HTTP/1.1");
    let mut h2 = Client::h2(connect(address).await).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sent", HeaderValue::from_static("after"));
    let sent = body("text").with_trailers(std::future::ready(Some(Ok(trailers)))).boxed();
    let request = request("/").header("echo-trailer", "x-back:1").body(sent).unwrap();
    let answer = h2.send(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["x-back"], "1");
    let answer: HttpAnswer = serde_json::from_slice(&answer.to_bytes()).unwrap();
    assert_eq!((answer.protocol.as_str(), answer.host.as_str()), ("HTTP/2.0", "echo.test"));
    assert_eq!(answer.trailers["x-sent"], ["after"]);
}

#[tokio::test]
async fn http1_sends_trailers_to_clients_that_take_them() {
    let (_pod, address) = start(EchoProtocol::Http);
    let mut client = Client::h1(connect(address).await).await;
    let request = request("/?echo-trailer=x-back:1").header("te", "trailers").body(body("")).unwrap();
    let answer = client.send(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(answer.trailers().unwrap()["x-back"], "1");
}

#[tokio::test]
async fn status_headers_size_and_delay_are_as_asked() {
    let (_pod, address) = start(EchoProtocol::Http);
    let mut client = Client::h1(connect(address).await).await;
    let began = Instant::now();
    let response = client.get("/?echo-status=418&echo-header=x-a:1&echo-header=x-a:2&echo-delay=50ms").await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers().get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(json(response).await.method, "GET");
    let response = client.get("/?echo-body-size=200000").await.unwrap();
    assert_eq!(response.headers()["content-length"], "200000");
    assert_eq!(bytes(response).await.len(), 200_000);
    let response = client.get("/?echo-status=204").await.unwrap();
    assert_eq!((response.status().as_u16(), bytes(response).await.len()), (204, 0));
    let response = client.get("/?echo-status=9000").await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(bytes(response).await.starts_with(b"echo-status: cannot understand"));
}

#[tokio::test]
async fn the_first_requests_of_a_key_fail_and_pods_count_together() {
    let fails = FailCounters::default();
    let mut clients = Vec::new();
    let mut pods = Vec::new();
    for _ in 0..2 {
        let pod = EchoPod::start(EchoSpec { fails: fails.clone(), ..spec(EchoProtocol::Http) }).unwrap();
        clients.push(Client::h1(connect(pod.bound()[&PortKey::tcp(PORT)]).await).await);
        pods.push(pod);
    }
    let mut seen = Vec::new();
    for turn in 0..4 {
        let response = clients[turn % 2].get("/?echo-fail=key=k,times=3,status=502").await.unwrap();
        seen.push(response.status().as_u16());
        bytes(response).await;
    }
    assert_eq!(seen, [502, 502, 502, 200]);
}

#[tokio::test]
async fn a_connection_is_reset_without_an_answer_where_asked() {
    for path in ["/?echo-close", "/?echo-fail=key=k,status=close"] {
        let (_pod, address) = start(EchoProtocol::Http);
        let mut stream = connect(address).await;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await.unwrap();
        let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let mut h2 = Client::h2(connect(address).await).await;
        assert!(h2.get("/?echo-close").await.is_err());
        assert_eq!(h2.get("/").await.unwrap().status(), 200, "other streams go on");
    }
}

#[tokio::test]
async fn a_body_breaks_off_in_its_middle_where_asked() {
    let (_pod, address) = start(EchoProtocol::Http);
    let mut client = Client::h1(connect(address).await).await;
    let response = client.get("/?echo-close=body&echo-body-size=1000000").await.unwrap();
    assert_eq!(response.headers()["content-length"], "1000000");
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_long_body_is_counted_and_only_its_beginning_told() {
    let (_pod, address) = start(EchoProtocol::Http);
    for mut client in [Client::h1(connect(address).await).await, Client::h2(connect(address).await).await] {
        let answer = json(client.send(request("/").body(body(vec![b'a'; 5 << 20])).unwrap()).await.unwrap()).await;
        assert_eq!((answer.body_length, answer.body.len(), answer.body_truncated), (5 << 20, 64 << 10, true));
    }
}

#[tokio::test]
async fn a_streamed_body_comes_back_while_it_is_sent() {
    let (_pod, address) = start(EchoProtocol::Http);
    for mut client in [Client::h1(connect(address).await).await, Client::h2(connect(address).await).await] {
        let (sender, mut frames) = tokio::sync::mpsc::channel(1);
        let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
        let sent = BodyExt::boxed(StreamBody::new(frames));
        sender.send(Ok(http_body::Frame::data(Bytes::from_static(b"one")))).await.unwrap();
        let response = client.send(request("/?echo-body=stream").method("POST").body(sent).unwrap()).await.unwrap();
        let mut back = response.into_body();
        assert_eq!(back.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
        sender.send(Ok(http_body::Frame::data(Bytes::from_static(b"two")))).await.unwrap();
        assert_eq!(back.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
        drop(sender);
        assert!(back.collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn many_connections_are_served_without_a_failure() {
    let (_pod, address) = start(EchoProtocol::Auto);
    let load = (0..32).map(|_| async move {
        let mut client = Client::h1(connect(address).await).await;
        for _ in 0..100 {
            let response = client.get("/").await.unwrap();
            assert_eq!(response.status(), 200);
            bytes(response).await;
        }
    });
    futures_util::future::join_all(load).await;
}
