//! Graceful stop: nothing that is under way is lost, nothing idle holds it up, and grace has an end.

use super::*;
use futures_util::StreamExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

#[tokio::test]
async fn requests_under_way_are_answered_and_then_the_connection_ends() {
    let (pod, address) = start(EchoProtocol::Auto);
    let mut h1 = Client::h1(connect(address).await).await;
    let mut h2 = Client::h2(connect(address).await).await;
    // Both connections are known to the pod before it stops.
    bytes(h1.get("/").await.unwrap()).await;
    bytes(h2.get("/").await.unwrap()).await;
    let (one, two, ()) = tokio::join!(h1.get("/?echo-delay=300ms"), h2.get("/?echo-delay=300ms"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        pod.stop(LONG).await;
    });
    assert_eq!(one.as_ref().unwrap().headers()["connection"], "close");
    json(one.unwrap()).await;
    json(two.unwrap()).await;
    assert!(h1.get("/").await.is_err() && h2.get("/").await.is_err());
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_that_comes_while_the_port_closes_is_answered_with_close() {
    let (pod, address) = start(EchoProtocol::Auto);
    let mut client = Client::h1(connect(address).await).await;
    bytes(client.get("/").await.unwrap()).await;
    let stopping = tokio::spawn(pod.stop(LONG));
    // The stop has begun once nothing is accepted any more.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let answer = client.get("/").await.unwrap();
    assert_eq!(answer.headers()["connection"], "close");
    json(answer).await;
    stopping.await.unwrap();
}

#[tokio::test]
async fn idle_and_silent_connections_do_not_hold_it_up() {
    let (pod, address) = start(EchoProtocol::Auto);
    let mut idle = Client::h1(connect(address).await).await;
    bytes(idle.get("/").await.unwrap()).await;
    let _silent = connect(address).await;
    let mut raw = connect(address).await;
    raw.write_all(b"hello").await.unwrap();
    raw.read_exact(&mut [0; 5]).await.unwrap();
    let request = "ws://echo.test/";
    let (mut socket, _) = client_async(request, connect(address).await).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let closed = tokio::spawn(async move {
        let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close") };
        assert!(socket.next().await.is_none());
        u16::from(frame.code)
    });
    timeout(LONG, pod.stop(LONG * 10)).await.unwrap();
    assert_eq!(closed.await.unwrap(), 1001);
    assert_eq!(raw.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_that_the_kernel_has_accepted_is_served() {
    // One thread, so that nothing is accepted between the connect and the stop.
    let (pod, address) = start(EchoProtocol::Auto);
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    pod.stop(LONG).await;
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn what_is_not_finished_after_the_grace_is_cut_off() {
    let (pod, address) = start(EchoProtocol::Auto);
    let mut h1 = Client::h1(connect(address).await).await;
    let mut h2 = Client::h2(connect(address).await).await;
    bytes(h2.get("/").await.unwrap()).await;
    bytes(h1.get("/").await.unwrap()).await;
    let (one, two, ()) = tokio::join!(h1.get("/?echo-delay=600s"), h2.get("/?echo-delay=600s"), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        timeout(LONG, pod.stop(Duration::from_millis(50))).await.unwrap();
    });
    assert!(one.is_err() && two.is_err());
}

#[tokio::test]
async fn dropping_the_pod_ends_it_at_once() {
    let (pod, address) = start(EchoProtocol::Auto);
    let mut client = Client::h1(connect(address).await).await;
    bytes(client.get("/").await.unwrap()).await;
    let (answer, ()) = tokio::join!(client.get("/?echo-delay=600s"), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(pod);
    });
    assert!(answer.is_err());
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, refused).await.unwrap();
}
