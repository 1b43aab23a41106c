//! Requests of our own to a backend: mirrors, authorization, calls of filters. One try, no retries, no session.

use super::Added;
use crate::{
    body::{RequestBody, ResponseBody},
    error::{ErrorKind, RequestError},
    upstream::{connect, h1, h2},
    worker::Worker,
};
use bytes::Bytes;
use http::{HeaderMap, Response, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use portolan_translate::{
    Snapshot,
    snapshot::{BackendIndex, BackendProtocol},
};

/// A whole answer.
pub struct Answered {
    /// Status and headers.
    pub response: Response<()>,
    /// Body.
    pub body: Bytes,
    /// Trailers; mostly none.
    pub trailers: HeaderMap,
}

/// Sends a request and waits for the head of the answer. Its Host, path and headers go out as they are.
pub async fn send(
    worker: &Worker,
    snapshot: &Snapshot,
    index: BackendIndex,
    head: &request::Parts,
    body: RequestBody,
) -> Result<(Response<()>, ResponseBody), RequestError> {
    let gone = || RequestError::new(ErrorKind::InvalidBackend, "the backend has gone");
    let backend = worker.upstreams.get(snapshot, index).ok_or_else(gone)?;
    let endpoint = backend.pick(&worker.rng, None).ok_or(ErrorKind::NoEndpoint)?;
    let limits = &worker.shared.limits;
    if backend.backend.key.protocol == BackendProtocol::Http2 {
        let connection = h2::connection(&backend, &endpoint, limits, false).await?;
        endpoint.began();
        let tls = backend.backend.tls.is_some();
        let begun = h2::Transfer::begin(connection, endpoint.clone(), head, Added::default(), body, tls).await;
        let mut transfer = begun.map_err(|(error, _)| {
            endpoint.ended();
            error
        })?;
        let response = transfer.response().await?;
        return Ok((response, ResponseBody::H2(Box::new(transfer))));
    }
    let connection = connect::http1(&backend, &endpoint, limits, false).await?;
    endpoint.began();
    let mut transfer = h1::Transfer::begin(connection, endpoint.clone(), head, Added::default(), body, None);
    let response = transfer.response(&head.method, limits.upstream_header_bytes_max).await;
    let response = response.map_err(|error| RequestError::new(ErrorKind::UpstreamReset, error))?;
    Ok((response, ResponseBody::H1(Box::new(transfer))))
}

/// Sends a request and waits for the whole answer, which must not be longer than `bytes_max`.
pub async fn ask(
    worker: &Worker,
    snapshot: &Snapshot,
    index: BackendIndex,
    head: &request::Parts,
    body: RequestBody,
    bytes_max: usize,
) -> Result<Answered, RequestError> {
    let (response, body) = send(worker, snapshot, index, head, body).await?;
    let collected =
        Limited::new(body, bytes_max).collect().await.map_err(|error| match error.downcast::<RequestError>() {
            Ok(error) => *error,
            Err(other) if other.is::<LengthLimitError>() => {
                RequestError::new(ErrorKind::UpstreamProtocol, format_args!("an answer of over {bytes_max} bytes"))
            }
            Err(other) => RequestError::new(ErrorKind::UpstreamProtocol, other),
        })?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok(Answered { response, body: collected.to_bytes(), trailers })
}
