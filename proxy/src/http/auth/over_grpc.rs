//! Asking over gRPC: `envoy.service.auth.v3.Authorization/Check`, one message there and one back. It opens no
//! connection: it writes the question and reads the answer.

use super::{
    Decision, Effects, Unusable,
    changes::{CHANGES_MAX, HeaderChanges, is_ours},
    messages::{
        Address, AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HttpRequest, HttpResponse,
        OkHttpResponse, Peer, Request as CheckedRequest, SocketAddress, Timestamp,
    },
    query::QueryChanges,
    seen::Seen,
};
use crate::{http::call::Answered, tls::ClientCertificate};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request};
use prost::Message;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where the call goes.
const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Bytes before a message: whether it is compressed, and its length.
const FRAME_HEAD_BYTES: usize = 5;
/// `OK`, of gRPC and in the message.
const OK: i32 = 0;

/// What the service is told of the connection that a request came by.
pub struct Client<'a> {
    /// The client.
    pub peer: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Its certificate.
    pub certificate: Option<&'a ClientCertificate>,
    /// The time.
    pub time: SystemTime,
}

// === question ===

/// The head of the call.
pub fn question(authority: &str, time_max: Duration) -> Result<request::Parts, Unusable> {
    let (mut question, ()) = Request::new(()).into_parts();
    question.method = Method::POST;
    question.uri = Uri::from_static(PATH);
    let host = HeaderValue::from_str(authority).map_err(|_| Unusable::Path)?;
    let timeout = format!("{}m", time_max.as_millis());
    let timeout = HeaderValue::from_str(&timeout).expect("a number and a unit are a valid value");
    let content_type = HeaderValue::from_static("application/grpc");
    let trailers = HeaderValue::from_static("trailers");
    question.headers.extend([
        (header::HOST, host),
        (header::CONTENT_TYPE, content_type),
        (header::TE, trailers),
        (HeaderName::from_static("grpc-timeout"), timeout),
    ]);
    Ok(question)
}

/// The message of the call, in its frame.
pub fn message(seen: &Seen<'_>, client: &Client<'_>, allowed: &[HeaderName]) -> Bytes {
    let since = client.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
    };
    let principal = client.certificate.map(principal).unwrap_or_default();
    let attributes = AttributeContext {
        source: Some(peer(client.peer, principal)),
        destination: Some(peer(client.local, String::new())),
        request: Some(CheckedRequest { time: Some(time), http: Some(http_request(seen, client.scheme, allowed)) }),
    };
    framed(&CheckRequest { attributes: Some(attributes) })
}

fn peer(address: SocketAddr, principal: String) -> Peer {
    let port_value = Some(u32::from(address.port()));
    let socket_address = SocketAddress { address: address.ip().to_canonical().to_string(), port_value };
    Peer { address: Some(Address { socket_address: Some(socket_address) }), principal }
}

/// A URI, else a DNS name, else the subject: the order that the message's definition asks for. A certificate that does
/// not prove anything names nobody.
fn principal(certificate: &ClientCertificate) -> String {
    if !certificate.verified {
        return String::new();
    }
    let names = &certificate.names;
    names.uri.iter().chain(&names.dns).next().unwrap_or(&certificate.subject).to_string()
}

fn http_request(seen: &Seen<'_>, scheme: &str, allowed: &[HeaderName]) -> HttpRequest {
    // Text goes where services look first; what is no text cannot.
    let (body, raw_body) = match std::str::from_utf8(&seen.body) {
        Ok(text) => (text.to_owned(), Vec::new()),
        Err(_) => (String::new(), seen.body.to_vec()),
    };
    HttpRequest {
        id: value(&seen.head.headers, &HeaderName::from_static("x-request-id")),
        method: seen.head.method.to_string(),
        headers: shown_headers(seen, scheme, allowed),
        path: seen.target().to_owned(),
        host: value(&seen.head.headers, &header::HOST),
        scheme: scheme.to_owned(),
        size: seen.size.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1),
        protocol: protocol(seen.head.version).to_owned(),
        body,
        raw_body,
    }
}

