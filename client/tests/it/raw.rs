//! Bytes over TCP and TLS, datagrams over UDP.

use std::sync::Arc;

use portolan_client::{Code, FailureKind, Options, Spoken, Trust};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Authority;
use crate::servers::{Names, listener, request};

#[tokio::test]
async fn a_stream_is_half_closed_and_read_to_its_end() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(b"{\"pod\":\"tcp-0\"}\n").await.unwrap();
        stream.write_all(&all).await.unwrap();
    });
    let mut asked = request(&format!("tcp://{address}"));
    asked.messages = vec!["one\n".into(), "two\n".into()];
    let answer = Names::default().client().send(&asked).await.unwrap();
    assert_eq!((answer.spoken, answer.code.clone()), (Spoken::Tcp, Code::Bytes));
    assert_eq!(answer.messages, ["{\"pod\":\"tcp-0\"}\none\ntwo\n"]);
    assert_eq!(answer.backend().unwrap().pod, "tcp-0");
}

#[tokio::test]
async fn a_stream_inside_tls_asks_for_its_server_name() {
    let authority = Authority::new();
    let acceptor = TlsAcceptor::from(Arc::new(authority.server("db.localhost", &[])));
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let name = stream.get_ref().1.server_name().unwrap().to_owned();
        stream.write_all(name.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let options = Options { trust: Trust::Pem(authority.pem), ..Options::default() };
    let client = Names::one("db.localhost", 5432, address).client_with(options);
    let answer = client.send(&request("tls://db.localhost:5432")).await.unwrap();
    assert_eq!(answer.messages, ["db.localhost"]);
}

#[tokio::test]
async fn a_stream_closed_without_an_answer_is_a_failure() {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let mut asked = request(&format!("tcp://{address}"));
    asked.messages = vec!["hello\n".into()];
    let failure = Names::default().client().send(&asked).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Closed);
}

#[tokio::test]
async fn each_datagram_is_answered() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut asked = request(&format!("udp://{}", socket.local_addr().unwrap()));
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&buffer[..length], peer).await.unwrap();
        }
    });
    asked.messages = vec!["one".into(), "two".into()];
    let answer = Names::default().client().send(&asked).await.unwrap();
    assert_eq!((answer.spoken, answer.messages), (Spoken::Udp, vec!["one".into(), "two".into()]));
}

#[tokio::test]
async fn a_datagram_to_nowhere_is_refused() {
    // A socket connected to itself takes nothing from others, and keeps its port from them.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    socket.connect(address).await.unwrap();
    let failure = Names::default().client().send(&request(&format!("udp://{address}"))).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Refused, "{failure}");
    assert!(failure.hint().unwrap().contains("over UDP"), "{failure:?}");
}
