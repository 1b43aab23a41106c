//! The phases of a request before and after it is forwarded: decode, match, request filters, pick, response filters.

use super::{
    InFlight, edits,
    filters::{self, Left},
    forward::{self, Outbound},
    headers::{self, Survey},
    meter, mirror,
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
use portolan_translate::snapshot::{HttpBackend, HttpListener, PathMatch, RequestView, Rule, Target};
use std::{
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};
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
    pub state: Rc<RuleState>,
    /// The path condition by which it was taken.
    pub matched: &'a PathMatch,
}

impl<'a> Passage<'a> {
    /// The way through the rule that takes the request.
    pub fn find(
        conn: &'a Rc<Conn>,
        view: &'a View,
        listener: &'a Arc<HttpListener>,
        request: &InFlight,
        record: &mut Record,
    ) -> Result<Self, RequestError> {
        let candidate = listener.routes.find(&view_of(&request.head, &request.host)).ok_or(ErrorKind::NotFound)?;
        let state = conn.worker.rule(listener, &candidate.rule, conn.client_port(), conn.scheme());
        record.matched(&state);
        Ok(Self { conn, view, rule: &candidate.rule, state, matched: &candidate.matcher.path })
    }
}

/// Decodes a request, and finds the listener that it belongs to.
pub fn arrive(
    conn: &Conn,
    view: &View,
    request: &mut InFlight,
    upgrade: Option<&Upgrade>,
    record: &mut Record,
) -> Result<Arc<HttpListener>, RequestError> {
    decode(conn, request, upgrade)?;
    limit_body(conn, request, record)?;
    Ok(conn.listener(view, &request.host)?)
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
fn decode(conn: &Conn, request: &mut InFlight, upgrade: Option<&Upgrade>) -> Result<(), RequestError> {
    let (limits, head) = (&conn.worker.shared.limits, &mut request.head);
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
    request.host = decode_host(head)?;
    let path = target::normalise(head.uri.path());
    let path = path.ok_or_else(|| RequestError::new(ErrorKind::BadRequest, "the path leads nowhere"))?;
    if let std::borrow::Cow::Owned(path) = path {
        edits::set_uri(head, None, Some(&path)).ok_or(ErrorKind::BadRequest)?;
    }
    let survey = Survey::of(&head.headers);
    survey.clean(&mut head.headers, conn.forwarded.is_trusted());
    request.takes_trailers = survey.trailers;
    Ok(())
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
fn limit_body(conn: &Conn, request: &mut InFlight, record: &mut Record) -> Result<(), RequestError> {
    if matches!(request.body, RequestBody::Empty) {
        return Ok(());
    }
    let limits = &conn.worker.shared.limits;
    let length = headers::content_length(&request.head.headers).or_else(|| request.body.size_hint().exact());
    if limits.body_bytes_max.zip(length).is_some_and(|(limit, length)| length > limit) {
        return Err(ErrorKind::BodyTooLarge.into());
    }
    match &request.body {
        // What is here as a whole can neither grow nor be slow.
        RequestBody::Full(bytes) => record.meter().set(bytes.len() as u64),
        _ => {
            let body = std::mem::take(&mut request.body);
            request.body = meter::Metered::boxed(body, record.meter(), limits.clone());
        }
    }
    Ok(())
}

// === match ===

/// What of a request is matched.
pub fn view_of<'a>(head: &'a request::Parts, host: &'a str) -> RequestView<'a> {
    let (path, query) = (head.uri.path(), head.uri.query());
    RequestView { host, path, query, method: &head.method, headers: &head.headers }
}

// === request filters, pick, response filters ===

/// Takes a request through its rule, within the rule's time.
pub async fn pass_within(
    limit: Duration,
    passage: &Passage<'_>,
    request: &mut InFlight,
    upgrade: Option<Upgrade>,
    record: &mut Record,
) -> Result<Answer, RequestError> {
    let deadline = Instant::from_std(record.start() + limit);
    let passed = tokio::time::timeout_at(deadline, pass(passage, request, upgrade, record)).await;
    let mut answer = passed.unwrap_or_else(|_| Err(ErrorKind::RequestTimeout.into()))?;
    // The earlier of the two: one try's limit may be there already.
    let earlier = answer.deadline.as_ref().is_some_and(|other| other.deadline() < deadline);
    if !earlier {
        answer.deadline = Some(Box::pin(tokio::time::sleep_until(deadline)));
    }
    Ok(answer)
}

/// Takes a request through its rule: filters, backend, filters.
pub async fn pass(
    passage: &Passage<'_>,
    request: &mut InFlight,
    upgrade: Option<Upgrade>,
    record: &mut Record,
) -> Result<Answer, RequestError> {
    let mut left = Left::default();
    if passage.conn.forwarded.is_trusted() {
        left.tell(passage, request);
    }
    if let Some(answer) = filters::on_request(passage, &passage.rule.filters, request, &mut left, record).await? {
        return Ok(answer);
    }
    let session = passage.rule.session.as_ref();
    let brought = session.and_then(|config| Session::read(config, &request.head.headers, SystemTime::now()));
    let backend = pick(passage.rule, &passage.state)?;
    if let Some(answer) = filters::on_request(passage, &backend.filters, request, &mut left, record).await? {
        return Ok(answer);
    }
    let Target::Backend(index) = backend.target else { return Err(invalid(&backend.target)) };
    left.filter_request_body(request);
    let body = std::mem::take(&mut request.body);
    let trace = record.trace().context;
    let body = mirror::send(passage, &[&passage.rule.filters, &backend.filters], &request.head, trace, body);
    let trailers = request.takes_trailers;
    let upgrade_wanted = upgrade.as_ref();
    // Where nobody read them on the way, the fields go straight to the backend.
    let forwarded = (!left.is_told()).then_some(&passage.conn.forwarded);
    let outbound = Outbound { passage, index, trailers, session: brought, upgrade: upgrade_wanted, forwarded };
    let mut reply = match forward::forward(&outbound, &mut request.head, body, record).await {
        Ok(reply) => reply,
        // A filter may have answered in the middle of the request's body.
        Err(error) => return left.take_answer(record).ok_or(error),
    };
    crate::h1::recycle(std::mem::take(&mut request.head.headers));
    let chains = [&*backend.filters, &*passage.rule.filters];
    if left.has_streams() {
        reply.body = filters::on_response(chains, &mut left, &mut reply.response, reply.body, record).await?;
    } else {
        filters::edit_response(chains, &mut left, &mut reply.response);
    }
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
