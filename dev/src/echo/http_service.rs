//! Answers one HTTP request: what it asks for first, then gRPC, WebSocket, or JSON that tells what was received.

use super::{
    aids::{Aids, BodyAid, CloseAid, FailAid},
    answer::{HttpAnswer, header_values, protocol},
    body::{Aborted, EchoBody},
    connection::Connection,
    grpc, websocket,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::sync::{Arc, atomic::Ordering};

/// How much of a request's body comes back as text.
const BODY_TEXT_MAX: usize = 64 * 1024;
/// Names the pod on every answer.
pub(crate) const POD_HEADER: HeaderName = HeaderName::from_static("echo-pod");

/// A request's body, read to its end.
#[derive(Default)]
struct Received {
    text: Vec<u8>,
    length: u64,
    trailers: HeaderMap,
}

/// Answers, or ends the connection where the request asks for that.
pub(crate) async fn answer(
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<EchoBody>, Aborted> {
    let aids = match Aids::parse(request.headers(), request.uri().query()) {
        Ok(aids) => aids,
        Err(error) => return Ok(plain(StatusCode::BAD_REQUEST, format!("{error}\n"))),
    };
    let is_http1 = request.version() < Version::HTTP_2;
    let mut response = obey(&connection, &aids, request).await?;
    let pod = HeaderValue::from_str(&connection.shared.identity.load().pod);
    response.headers_mut().insert(POD_HEADER, pod.unwrap_or(HeaderValue::from_static("?")));
    for (name, value) in aids.headers {
        response.headers_mut().append(name, value);
    }
    if is_http1 && connection.drain.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn obey(
    connection: &Arc<Connection>,
    aids: &Aids,
    request: Request<Incoming>,
) -> Result<Response<EchoBody>, Aborted> {
    if aids.close == Some(CloseAid::BeforeAnswer) {
        return Err(reset(connection));
    }
    if let Some(delay) = aids.delay {
        tokio::time::sleep(delay).await;
    }
    let is_grpc = grpc::is_call(&request);
    if let Some(fail) = &aids.fail
        && connection.shared.fails.should_fail(&fail.key, fail.times)
    {
        return failure(connection, fail, is_grpc);
    }
    if aids.status.is_none() {
        if is_grpc {
            return Ok(grpc::answer(connection, aids, request).await);
        }
        if websocket::is_upgrade(&request) {
            return Ok(websocket::answer(connection, request));
        }
    }
    if request.method() == Method::CONNECT {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "an echo pod is no proxy\n"));
    }
    Ok(echo(connection, aids, request).await)
}

fn reset(connection: &Connection) -> Aborted {
    connection.reset.store(true, Ordering::Relaxed);
    Aborted
}

fn failure(connection: &Connection, fail: &FailAid, is_grpc: bool) -> Result<Response<EchoBody>, Aborted> {
    let Some(code) = fail.status else { return Err(reset(connection)) };
    let reason = format!("echo-fail of key {}", fail.key);
    if is_grpc {
        return Ok(grpc::error(grpc::Status::new(code, reason)));
    }
    let status = u16::try_from(code).ok().filter(|code| *code >= 200).and_then(|code| StatusCode::from_u16(code).ok());
    Ok(plain(status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE), reason + "\n"))
}

fn plain(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<EchoBody> {
    let mut response = Response::new(EchoBody::bytes(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

async fn echo(connection: &Connection, aids: &Aids, request: Request<Incoming>) -> Response<EchoBody> {
    let (parts, body) = request.into_parts();
    let (mut body, content_type) = match aids.body {
        BodyAid::Stream => (EchoBody::request(body), parts.headers.get(header::CONTENT_TYPE).cloned()),
        BodyAid::Size(length) => {
            receive(body).await;
            (EchoBody::pattern(length), Some(HeaderValue::from_static("application/octet-stream")))
        }
        BodyAid::Json => {
            let received = receive(body).await;
            (
                EchoBody::bytes(describe(connection, &parts, received)),
                Some(HeaderValue::from_static("application/json")),
            )
        }
    };
    let status = aids.status.unwrap_or(StatusCode::OK);
    let bodiless = matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless {
        body = EchoBody::empty();
    }
    if aids.close == Some(CloseAid::InBody) {
        body = body.broken();
    }
    let trailers: HeaderMap = aids.trailers.iter().cloned().collect();
    let mut response = Response::new(EchoBody::empty());
    *response.status_mut() = status;
    if let Some(content_type) = content_type.filter(|_| !bodiless) {
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    for name in trailers.keys() {
        // HTTP/1.1 sends only the trailers that were announced.
        response.headers_mut().append(header::TRAILER, HeaderValue::from(name.clone()));
    }
    *response.body_mut() = body.with_trailers(trailers);
    response
}

/// Reads all of the body and keeps its beginning; a body that breaks off counts as far as it came.
async fn receive(mut body: Incoming) -> Received {
    let mut received = Received::default();
    while let Some(Ok(frame)) = body.frame().await {
        match frame.into_data() {
            Ok(data) => {
                let kept = data.len().min(BODY_TEXT_MAX - received.text.len());
                received.text.extend_from_slice(&data[..kept]);
                received.length += data.len() as u64;
            }
            Err(frame) => received.trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    received
}

fn describe(connection: &Connection, parts: &Parts, received: Received) -> Vec<u8> {
    let host = parts.uri.authority().map(|authority| authority.as_str().to_owned()).or_else(|| {
        let host = parts.headers.get(header::HOST)?;
        Some(String::from_utf8_lossy(host.as_bytes()).into_owned())
    });
    let path = parts.uri.path_and_query().map_or("*", |path| path.as_str());
    let answer = HttpAnswer {
        identity: (**connection.shared.identity.load()).clone(),
        method: parts.method.to_string(),
        path: path.to_owned(),
        host: host.unwrap_or_default(),
        protocol: protocol(parts.version).to_owned(),
        client: connection.peer.to_string(),
        headers: header_values(&parts.headers),
        body_truncated: received.length > received.text.len() as u64,
        body: String::from_utf8_lossy(&received.text).into_owned(),
        body_length: received.length,
        trailers: header_values(&received.trailers),
        tls: connection.tls.clone(),
    };
    let mut json = serde_json::to_vec_pretty(&answer).expect("text, numbers and maps keyed by text always serialise");
    json.push(b'\n');
    json
}
