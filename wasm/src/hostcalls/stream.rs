//! What a guest decides about a stream. It takes effect when the callback returns.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::maps::decode_status;
use super::memory::{slice, split};
use super::{Called, Guest, Status};
use crate::encoding::decode_pairs;
use crate::instance::{Life, ROOT};
use crate::outcome::{Direction, LocalResponse};
use crate::shared::LimitKind;

const HTTP_REQUEST: u32 = 0;
const HTTP_RESPONSE: u32 = 1;

/// Statuses that no final response can have are refused, for the ABI has no way to send more than one.
const STATUS_MIN: u16 = 200;

pub(super) fn resume(guest: &mut Guest<'_>, kind: u32) -> Called {
    match kind {
        HTTP_REQUEST => resume_request(guest),
        HTTP_RESPONSE => resume_response(guest),
        _ => Err(Status::BadArgument.into()),
    }
}

pub(super) fn resume_request(guest: &mut Guest<'_>) -> Called {
    resume_side(guest, Direction::Request)
}

pub(super) fn resume_response(guest: &mut Guest<'_>) -> Called {
    resume_side(guest, Direction::Response)
}

fn resume_side(guest: &mut Guest<'_>, direction: Direction) -> Called {
    let slot = guest.data_mut().slot().ok_or(Status::BadArgument)?;
    let side = slot.side(direction);
    side.resumed = true;
    if let Some(waker) = side.waker.take() {
        waker.wake();
    }
    Ok(())
}

/// Both directions of an HTTP exchange end together.
pub(super) fn close(guest: &mut Guest<'_>, kind: u32) -> Called {
    if kind != HTTP_REQUEST && kind != HTTP_RESPONSE {
        return Err(Status::BadArgument.into());
    }
    let slot = guest.data_mut().slot().ok_or(Status::BadArgument)?;
    slot.reset = true;
    slot.wake();
    Ok(())
}

pub(super) fn clear_route_cache(guest: &mut Guest<'_>) -> Called {
    guest.data_mut().slot().ok_or(Status::BadArgument)?.route_cleared = true;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the ABI's signature")]
pub(super) fn respond(
    guest: &mut Guest<'_>,
    status: u32,
    details: u32,
    details_len: u32,
    body: u32,
    body_len: u32,
    headers: u32,
    headers_len: u32,
    grpc_status: i32,
) -> Called {
    let (memory, state) = split(guest)?;
    let status = u16::try_from(status).ok().filter(|status| *status >= STATUS_MIN);
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or(Status::BadArgument)?;
    let limits = &state.env.config.limits;
    let pairs = decode_pairs(slice(memory, headers, headers_len)?, limits.headers);
    let pairs = pairs.map_err(|error| decode_status(state, error))?;
    let body = slice(memory, body, body_len)?;
    if body.len() > limits.body_buffer {
        state.limit_reached(LimitKind::BodyBuffer);
        return Err(Status::InternalFailure.into());
    }
    let details = slice(memory, details, details_len)?;
    let details = &details[..details.len().min(limits.log_line)];
    let response = LocalResponse {
        status,
        details: String::from_utf8_lossy(details).into_owned(),
        headers: response_headers(&pairs)?,
        body: Bytes::copy_from_slice(body),
        grpc_status: u32::try_from(grpc_status).ok(),
    };
    let slot = state.slot().ok_or(Status::BadArgument)?;
    slot.local_response = Some(Box::new(response));
    slot.wake();
    Ok(())
}

/// Pseudo headers are left out: the status is an argument of its own.
fn response_headers(pairs: &[(&[u8], &[u8])]) -> Result<HeaderMap, Status> {
    let mut headers = HeaderMap::with_capacity(pairs.len());
    for (name, value) in pairs.iter().filter(|(name, _)| name.first() != Some(&b':')) {
        let name = HeaderName::from_bytes(name).map_err(|_| Status::BadArgument)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Status::BadArgument)?;
        headers.try_append(name, value).map_err(|_| Status::BadArgument)?;
    }
    Ok(headers)
}

pub(super) fn set_effective_context(guest: &mut Guest<'_>, context: u32) -> Called {
    let state = guest.data_mut();
    if context != ROOT && state.slots.get(context).is_none() {
        return Err(Status::BadArgument.into());
    }
    state.effective = context;
    Ok(())
}

/// The context may be deleted now. Of the root context nothing waits for it.
pub(super) fn done(guest: &mut Guest<'_>) -> Called {
    let state = guest.data_mut();
    let context = state.effective;
    if context == ROOT {
        return Ok(());
    }
    let slot = state.slots.get_mut(context).ok_or(Status::NotFound)?;
    let first = !std::mem::replace(&mut slot.done, true);
    if first && slot.life == Life::Lingering {
        state.done.push(context);
    }
    Ok(())
}
