//! External authorization (GEP-1494): asks a service whether a request may go on, and does to the request what the
//! answer says. Without an answer that can be read the request does not go on. Values of headers are never logged.

mod changes;
mod messages;
mod over_grpc;
mod over_http;
mod prefix;
mod query;
mod seen;

pub use changes::HeaderChanges;

use super::{
    call::{self, Answered},
    respond::{self, Answer, Passage},
};
use crate::{
    body::RequestBody,
    error::{ErrorKind, ErrorSource, RequestError},
};
use bytes::Bytes;
use http::{Response, request};
use http_body::Body;
use over_grpc::Client;
use portolan_telemetry::Scheme;
use portolan_translate::snapshot::{BackendIndex, BackendProtocol, ExternalAuth, ExternalAuthProtocol, Target};
use query::QueryChanges;
use seen::Seen;
use std::time::{Duration, SystemTime};

/// Time that a service has for its answer, connecting and a second try included. The client waits meanwhile, so it is
/// short; a rule's own timeout may be shorter still.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Bytes of a service's answer: of its page for those that are turned away, or of its message.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What becomes of a request.
pub enum Verdict {
    /// It goes on. Its response gets these changes.
    Allowed(HeaderChanges),
    /// It does not. This is the answer.
    Denied(Answer),
}

/// What a service's answer says.
#[derive(Debug)]
enum Decision {
    Allowed(Effects),
    Denied { response: Response<()>, body: Bytes },
}

/// What an answer that allows a request does to it.
#[derive(Debug, Default)]
struct Effects {
    request: HeaderChanges,
    query: QueryChanges,
    response: HeaderChanges,
}

/// An answer that says neither yes nor no, or a question that cannot be put.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("the path of the question is malformed")]
    Path,
    #[error("the changed query is malformed")]
    Query,
    #[error("the service answered with HTTP status {0}")]
    Status(u16),
    #[error("the service does not speak gRPC")]
    NotGrpc,
    #[error("the service answered with gRPC status {0}")]
    GrpcStatus(u16),
    #[error("the service answered without a gRPC status")]
    NoGrpcStatus,
    #[error("the service's answer is not one whole message")]
    Framing,
    #[error("the service compressed its answer, unasked")]
    Compressed,
    #[error("the service's message cannot be decoded")]
    Message,
    #[error("the service's message decides nothing")]
    Undecided,
    #[error("the service asks for more than {max} changes", max = changes::CHANGES_MAX)]
    TooManyChanges,
    #[error("the service asks for a change of a header in a way that is unknown")]
    Action,
    #[error("the service asks for a change of a header with a malformed name or value")]
    Header,
}

/// Asks the filter's service about a request and, if it may go on, changes its head as the answer says. The body that
/// comes back is the one that came, whatever the service was shown of it.
///
/// A body longer than `body_bytes_max` is not refused: the service is shown the part of it that the route allows.
///
/// # Errors
///
/// The client's own, where its body cannot be read; [`ErrorKind::InvalidBackend`] where the route names no service that
/// can be asked; [`ErrorKind::FilterFailed`] where the service did not answer, or not so that it can be understood. The
/// request must not go on then.
pub async fn authorize(
    passage: &Passage<'_>,
    filter: &ExternalAuth,
    head: &mut request::Parts,
    body: RequestBody,
) -> Result<(Verdict, RequestBody), RequestError> {
    let Target::Backend(index) = filter.target else { return Err(respond::invalid(&filter.target)) };
    let (shown, body) = prefix::split(body, usize::from(filter.body_bytes_max)).await?;
    let seen = Seen::new(head, shown, body.size_hint().exact());
    let decision = match &filter.protocol {
        ExternalAuthProtocol::Http { path, allowed_headers, allowed_response_headers } => {
            let question = over_http::question(&seen, path, allowed_headers).map_err(failed)?;
            let answered = ask(passage, index, &question, &seen.body).await?;
            over_http::decision(answered, allowed_response_headers)
        }
        ExternalAuthProtocol::Grpc { allowed_headers } => {
            let question = over_grpc::question(&authority(passage, index)?, TIME_MAX).map_err(failed)?;
            let message = over_grpc::message(&seen, &client(passage), allowed_headers);
            let answered = ask(passage, index, &question, &message).await?;
            over_grpc::decision(&answered)
        }
    };
    Ok((carry_out(decision.map_err(failed)?, head)?, body))
}

/// Does to the request what the decision says.
fn carry_out(decision: Decision, head: &mut request::Parts) -> Result<Verdict, RequestError> {
    match decision {
        Decision::Allowed(effects) => {
            effects.request.apply(&mut head.headers);
            effects.query.apply(head).ok_or_else(|| failed(Unusable::Query))?;
            Ok(Verdict::Allowed(effects.response))
        }
        Decision::Denied { response, body } => {
            Ok(Verdict::Denied(Answer { response, body: body.into(), deadline: None }))
        }
    }
}

/// Puts the question. A connection that broke may have been idle for too long, so that the question is put once more:
/// it changes nothing at the service, whatever its method.
async fn ask(
    passage: &Passage<'_>,
    index: BackendIndex,
    head: &request::Parts,
    body: &Bytes,
) -> Result<Answered, RequestError> {
    let (worker, snapshot) = (&passage.conn.worker, passage.view.snapshot());
    let once = || call::ask(worker, snapshot, index, head, whole(body), ANSWER_BYTES_MAX);
    let tries = Box::pin(async {
        match once().await {
            Err(error) if error.kind == ErrorKind::UpstreamReset => once().await,
            result => result,
        }
    });
    let result = tokio::time::timeout(TIME_MAX, tries).await.unwrap_or_else(|_| {
        worker.limit_reached("auth_timeout");
        Err(RequestError::new(ErrorKind::UpstreamTimeout, format_args!("no answer within {TIME_MAX:?}")))
    });
    // To the client it is all the same why the filter cannot run, unless the route is at fault.
    result.map_err(|error| if error.kind.source() == ErrorSource::Configuration { error } else { failed(error) })
}

fn whole(body: &Bytes) -> RequestBody {
    if body.is_empty() { RequestBody::Empty } else { RequestBody::Full(body.clone()) }
}

fn failed(cause: impl std::fmt::Display) -> RequestError {
    RequestError::new(ErrorKind::FilterFailed, format_args!("ExternalAuth: {cause}"))
}

/// The authority of a gRPC service, which must be one that is spoken to in HTTP/2.
fn authority(passage: &Passage<'_>, index: BackendIndex) -> Result<String, RequestError> {
    let invalid = |what: &str| RequestError::new(ErrorKind::InvalidBackend, format_args!("ExternalAuth: {what}"));
    let backend = passage.view.snapshot().backend(index).ok_or_else(|| invalid("the backend has gone"))?;
    let key = &backend.key;
    if key.protocol != BackendProtocol::Http2 {
        return Err(invalid("gRPC needs a backend that speaks HTTP/2"));
    }
    Ok(format!("{}.{}:{}", key.service.name, key.service.namespace, key.port))
}

/// What a gRPC service is told of the connection.
fn client<'a>(passage: &Passage<'a>) -> Client<'a> {
    let conn = passage.conn;
    Client {
        peer: conn.peer,
        local: conn.local,
        scheme: if conn.scheme() == Scheme::Https { "https" } else { "http" },
        certificate: conn.tls.as_ref().and_then(|tls| tls.client_certificate.as_deref()),
        time: SystemTime::now(),
    }
}
