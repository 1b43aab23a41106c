//! WebSocket conversations against a server of tokio-tungstenite.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use portolan_client::{Code, FailureKind, Spoken};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::servers::{Names, full, listener, request, serve};

/// Says who it is, then echoes.
async fn pod() -> SocketAddr {
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut socket = accept_async(stream).await.unwrap();
                socket.send(Message::text(r#"{"pod":"ws-0"}"#)).await.unwrap();
                while let Some(Ok(message)) = socket.next().await {
                    if message.is_text() || message.is_binary() {
                        socket.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn greeting_and_all_echoes_arrive() {
    let mut asked = request(&format!("ws://{}/chat", pod().await));
    for messages in [&[][..], &["one"], &["one", "two", "three"]] {
        asked.messages = messages.iter().map(|text| (*text).into()).collect();
        let answer = Names::default().client().send(&asked).await.unwrap();
        assert_eq!(
            (answer.spoken, answer.code.clone()),
            (Spoken::WebSocket, Code::Http(StatusCode::SWITCHING_PROTOCOLS))
        );
        assert_eq!(answer.messages[0], r#"{"pod":"ws-0"}"#);
        assert_eq!(answer.messages[1..], *messages);
        assert_eq!(answer.backend().unwrap().pod, "ws-0");
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_go_as_binary() {
    let mut asked = request(&format!("ws://{}/", pod().await));
    asked.messages = vec![vec![0xff, 0x00].into()];
    let answer = Names::default().client().send(&asked).await.unwrap();
    assert_eq!(answer.messages[1], [0xff, 0x00][..]);
}

#[tokio::test]
async fn a_refused_upgrade_is_an_answer_with_its_status() {
    let refuse = |_request, _peer| async { http::Response::builder().status(403).body(full("no")).unwrap() };
    let address = serve(None, refuse).await;
    let answer = Names::default().client().send(&request(&format!("ws://{address}/"))).await.unwrap();
    assert_eq!(answer.code, Code::Http(StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn a_peer_that_leaves_amid_the_handshake_is_a_failure() {
    let (listener, address) = listener().await;
    tokio::spawn(async move { drop(listener.accept().await.unwrap()) });
    let failure = Names::default().client().send(&request(&format!("ws://{address}/"))).await.unwrap_err();
    let kinds = [FailureKind::Closed, FailureKind::Reset, FailureKind::Protocol];
    assert!(kinds.contains(&failure.kind()), "{failure:?}");
}
