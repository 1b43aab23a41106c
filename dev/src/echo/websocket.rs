//! WebSocket echo over an HTTP/1.1 upgrade, <https://www.rfc-editor.org/rfc/rfc6455>. No extensions.

use super::{body::EchoBody, connection::Connection};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

const MESSAGE_MAX: usize = 16 << 20;

/// Whether the request asks to become a WebSocket.
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    request.version() == Version::HTTP_11
        && request.method() == Method::GET
        && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Agrees to the upgrade and starts to echo; 400 or 426 where the handshake is not RFC 6455's.
pub(crate) fn answer(connection: &Arc<Connection>, mut request: Request<Incoming>) -> Response<EchoBody> {
    let headers = request.headers();
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut refused = refusal(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13\n");
        refused.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
        return refused;
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return refusal(StatusCode::BAD_REQUEST, "no Sec-WebSocket-Key\n");
    };
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()));
    if let Some(protocol) = first_protocol(headers) {
        response = response.header(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let serving = serve(upgrade, Arc::clone(connection));
    let kill = connection.shared.kill.clone();
    connection.shared.tasks.spawn(async move {
        if let Some(Err(error)) = kill.run_until_cancelled(serving).await {
            tracing::debug!(%error, "echo WebSocket ended");
        }
    });
    response.body(EchoBody::empty()).expect("names and values are valid: constants, base64, or a received value's part")
}

fn refusal(status: StatusCode, reason: &'static str) -> Response<EchoBody> {
    let mut response = Response::new(EchoBody::bytes(reason));
    *response.status_mut() = status;
    response
}

fn first_protocol(headers: &HeaderMap) -> Option<&str> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered.split(',').map(str::trim).find(|protocol| !protocol.is_empty())
}

async fn serve(upgrade: OnUpgrade, connection: Arc<Connection>) -> Result<(), Error> {
    let Ok(upgraded) = upgrade.await else { return Ok(()) };
    let limits = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    let identity = connection.shared.identity.load().to_line();
    socket.send(Message::text(identity)).await?;
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            () = connection.drain.cancelled() => return go_away(socket).await,
        };
        match message.transpose()? {
            Some(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message).await?,
            // Pings and closes are answered by the library while it reads.
            Some(_) => {}
            None => return Ok(()),
        }
    }
}

/// Closes with 1001, and reads until the client has agreed.
async fn go_away(mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) -> Result<(), Error> {
    socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "the pod stops".into() })).await?;
    while socket.next().await.transpose()?.is_some() {}
    Ok(())
}
