//! A WebSocket conversation over a stream of ours: sends the messages, collects the answers. Never compresses.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::uri::Uri;
use http::{HeaderMap, StatusCode};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request as Handshake;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::answer::{Answer, Code, Content, Link, Observer, Spoken};
use crate::client::Client;
use crate::connect::{Connected, Stream};
use crate::failure::{Failure, FailureKind};
use crate::raw::QUIET;
use crate::request::Request;

/// Bytes of one message that are accepted.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Sends all messages, waits for as many answers (or until it is quiet), and closes.
pub(crate) async fn exchange(
    client: &Client,
    request: &Request,
    observer: &mut dyn Observer,
) -> Result<Answer, Failure> {
    let Connected { stream, link } = client.stream(&request.target, &["http/1.1"]).await?;
    let handshake = handshake(request).map_err(|error| failed(request, &link, "ask for a WebSocket", error))?;
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    match client_async_with_config(handshake, stream, Some(config)).await {
        Ok((mut socket, response)) => {
            observer.head(Spoken::WebSocket, response.status(), response.headers());
            let content = converse(&mut socket, request, observer)
                .await
                .map_err(|error| failed(request, &link, "converse over a WebSocket", error))?;
            Ok(answer(response.status(), response.headers().clone(), content, link))
        }
        Err(WsError::Http(response)) => {
            let (head, body) = response.into_parts();
            observer.head(Spoken::WebSocket, head.status, &head.headers);
            let mut content = Content::default();
            if let Some(body) = body.filter(|body| !body.is_empty()) {
                observer.piece(&body);
                content.message(body.into());
            }
            Ok(answer(head.status, head.headers, content, link))
        }
        Err(error) => Err(failed(request, &link, "open a WebSocket", error)),
    }
}

fn handshake(request: &Request) -> Result<Handshake, WsError> {
    let target = &request.target;
    let scheme = if target.scheme().is_tls() { "wss" } else { "ws" };
    let uri = Uri::builder().scheme(scheme).authority(request.authority()).path_and_query(target.path().clone());
    let mut handshake = uri.build()?.into_client_request()?;
    for name in request.headers.keys() {
        handshake.headers_mut().remove(name);
    }
    handshake.headers_mut().extend(request.headers.clone());
    Ok(handshake)
}

async fn converse(socket: &mut Socket, request: &Request, observer: &mut dyn Observer) -> Result<Content, WsError> {
    let mut content = Content::default();
    let mut answers = 0;
    for message in &request.messages {
        socket.feed(frame(message)).await?;
    }
    socket.flush().await?;
    while answers < request.messages.len() {
        // The first answer may take as long as the request may; then silence means that there are no more.
        let patience = if answers == 0 { Duration::MAX } else { QUIET };
        let Ok(next) = tokio::time::timeout(patience, socket.next()).await else { break };
        let Some(message) = next.transpose()? else { break };
        answers += usize::from(take(message, &mut content, observer));
    }
    farewell(socket, &mut content, observer).await?;
    Ok(content)
}

/// Closes, and takes what still comes before the peer's own Close.
async fn farewell(socket: &mut Socket, content: &mut Content, observer: &mut dyn Observer) -> Result<(), WsError> {
    match socket.close(None).await {
        Ok(()) | Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => {}
        Err(error) => return Err(error),
    }
    while let Ok(Some(Ok(message))) = tokio::time::timeout(QUIET, socket.next()).await {
        take(message, content, observer);
    }
    Ok(())
}

/// Whether the frame carried a message.
fn take(message: Message, content: &mut Content, observer: &mut dyn Observer) -> bool {
    let bytes: Bytes = match message {
        Message::Text(text) => text.into(),
        Message::Binary(bytes) => bytes,
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return false,
    };
    observer.message(&bytes);
    content.message(bytes);
    true
}

/// Text where the bytes are text, binary otherwise.
fn frame(message: &Bytes) -> Message {
    match Utf8Bytes::try_from(message.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(message.clone()),
    }
}

fn answer(status: StatusCode, headers: HeaderMap, content: Content, link: Link) -> Answer {
    Answer {
        spoken: Spoken::WebSocket,
        code: Code::Http(status),
        headers,
        messages: content.messages,
        bytes: content.bytes,
        trailers: None,
        latency: Duration::ZERO,
        link,
    }
}

fn failed(request: &Request, link: &Link, what: &str, error: WsError) -> Failure {
    let attempt = format!("{what} with {} ({})", request.target, link.peer);
    match error {
        WsError::Io(error) => Failure::from_error(attempt, &error),
        WsError::ConnectionClosed | WsError::AlreadyClosed => {
            Failure::new(FailureKind::Closed, attempt, "the peer closed the connection")
        }
        error => Failure::new(FailureKind::Protocol, attempt, error.to_string()),
    }
}
