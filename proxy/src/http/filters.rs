//! Filters of a rule and of its backends: on the request in the order of the route, on the response in the opposite one.

use super::{
    InFlight,
    auth::{self, Verdict as AuthVerdict},
    edits::{self, Arrival, CorsOutcome},
    record::Record,
    respond::{Answer, Passage, view_of},
};
use crate::{
    body::{RequestBody, ResponseBody},
    error::{ErrorKind, RequestError},
    filter::{self, Answered, Chain, FilterStream, FilteredBody, Info, LentRequest, Side, Stop, Streams, Verdict},
};
use http::{HeaderMap, Response, header, request};
use portolan_telemetry::{FlagKind, ResponseFlag, Scheme};
use portolan_translate::snapshot::{Filter, WasmFilter};
use portolan_wasm::{EndOfStream, Latent, LocalResponse};
use smallvec::SmallVec;
use std::{rc::Rc, sync::Arc};

/// What the request's filters leave for the response's.
#[derive(Default)]
pub struct Left {
    cors: Option<HeaderMap>,
    /// What authorizations change in the response.
    authorization: Vec<auth::HeaderChanges>,
    /// Streams of Wasm filters, in the order of the route, each with the filter that it belongs to.
    streams: SmallVec<[(*const Filter, Rc<FilterStream>); 1]>,
    info: Option<Rc<Info>>,
    /// Where a filter's answer in the middle of the request's body is put, if filters look at that.
    answered: Option<Answered>,
    /// Whether the fields that tell of the client stand among the request's headers.
    told: bool,
}

/// Runs the filters that act on a request; some answer it.
pub async fn on_request(
    passage: &Passage<'_>,
    filters: &[Filter],
    request: &mut InFlight,
    left: &mut Left,
    record: &mut Record,
) -> Result<Option<Answer>, RequestError> {
    for filter in filters {
        let answer = match filter {
            Filter::Wasm(spec) => wasm(passage, filter, spec, request, left, record).await?,
            Filter::ExternalAuth(auth) => {
                left.tell(passage, request);
                // Boxed, so that requests without such filters carry none of their state.
                Box::pin(authorize(passage, auth, request, left, record)).await?
            }
            other => {
                left.tell(passage, request);
                plain(passage, other, request, left, record)?
            }
        };
        if answer.is_some() {
            return Ok(answer);
        }
    }
    Ok(None)
}

/// A filter that needs nothing but the request.
fn plain(
    passage: &Passage<'_>,
    filter: &Filter,
    request: &mut InFlight,
    left: &mut Left,
    record: &mut Record,
) -> Result<Option<Answer>, RequestError> {
    let malformed = |what: &str| RequestError::new(ErrorKind::BadRequest, what);
    let head = &mut request.head;
    match filter {
        Filter::RequestHeaders(changes) => edits::edit(&mut head.headers, changes),
        Filter::Rewrite(rewrite) => {
            let rewritten = edits::rewrite(head, rewrite, passage.matched);
            rewritten.ok_or_else(|| malformed("the rewritten target is malformed"))?;
        }
        Filter::Redirect(redirect) => {
            let scheme = if passage.conn.scheme() == Scheme::Https { "https" } else { "http" };
            let arrival = Arrival { scheme, port: passage.conn.client_port() };
            let answer = edits::redirect(redirect, &view_of(head, &request.host), passage.matched, arrival);
            record.flag(FlagKind::Redirect.into());
            return Ok(Some(Answer::bare(answer.ok_or_else(|| malformed("the redirect's location is malformed"))?)));
        }
        Filter::Cors(cors) => match edits::cors(cors, &head.method, &head.headers) {
            CorsOutcome::Untouched => {}
            CorsOutcome::Actual(headers) => left.cors = Some(headers),
            CorsOutcome::Preflight(answer) => {
                record.flag(FlagKind::CorsPreflight.into());
                return Ok(Some(Answer::bare(answer)));
            }
        },
        Filter::Unresolved { reference, reason } => {
            return Err(RequestError::new(ErrorKind::UnresolvedFilter, format_args!("{reference}: {reason}")));
        }
        Filter::ResponseHeaders(_) | Filter::Mirror(_) | Filter::Wasm(_) | Filter::ExternalAuth(_) => {}
    }
    Ok(None)
}

