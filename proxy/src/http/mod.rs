//! One request, from its head to its answer, as a sequence of named phases: decode, match, request filters, pick,
//! upstream, response filters, log.

mod added;
mod auth;
pub mod call;
mod edits;
mod filters;
mod forward;
mod grpc;
pub mod headers;
mod meter;
mod mirror;
mod record;
mod respond;
mod session;
mod target;
mod upgrade;

pub use added::Added;
pub use record::Outgoing;
pub use target::{host_of, normalise};
pub use upgrade::{Switch, Upgrade};

use crate::{
    body::{RequestBody, ResponseBody},
    clock,
    conn::Conn,
    error::RequestError,
};
use http::{HeaderValue, Response, header, request};
use portolan_telemetry::trace::RequestTrace;
use record::Record;
use respond::Passage;
use std::rc::Rc;

/// A request that nobody has answered yet. Whoever serves it borrows it: a head that is moved from phase to phase would
/// be copied into each one's future.
pub struct InFlight {
    /// Its head.
    pub head: request::Parts,
    /// Its body.
    pub body: RequestBody,
    /// The host that it is routed by: lower case, without port. Empty until the head is decoded.
    pub host: String,
    /// Whether the client takes trailers. Known once the head is decoded.
    pub takes_trailers: bool,
}

impl InFlight {
    /// A request as it arrived.
    pub fn new(head: request::Parts, body: RequestBody) -> Self {
        Self { head, body, host: String::new(), takes_trailers: false }
    }
}

/// Serves a request.
pub async fn serve(conn: &Rc<Conn>, request: &mut InFlight, upgrade: Option<Upgrade>) -> Response<Outgoing> {
    let start = clock::now();
    let view = conn.worker.view();
    let sampler = conn.worker.shared.options.sampler;
    let trace = RequestTrace::begin(&mut request.head.headers, sampler, &mut conn.worker.ids.borrow_mut());
    let version = request.head.version;
    let grpc = grpc::is_grpc(&request.head);
    let mut record = Record::begin(conn.clone(), start, &request.head, trace);
    let result = match respond::arrive(conn, &view, request, upgrade.as_ref(), &mut record) {
        Ok(listener) => match Passage::find(conn, &view, &listener, request, &mut record) {
            Ok(passage) => match passage.rule.timeouts.request {
                None => respond::pass(&passage, request, upgrade, &mut record).await,
                // Boxed, like all that few requests need, so that the others carry none of its state.
                Some(limit) => Box::pin(respond::pass_within(limit, &passage, request, upgrade, &mut record)).await,
            },
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let (mut response, body, deadline) = match result {
        Ok(answer) => (answer.response, answer.body, answer.deadline),
        Err(error) => {
            let error = grpc::seen_by_client(error, &request.head.headers, start.elapsed());
            record.failed(&error);
            respond::count_limit(conn, &error);
            let (response, body) = error_response(&error, grpc);
            (response, body, None)
        }
    };
    record.answered(response.status());
    if let Some(alt_svc) = conn.alt_svc(&view) {
        response.headers_mut().entry(header::ALT_SVC).or_insert(alt_svc);
    }
    if !record::multiplexes(version) && conn.is_leaving(&view) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response.map(|()| record.into_body(body, deadline))
}

/// The answer to what is no request.
pub fn refusal(conn: &Conn, error: &RequestError) -> Response<Outgoing> {
    respond::count_limit(conn, error);
    let (response, body) = error_response(error, false);
    response.map(|()| Outgoing::untold(body))
}

/// What a client is told of a failure: what it is, and nothing about the inside.
fn error_response(error: &RequestError, grpc: bool) -> (Response<()>, ResponseBody) {
    let mut response = Response::new(());
    if grpc {
        *response.headers_mut() = grpc::error_headers(error.kind);
        return (response, ResponseBody::Empty);
    }
    *response.status_mut() = error.kind.status();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let closes = matches!(error.kind.source(), crate::error::ErrorSource::Client);
    if closes {
        // What is left of such a request cannot be trusted to be read to its end.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    (response, ResponseBody::Full(bytes::Bytes::from_static(error.kind.message().as_bytes())))
}
