//! The phases of a request before and after it is forwarded: decode, match, request filters, pick, response filters.

use super::{
    edits,
    filters::{self, InFlight, Left},
    forward::{self, Outbound},
    headers, meter, mirror,
    record::Record,
    session::Session,
    target,
    upgrade::Upgrade,
};
use crate::{
    body::{RequestBody, ResponseBody},
    conn::Conn,
    error::{ErrorKind, RequestError},
    worker::{RuleState, View},
};
use http::{HeaderValue, Method, Response, StatusCode, Version, header, request};
use http_body::Body;
use portolan_telemetry::Scheme;
use portolan_translate::snapshot::{Candidate, HttpBackend, HttpListener, PathMatch, RequestView, Rule, Target};
use std::{pin::Pin, rc::Rc, time::SystemTime};
use tokio::time::{Instant, Sleep};

/// What the client is answered.
pub struct Answer {
    /// Status and headers.
    pub response: Response<()>,
    /// Body.
    pub body: ResponseBody,
    /// When the body must have ended.
    pub deadline: Option<Pin<Box<Sleep>>>,
}

impl Answer {
    /// An answer without a body.
    pub fn bare(response: Response<()>) -> Self {
        Self { response, body: ResponseBody::Empty, deadline: None }
    }
}

/// A request on its way through one rule.
pub struct Passage<'a> {
    /// The connection.
    pub conn: &'a Rc<Conn>,
    /// The snapshot.
    pub view: &'a View,
    /// The rule.
    pub rule: &'a Rule,
    /// Its state in this worker.
    pub state: &'a Rc<RuleState>,
    /// The path condition by which it was taken.
    pub matched: &'a PathMatch,
}

/// What decoding found out.
struct Decoded {
    host: String,
    /// Whether the client takes trailers.
    trailers: bool,
}

/// Answers a request.
pub async fn respond(
    conn: &Rc<Conn>,
    view: &View,
    mut head: request::Parts,
    body: RequestBody,
    upgrade: Option<Upgrade>,
    record: &mut Record,
) -> Result<Answer, RequestError> {
    let decoded = decode(conn, &mut head, upgrade.as_ref())?;
    let body = limited(conn, &head, body, record)?;
    let listener = conn.listener(view, &decoded.host)?;
    let candidate = find(&listener, &head, &decoded.host).ok_or(ErrorKind::NotFound)?;
    let state = conn.worker.rule(&listener, &candidate.rule, conn.client_port(), conn.scheme());
    record.matched(&state);
    let passage = Passage { conn, view, rule: &candidate.rule, state: &state, matched: &candidate.matcher.path };
    match candidate.rule.timeouts.request {
        None => pass(&passage, head, body, decoded, upgrade, record).await,
        Some(limit) => {
            let deadline = Instant::from_std(record.start() + limit);
            let passed = Box::pin(pass(&passage, head, body, decoded, upgrade, record));
            let mut answer = tokio::time::timeout_at(deadline, passed)
                .await
                .unwrap_or_else(|_| Err(ErrorKind::RequestTimeout.into()))?;
            // The earlier of the two: one try's limit may be there already.
            let earlier = answer.deadline.as_ref().is_some_and(|other| other.deadline() < deadline);
            if !earlier {
                answer.deadline = Some(Box::pin(tokio::time::sleep_until(deadline)));
            }
            Ok(answer)
        }
    }
}

/// Counts the limit that an error is about.
pub fn count_limit(conn: &Conn, error: &RequestError) {
    let limit = match error.kind {
        ErrorKind::HeadersTooLarge => "header_bytes_max",
        ErrorKind::TooManyHeaders => "headers_max",
        ErrorKind::UriTooLong => "uri_bytes_max",
        ErrorKind::BodyTooLarge => "body_bytes_max",
        ErrorKind::BodyTimeout => "body_idle_timeout",
        ErrorKind::BadRequest => "malformed_http",
        _ => return,
    };
    conn.worker.limit_reached(limit);
}

// === decode ===