async fn authorize(
    passage: &Passage<'_>,
    auth: &portolan_translate::snapshot::ExternalAuth,
    request: &mut InFlight,
    left: &mut Left,
    record: &mut Record,
) -> Result<Option<Answer>, RequestError> {
    let body = std::mem::take(&mut request.body);
    let (verdict, body) = auth::authorize(passage, auth, &mut request.head, body).await?;
    request.body = body;
    match verdict {
        AuthVerdict::Allowed(changes) => {
            if !changes.is_empty() {
                left.authorization.push(changes);
            }
            Ok(None)
        }
        AuthVerdict::Denied(answer) => {
            record.flag(ResponseFlag::filter_denied("ExternalAuth"));
            Ok(Some(answer))
        }
    }
}

async fn wasm(
    passage: &Passage<'_>,
    filter: &Filter,
    spec: &Arc<WasmFilter>,
    request: &mut InFlight,
    left: &mut Left,
    record: &mut Record,
) -> Result<Option<Answer>, RequestError> {
    let info = left.info.get_or_insert_with(|| Rc::new(info(passage, &request.head, record))).clone();
    let mut latent = (!left.told).then(|| info.clone() as Rc<dyn Latent>);
    let Some(stream) = filter::open(&passage.conn.worker, spec, info)? else { return Ok(None) };
    let stream = Rc::new(stream);
    record.keep(stream.clone(), left.info.clone());
    let end = EndOfStream::from(matches!(request.body, RequestBody::Empty));
    let tls = passage.conn.scheme() == Scheme::Https;
    let head = LentRequest { head: &mut request.head, latent: &mut latent, tls };
    let verdict = stream.request_headers(head, end).await?;
    left.told = latent.is_none();
    match verdict {
        Verdict::Continue => {
            left.streams.push((filter, stream));
            Ok(None)
        }
        Verdict::Respond(response) => {
            record.flag(ResponseFlag::filter_denied(stream.name()));
            Ok(Some(answer(*response)))
        }
    }
}

fn info(passage: &Passage<'_>, head: &request::Parts, record: &Record) -> Info {
    let trace = record.trace().context.trace_id;
    Info::new(passage.conn.clone(), head.version, record.start(), trace, passage.state.clone())
}

/// A filter's own answer.
fn answer(local: LocalResponse) -> Answer {
    let (response, body) = filter::local_response(local);
    Answer { response, body: ResponseBody::from(body), deadline: None }
}

impl Left {
    /// Puts the fields that tell of the client among the request's headers, if they are not yet.
    pub fn tell(&mut self, passage: &Passage<'_>, request: &mut InFlight) {
        if !std::mem::replace(&mut self.told, true) {
            passage.conn.forwarded.apply(&mut request.head.headers, request.head.version);
        }
    }

    /// Whether the fields that tell of the client stand among the request's headers.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// Whether a Wasm filter looks at the response.
    pub fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// The last stream, if it belongs to this filter.
    fn pop_stream(&mut self, filter: &Filter) -> Option<Rc<FilterStream>> {
        let (of, _) = self.streams.last()?;
        if std::ptr::eq(*of, filter) { self.streams.pop().map(|(_, stream)| stream) } else { None }
    }

    /// Puts the request's body behind the Wasm filters that look at it.
    pub fn filter_request_body(&mut self, request: &mut InFlight) {
        if matches!(request.body, RequestBody::Empty) {
            return;
        }
        let filters: Vec<_> = self.streams.iter().map(|(_, stream)| stream.clone()).collect();
        let looks = |stream: &Rc<FilterStream>| stream.phases().request_body || stream.phases().request_trailers;
        if !filters.iter().any(looks) {
            return;
        }
        if filters.iter().any(|stream| stream.phases().changes_bodies) {
            request.head.headers.remove(header::CONTENT_LENGTH);
        }
        let body = std::mem::take(&mut request.body);
        let answered = self.answered.get_or_insert_default().clone();
        let body = FilteredBody::new(body, Chain::new(Side::Request, filters), answered);
        request.body = RequestBody::Boxed(Box::pin(body));
    }

