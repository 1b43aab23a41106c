//! Buffers: bodies, the bodies of answers to calls, and the configuration.

use bytes::Bytes;

use super::memory::{give, slice, split, write_u32};
use super::{Called, Guest, Status};
use crate::instance::{State, to_u32};
use crate::outcome::Direction;
use crate::shared::LimitKind;

const REQUEST_BODY: u32 = 0;
const RESPONSE_BODY: u32 = 1;
const DOWNSTREAM_DATA: u32 = 2;
const UPSTREAM_DATA: u32 = 3;
const CALL_BODY: u32 = 4;
const GRPC_MESSAGE: u32 = 5;
const VM_CONFIGURATION: u32 = 6;
const PLUGIN_CONFIGURATION: u32 = 7;
const CALL_DATA: u32 = 8;

/// Gives up to `most` bytes from `start` on; none past the end.
pub(super) fn bytes(guest: &mut Guest<'_>, buffer: u32, start: u32, most: u32, out: u32, out_len: u32) -> Called {
    let state = guest.data_mut();
    // The allocator runs between the look at the buffer and the copy, and may change it: so what is copied is held.
    // A body that is one untouched piece, a call's body and the configuration are held without a copy.
    let held = match hold(state, buffer)? {
        Held::Shared(bytes) => bytes,
        Held::Body(direction) => {
            let slot = state.slot().ok_or(Status::NotFound)?;
            let part = part(slot.side(direction).body.as_slice(), start, most).to_vec();
            return give(guest, &part, out, out_len);
        }
    };
    give(guest, part(&held, start, most), out, out_len)
}

pub(super) fn status(guest: &mut Guest<'_>, buffer: u32, out_len: u32, out_flags: u32) -> Called {
    let (memory, state) = split(guest)?;
    let len = match hold(state, buffer)? {
        Held::Shared(bytes) => bytes.len(),
        Held::Body(direction) => state.slot().ok_or(Status::NotFound)?.side(direction).body.len(),
    };
    write_u32(memory, out_len, to_u32(len))?;
    write_u32(memory, out_flags, 0)?;
    Ok(())
}

/// Changes a body that the guest is being called with, or holds.
pub(super) fn set(guest: &mut Guest<'_>, buffer: u32, start: u32, len: u32, data: u32, data_len: u32) -> Called {
    let (memory, state) = split(guest)?;
    let data = slice(memory, data, data_len)?;
    let most = state.env.config.limits.body_buffer;
    let direction = match buffer {
        REQUEST_BODY => Direction::Request,
        RESPONSE_BODY => Direction::Response,
        // All others are read only.
        _ => return Err(Status::BadArgument.into()),
    };
    let slot = state.slot().ok_or(Status::NotFound)?;
    let side = slot.side(direction);
    if !side.body_open {
        return Err(Status::NotFound.into());
    }
    if side.body.splice(to_usize(start), to_usize(len), data, most).is_err() {
        state.limit_reached(LimitKind::BodyBuffer);
        return Err(Status::InternalFailure.into());
    }
    Ok(())
}

/// ABI 0.1.0.
pub(super) fn configuration(guest: &mut Guest<'_>, out: u32, out_len: u32) -> Called {
    bytes(guest, PLUGIN_CONFIGURATION, 0, u32::MAX, out, out_len)
}

enum Held {
    Shared(Bytes),
    Body(Direction),
}

fn hold(state: &mut State, buffer: u32) -> Result<Held, Status> {
    match buffer {
        REQUEST_BODY => hold_body(state, Direction::Request),
        RESPONSE_BODY => hold_body(state, Direction::Response),
        CALL_BODY => {
            let response = state.call_response.as_ref().ok_or(Status::NotFound)?;
            Ok(Held::Shared(response.body.clone()))
        }
        PLUGIN_CONFIGURATION => Ok(Held::Shared(state.env.config.configuration.clone())),
        VM_CONFIGURATION => Ok(Held::Shared(Bytes::new())),
        DOWNSTREAM_DATA | UPSTREAM_DATA | GRPC_MESSAGE | CALL_DATA => Err(Status::NotFound),
        _ => Err(Status::BadArgument),
    }
}

fn hold_body(state: &mut State, direction: Direction) -> Result<Held, Status> {
    let side = state.slot().map(|slot| slot.side(direction)).filter(|side| side.body_open).ok_or(Status::NotFound)?;
    Ok(side.body.shared().map_or(Held::Body(direction), Held::Shared))
}

fn part(bytes: &[u8], start: u32, most: u32) -> &[u8] {
    let start = to_usize(start).min(bytes.len());
    let end = start.saturating_add(to_usize(most)).min(bytes.len());
    &bytes[start..end]
}

fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