/// Brings a head into the one form that everything behind reads: the host in Host alone, a normalised path, and no
/// header that concerns the client's connection.
fn decode(conn: &Conn, head: &mut request::Parts, upgrade: Option<&Upgrade>) -> Result<Decoded, RequestError> {
    let limits = &conn.worker.shared.limits;
    let extended = upgrade.is_some_and(|upgrade| upgrade.extended_connect);
    if head.method == Method::CONNECT {
        if !extended {
            return Err(ErrorKind::MethodNotAllowed.into());
        }
        head.method = Method::GET;
        // HTTP/2 has no use for the key; the backend's HTTP/1.1 demands one (RFC 8441, 5; RFC 6455, 4.1).
        head.headers.insert(header::SEC_WEBSOCKET_KEY, websocket_key(conn));
    }
    if head.headers.len() > limits.headers_max {
        return Err(ErrorKind::TooManyHeaders.into());
    }
    if head.uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.uri_bytes_max) {
        return Err(ErrorKind::UriTooLong.into());
    }
    // RFC 9112, 6.3: a message with both is an attempt at smuggling, or broken.
    if head.headers.contains_key(header::TRANSFER_ENCODING) && head.headers.contains_key(header::CONTENT_LENGTH) {
        return Err(RequestError::new(ErrorKind::BadRequest, "both Content-Length and Transfer-Encoding"));
    }
    let host = decode_host(head)?;
    let path = target::normalise(head.uri.path());
    let path = path.ok_or_else(|| RequestError::new(ErrorKind::BadRequest, "the path leads nowhere"))?;
    if let std::borrow::Cow::Owned(path) = path {
        edits::set_uri(head, None, Some(&path)).ok_or(ErrorKind::BadRequest)?;
    }
    let trailers = head.headers.get(header::TE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    headers::remove_hop_by_hop(&mut head.headers);
    headers::join_cookies(&mut head.headers);
    // Our own server answers it, when the body is first read.
    head.headers.remove(header::EXPECT);
    if !conn.forwarded.is_trusted() {
        headers::remove_forwarded(&mut head.headers);
    }
    Ok(Decoded { host, trailers })
}

/// A key that nobody has to guess: it only proves that the backend speaks WebSocket.
fn websocket_key(conn: &Conn) -> HeaderValue {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let (high, low) = (conn.worker.rng.next(), conn.worker.rng.next());
    let key = STANDARD.encode([high.to_be_bytes(), low.to_be_bytes()].concat());
    HeaderValue::try_from(key).expect("base64 is a valid header value")
}

/// The host, from the target or from Host (RFC 9112, 3.2: exactly one); afterwards it stands in Host alone.
fn decode_host(head: &mut request::Parts) -> Result<String, RequestError> {
    let bad = |what: &str| RequestError::new(ErrorKind::BadRequest, what);
    if let Some(authority) = head.uri.authority() {
        // RFC 9112, 3.2.3: the authority form is for CONNECT alone.
        if head.uri.scheme().is_none() {
            return Err(bad("the target is a bare authority"));
        }
        let host = target::host_of(authority.as_str()).ok_or_else(|| bad("the target's host is malformed"))?;
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| bad("the target's host is malformed"))?;
        head.headers.insert(header::HOST, value);
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        (parts.scheme, parts.authority) = (None, None);
        parts.path_and_query.get_or_insert_with(|| http::uri::PathAndQuery::from_static("/"));
        head.uri = http::Uri::from_parts(parts).map_err(|_| bad("the target is malformed"))?;
        return Ok(host);
    }
    let mut values = head.headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(_), Some(_)) => Err(bad("more than one Host")),
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| bad("Host is malformed"))?;
            target::host_of(text).ok_or_else(|| bad("Host is malformed"))
        }
        (None, _) if head.version == Version::HTTP_10 => Ok(String::new()),
        (None, _) => Err(bad("no Host")),
    }
}

/// Puts the client's body under its limits.
fn limited(
    conn: &Conn,
    head: &request::Parts,
    body: RequestBody,
    record: &mut Record,
) -> Result<RequestBody, RequestError> {
    if matches!(body, RequestBody::Empty) {
        return Ok(body);
    }
    let limits = &conn.worker.shared.limits;
    let announced = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let length = announced.or_else(|| body.size_hint().exact());
    if limits.body_bytes_max.zip(length).is_some_and(|(limit, length)| length > limit) {
        return Err(ErrorKind::BodyTooLarge.into());
    }
    Ok(meter::Metered::boxed(body, record.meter(), limits.clone()))
}

// === match ===