    /// The answer that a filter gave in the middle of the request's body.
    pub fn take_answer(&self, record: &mut Record) -> Option<Answer> {
        let local = self.answered.as_ref()?.borrow_mut().take()?;
        record.flag(ResponseFlag::filter_denied("body"));
        Some(answer(*local))
    }
}

/// Runs the filters that act on a response, where none of them is a Wasm filter.
pub fn edit_response(chains: [&[Filter]; 2], left: &mut Left, response: &mut Response<()>) {
    for filter in chains.into_iter().flat_map(|filters| filters.iter().rev()) {
        if let Filter::ResponseHeaders(changes) = filter {
            edits::edit(response.headers_mut(), changes);
        }
    }
    add_headers(left, response.headers_mut());
}

/// Runs the filters that act on a response; one may put another in its place.
pub async fn on_response(
    chains: [&[Filter]; 2],
    left: &mut Left,
    response: &mut Response<()>,
    body: ResponseBody,
    record: &mut Record,
) -> Result<ResponseBody, RequestError> {
    use http_body::Body;
    let mut looking = Streams::new();
    for filter in chains.into_iter().flat_map(|filters| filters.iter().rev()) {
        if let Filter::ResponseHeaders(changes) = filter {
            edits::edit(response.headers_mut(), changes);
        }
        let Some(stream) = left.pop_stream(filter) else { continue };
        let end = EndOfStream::from(body.is_end_stream());
        if let Verdict::Respond(local) = stream.response_headers(response, end).await? {
            return Ok(instead(response, *local, stream.name(), record));
        }
        looking.push(stream);
    }
    add_headers(left, response.headers_mut());
    if body.is_end_stream() || !looking.iter().any(looks_at_response_body) {
        return Ok(body);
    }
    Box::pin(filter_response_body(looking.into_vec(), response, body, record)).await
}

/// Puts a filter's answer in the place of a response.
fn instead(
    response: &mut Response<()>,
    local: LocalResponse,
    filter: impl Into<Arc<str>>,
    record: &mut Record,
) -> ResponseBody {
    let (instead, body) = filter::local_response(local);
    *response = instead;
    record.flag(ResponseFlag::filter_denied(filter));
    ResponseBody::from(body)
}

/// Headers that the request's filters add to the response.
fn add_headers(left: &mut Left, headers: &mut HeaderMap) {
    for changes in std::mem::take(&mut left.authorization) {
        changes.apply(headers);
    }
    for (name, value) in left.cors.take().into_iter().flatten() {
        match name {
            // What the backend says of origins yields to the route.
            Some(name) if name != header::VARY => drop(headers.insert(name, value)),
            Some(name) => drop(headers.append(name, value)),
            None => {}
        }
    }
}

fn looks_at_response_body(stream: &Rc<FilterStream>) -> bool {
    stream.phases().response_body || stream.phases().response_trailers
}

/// Puts the response's body behind Wasm filters, at least one of which looks at it. A body that is there as a whole goes
/// through at once, and goes out as a whole.
async fn filter_response_body(
    filters: Vec<Rc<FilterStream>>,
    response: &mut Response<()>,
    body: ResponseBody,
    record: &mut Record,
) -> Result<ResponseBody, RequestError> {
    if filters.iter().any(|stream| stream.phases().changes_bodies) {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let chain = Chain::new(Side::Response, filters);
    match body {
        ResponseBody::Full(bytes) => match chain.whole(bytes).await {
            Ok(bytes) => Ok(ResponseBody::from(bytes)),
            Err(Stop::Answered(local, filter)) => Ok(instead(response, *local, filter, record)),
            Err(Stop::Failed(error)) => Err(error),
        },
        // The head is gone before a filter could answer: such a body ends with an error.
        body => Ok(ResponseBody::Boxed(Box::pin(FilteredBody::new(body, chain, Answered::default())))),
    }
}