/// The headers that the service may see: those that are allowed, or all where none is named. With all come the
/// pseudo-headers, for services that know them from Envoy.
fn shown_headers(seen: &Seen<'_>, scheme: &str, allowed: &[HeaderName]) -> BTreeMap<String, String> {
    let keys = seen.head.headers.keys().filter(|name| allowed.is_empty() || allowed.contains(name));
    let mut shown: BTreeMap<_, _> =
        keys.map(|name| (name.as_str().to_owned(), value(&seen.head.headers, name))).collect();
    if allowed.is_empty() {
        let host = value(&seen.head.headers, &header::HOST);
        let pseudo = [
            (":authority", host.as_str()),
            (":method", seen.head.method.as_str()),
            (":path", seen.target()),
            (":scheme", scheme),
        ];
        shown.extend(pseudo.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    shown
}

/// The values of a header as one text (RFC 9110, 5.3; for Cookie, RFC 9113, 8.2.3).
fn value(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.collect::<Vec<_>>().join(if *name == header::COOKIE { "; " } else { "," })
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

fn framed(message: &CheckRequest) -> Bytes {
    let length = message.encoded_len();
    let mut out = BytesMut::with_capacity(FRAME_HEAD_BYTES + length);
    out.put_u8(0);
    out.put_u32(u32::try_from(length).expect("a request's head and 64 KiB of its body are far below 4 GiB"));
    message.encode(&mut out).expect("the buffer grows");
    out.freeze()
}

// === answer ===

/// What an answer says.
pub fn decision(answered: &Answered) -> Result<Decision, Unusable> {
    let status = answered.response.status();
    if status != StatusCode::OK {
        return Err(Unusable::Status(status.as_u16()));
    }
    let headers = answered.response.headers();
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !content_type.starts_with(b"application/grpc") {
        return Err(Unusable::NotGrpc);
    }
    // An answer without a message has its status among the headers.
    let status = answered.trailers.get("grpc-status").or_else(|| headers.get("grpc-status"));
    let status = status.and_then(|status| status.to_str().ok()?.parse::<u16>().ok());
    match status.ok_or(Unusable::NoGrpcStatus)? {
        0 => decide(CheckResponse::decode(unframed(&answered.body)?).map_err(|_| Unusable::Message)?),
        status => Err(Unusable::GrpcStatus(status)),
    }
}

fn unframed(body: &Bytes) -> Result<Bytes, Unusable> {
    let (head, _) = body.split_first_chunk::<FRAME_HEAD_BYTES>().ok_or(Unusable::Framing)?;
    let [compressed, length @ ..] = *head;
    let message = body.slice(FRAME_HEAD_BYTES..);
    match compressed {
        0 if u32::from_be_bytes(length) as usize == message.len() => Ok(message),
        1 => Err(Unusable::Compressed),
        _ => Err(Unusable::Framing),
    }
}

/// It allows what it says OK to and denies nothing of. It must say so: an empty message, as of a service that forgot to
/// fill it in, opens no door.
fn decide(response: CheckResponse) -> Result<Decision, Unusable> {
    let code = response.status.map(|status| status.code);
    match (code, response.http_response) {
        (Some(OK), None) => Ok(Decision::Allowed(Effects::default())),
        (Some(OK) | None, Some(HttpResponse::Ok(ok))) => effects(ok).map(Decision::Allowed),
        (_, Some(HttpResponse::Denied(denied))) => refusal(denied),
        (Some(_), _) => refusal(DeniedHttpResponse::default()),
        (None, None) => Err(Unusable::Undecided),
    }
}

fn effects(ok: OkHttpResponse) -> Result<Effects, Unusable> {
    let headers = ok.headers.len() + ok.headers_to_remove.len() + ok.response_headers_to_add.len();
    if headers + ok.query_parameters_to_set.len() + ok.query_parameters_to_remove.len() > CHANGES_MAX {
        return Err(Unusable::TooManyChanges);
    }
    let mut request = HeaderChanges::from_options(&ok.headers)?;
    // Names that no header can have (pseudo-headers among them) are to be ignored.
    for name in ok.headers_to_remove.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()) {
        request.remove(name);
    }
    let set = ok.query_parameters_to_set.into_iter().map(|parameter| (parameter.key, parameter.value)).collect();
    let query = QueryChanges { set, remove: ok.query_parameters_to_remove };
    Ok(Effects { request, query, response: HeaderChanges::from_options(&ok.response_headers_to_add)? })
}

/// The status is 403 unless the service names another that a response can have.
fn refusal(denied: DeniedHttpResponse) -> Result<Decision, Unusable> {
    if denied.headers.len() > CHANGES_MAX {
        return Err(Unusable::TooManyChanges);
    }
    let code =
        denied.status.and_then(|status| u16::try_from(status.code).ok()).filter(|code| (200..600).contains(code));
    let mut response = Response::new(());
    *response.status_mut() = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::FORBIDDEN);
    HeaderChanges::from_options(&denied.headers)?.apply(response.headers_mut());
    debug_assert!(!response.headers().keys().any(is_ours), "changes leave framing alone");
    Ok(Decision::Denied { response, body: denied.body.into() })
}

#[cfg(test)]
mod tests;
