//! HTTP calls, and the callouts that are not there: gRPC and foreign functions.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::maps::decode_status;
use super::memory::{give, give_u32, slice, split, write_u32};
use super::system::write_log;
use super::{Called, Guest, Status};
use crate::encoding::{Pair, decode_pairs};
use crate::head::RequestHead;
use crate::host::{CallRequest, LogLevel};
use crate::instance::State;
use crate::map::{MapMut, Write};
use crate::shared::LimitKind;

/// gRPC's code "unknown", for the status of a call that never was.
const GRPC_UNKNOWN: u32 = 2;

/// Calls one of the filter's services. `:method`, `:path` and `:authority` are required, as in Envoy.
#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
pub(super) fn http_call(
    guest: &mut Guest<'_>,
    service: u32,
    service_len: u32,
    headers: u32,
    headers_len: u32,
    body: u32,
    body_len: u32,
    trailers: u32,
    trailers_len: u32,
    timeout: u32,
    out_token: u32,
) -> Called {
    let (memory, state) = split(guest)?;
    let service = slice(memory, service, service_len)?;
    let config = state.env.config.clone();
    let Some(service) = config.services.iter().find(|known| known.as_bytes() == service) else {
        let name = String::from_utf8_lossy(&service[..service.len().min(config.limits.metric_name)]);
        let message = format!("http_call: {name:?} is none of the services that this filter may call");
        write_log(state, LogLevel::Warn, &message);
        return Err(Status::BadArgument.into());
    };
    let limits = &config.limits;
    let decode = |at, len| -> Result<Vec<Pair<'_>>, Status> {
        decode_pairs(slice(memory, at, len)?, limits.headers).map_err(|error| decode_status(state, error))
    };
    let head = request_head(&decode(headers, headers_len)?, limits.headers.count)?;
    let trailers = trailers_map(&decode(trailers, trailers_len)?, limits.headers.count)?;
    let body = slice(memory, body, body_len)?;
    if body.len() > limits.body_buffer {
        state.limit_reached(LimitKind::BodyBuffer);
        return Err(Status::InternalFailure.into());
    }
    if state.calls.len() >= limits.http_calls {
        state.limit_reached(LimitKind::HttpCalls);
        return Err(Status::InternalFailure.into());
    }
    let body = Bytes::copy_from_slice(body);
    let timeout = Duration::from_millis(u64::from(timeout)).min(limits.http_call_timeout);
    let request = CallRequest { head, body, trailers, timeout, response_bytes_max: limits.body_buffer };
    // A guest that could not be told the number would be called back with one that it does not know.
    slice(memory, out_token, 4)?;
    let token = state.send_call(service, request);
    Ok(write_u32(memory, out_token, token)?)
}

fn request_head(pairs: &[Pair<'_>], most: usize) -> Result<RequestHead, Status> {
    for required in [":method", ":path", ":authority"] {
        if !pairs.iter().any(|(name, _)| *name == required.as_bytes()) {
            return Err(Status::BadArgument);
        }
    }
    let mut head = RequestHead::default();
    write_all(MapMut::Request(&mut head), pairs, most)?;
    Ok(head)
}

fn trailers_map(pairs: &[Pair<'_>], most: usize) -> Result<HeaderMap, Status> {
    let mut trailers = HeaderMap::new();
    write_all(MapMut::Plain(&mut trailers), pairs, most)?;
    Ok(trailers)
}

fn write_all(mut map: MapMut<'_>, pairs: &[Pair<'_>], most: usize) -> Result<(), Status> {
    pairs.iter().try_for_each(|(name, value)| map.write(Write::Add, name, value, most)).map_err(|_| Status::BadArgument)
}

/// The status of the last gRPC callout: there is none.
pub(super) fn status(guest: &mut Guest<'_>, out_code: u32, out: u32, out_len: u32) -> Called {
    give_u32(guest, out_code, GRPC_UNKNOWN)?;
    give(guest, &[], out, out_len)
}

/// gRPC callouts are not supported. `UNIMPLEMENTED` would say so best, but the Rust SDK panics on it.
#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
pub(super) fn grpc_call(
    guest: &mut Guest<'_>,
    _service: u32,
    _service_len: u32,
    _name: u32,
    _name_len: u32,
    _method: u32,
    _method_len: u32,
    _metadata: u32,
    _metadata_len: u32,
    _message: u32,
    _message_len: u32,
    _timeout: u32,
    _out_token: u32,
) -> Called {
    no_grpc(guest.data_mut())
}

/// As [`grpc_call`].
#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
pub(super) fn grpc_stream(
    guest: &mut Guest<'_>,
    _service: u32,
    _service_len: u32,
    _name: u32,
    _name_len: u32,
    _method: u32,
    _method_len: u32,
    _metadata: u32,
    _metadata_len: u32,
    _out_token: u32,
) -> Called {
    no_grpc(guest.data_mut())
}

fn no_grpc(state: &mut State) -> Called {
    write_log(state, LogLevel::Error, "gRPC callouts are not supported by this host");
    Err(Status::InternalFailure.into())
}

/// No token is one of a gRPC callout.
pub(super) fn grpc_send(_: &mut Guest<'_>, _token: u32, _message: u32, _len: u32, _end: u32) -> Called {
    Err(Status::NotFound.into())
}

/// No token is one of a gRPC callout.
pub(super) fn grpc_end(_: &mut Guest<'_>, _token: u32) -> Called {
    Err(Status::NotFound.into())
}

/// No foreign function is known.
pub(super) fn foreign_function(
    _: &mut Guest<'_>,
    _name: u32,
    _name_len: u32,
    _arguments: u32,
    _arguments_len: u32,
    _out: u32,
    _out_len: u32,
) -> Called {
    Err(Status::NotFound.into())
}