fn find<'a>(listener: &'a HttpListener, head: &request::Parts, host: &str) -> Option<&'a Candidate> {
    listener.routes.find(&view(head, host))
}

/// What of a request is matched.
pub fn view<'a>(head: &'a request::Parts, host: &'a str) -> RequestView<'a> {
    let (path, query) = (head.uri.path(), head.uri.query());
    RequestView { host, path, query, method: &head.method, headers: &head.headers }
}

// === request filters, pick, response filters ===

async fn pass(
    passage: &Passage<'_>,
    head: request::Parts,
    body: RequestBody,
    decoded: Decoded,
    upgrade: Option<Upgrade>,
    record: &mut Record,
) -> Result<Answer, RequestError> {
    let mut left = Left::default();
    let host = head.headers.get(header::HOST).cloned();
    let mut request = InFlight { head, body, host: decoded.host };
    passage.conn.forwarded.apply(&mut request.head.headers, host.as_ref(), request.head.version);
    if let Some(answer) = filters::on_request(passage, &passage.rule.filters, &mut request, &mut left, record).await? {
        return Ok(answer);
    }
    let session = passage.rule.session.as_ref();
    let brought = session.and_then(|config| Session::read(config, &request.head.headers, SystemTime::now()));
    let backend = pick(passage.rule, passage.state)?;
    if let Some(answer) = filters::on_request(passage, &backend.filters, &mut request, &mut left, record).await? {
        return Ok(answer);
    }
    let Target::Backend(index) = backend.target else { return Err(invalid(&backend.target)) };
    record.trace().context.write(&mut request.head.headers);
    left.filter_request_body(&mut request);
    let InFlight { mut head, body, .. } = request;
    let body = mirror::send(passage, &[&passage.rule.filters, &backend.filters], &head, body);
    let outbound = Outbound { passage, index, trailers: decoded.trailers, session: brought, upgrade: upgrade.as_ref() };
    let mut reply = match forward::forward(&outbound, &mut head, body, record).await {
        Ok(reply) => reply,
        // A filter may have answered in the middle of the request's body.
        Err(error) => return left.take_answer(record).ok_or(error),
    };
    let chains = [&*backend.filters, &*passage.rule.filters];
    reply.body = filters::on_response(chains, left, &mut reply.response, reply.body, record).await?;
    if let Some(config) = session
        && brought.is_none_or(|session| session.endpoint != reply.endpoint)
    {
        let fresh = Session::begin(reply.endpoint, SystemTime::now());
        fresh.write(config, reply.response.headers_mut(), passage.conn.scheme() == Scheme::Https);
    }
    if let Some(tunnel) = reply.tunnel {
        return switch(passage, reply.response, tunnel, upgrade);
    }
    let deadline = reply.deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline)));
    Ok(Answer { response: reply.response, body: reply.body, deadline })
}

fn pick<'a>(rule: &'a Rule, state: &RuleState) -> Result<&'a HttpBackend, RequestError> {
    let ticket = match rule.backends.total() {
        0 | 1 => 0,
        total => state.ticket(total),
    };
    rule.backends.at(ticket).ok_or_else(|| RequestError::new(ErrorKind::InvalidBackend, "the rule has no backend"))
}

/// Why a target cannot take a request.
pub fn invalid(target: &Target) -> RequestError {
    match target {
        Target::Invalid { reference, reason } => {
            RequestError::new(ErrorKind::InvalidBackend, format_args!("{reference}: {reason}"))
        }
        Target::Backend(_) => ErrorKind::InvalidBackend.into(),
    }
}

/// Leaves HTTP: the answer goes out, then bytes are carried.
fn switch(
    passage: &Passage<'_>,
    mut response: Response<()>,
    tunnel: crate::upstream::h1::Tunnel,
    upgrade: Option<Upgrade>,
) -> Result<Answer, RequestError> {
    let Some(upgrade) = upgrade else {
        return Err(RequestError::new(ErrorKind::UpstreamProtocol, "the backend switched protocols unasked"));
    };
    if upgrade.extended_connect {
        *response.status_mut() = StatusCode::OK;
        headers::remove_hop_by_hop(response.headers_mut());
        response.headers_mut().remove(header::SEC_WEBSOCKET_ACCEPT);
    } else {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    upgrade.join(passage.conn, tunnel);
    Ok(Answer::bare(response))
}
