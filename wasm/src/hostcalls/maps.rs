//! Header maps and trailers.

use super::memory::{give_filled, give_u32, slice, split};
use super::{Called, Guest, Status};
use crate::encoding::{EncodingError, decode_pairs, encode_pairs};
use crate::instance::{State, to_u32};
use crate::map::{MapError, MapMut, MapRef, Write};
use crate::shared::LimitKind;

const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE_HEADERS: u32 = 2;
const RESPONSE_TRAILERS: u32 = 3;
const GRPC_INITIAL_METADATA: u32 = 4;
const GRPC_TRAILING_METADATA: u32 = 5;
const CALL_HEADERS: u32 = 6;
const CALL_TRAILERS: u32 = 7;

/// No header of a longer name can be there.
const NAME_BYTES_MAX: usize = 64 << 10;

pub(super) fn size(guest: &mut Guest<'_>, map: u32, out: u32) -> Called {
    let size = map_ref(guest.data_mut(), map, None)?.map_or(0, |map| map.len());
    give_u32(guest, out, to_u32(size))
}

/// All pairs; none of a map that is not there.
pub(super) fn pairs(guest: &mut Guest<'_>, map: u32, out: u32, out_len: u32) -> Called {
    give_filled(guest, out, out_len, |_, state, bytes| {
        let limits = state.env.config.limits.headers;
        let Some(map) = map_ref(state, map, None)? else { return Ok(()) };
        let pairs = map.pairs();
        if pairs.is_empty() {
            return Ok(());
        }
        let encoded = encode_pairs(&pairs, limits, bytes);
        drop(pairs);
        encoded.map_err(|_| {
            state.limit_reached(LimitKind::Headers);
            Status::SerializationFailure
        })
    })
}

pub(super) fn value(guest: &mut Guest<'_>, map: u32, name: u32, name_len: u32, out: u32, out_len: u32) -> Called {
    give_filled(guest, out, out_len, |memory, state, bytes| {
        let name = slice(memory, name, name_len)?;
        let map = map_ref(state, map, Some(name))?.ok_or(Status::NotFound)?;
        if name.len() > NAME_BYTES_MAX {
            return Err(Status::NotFound);
        }
        if map.read(name, bytes) { Ok(()) } else { Err(Status::NotFound) }
    })
}

pub(super) fn set_pairs(guest: &mut Guest<'_>, map: u32, pairs: u32, len: u32) -> Called {
    change(guest, map, |memory, state, map| {
        let limits = state.env.config.limits.headers;
        let pairs = decode_pairs(slice(memory, pairs, len)?, limits).map_err(|error| decode_status(state, error))?;
        map_mut(state, map, None)?.set_pairs(&pairs, limits.count).map_err(Refused::Map)
    })
}

pub(super) fn add(guest: &mut Guest<'_>, map: u32, name: u32, name_len: u32, value: u32, len: u32) -> Called {
    write(guest, Write::Add, map, (name, name_len), (value, len))
}

pub(super) fn replace(guest: &mut Guest<'_>, map: u32, name: u32, name_len: u32, value: u32, len: u32) -> Called {
    write(guest, Write::Replace, map, (name, name_len), (value, len))
}

pub(super) fn remove(guest: &mut Guest<'_>, map: u32, name: u32, name_len: u32) -> Called {
    change(guest, map, |memory, state, map| {
        let name = slice(memory, name, name_len)?;
        map_mut(state, map, Some(name))?.remove(name).map_err(Refused::Map)
    })
}

fn write(guest: &mut Guest<'_>, how: Write, map: u32, name: (u32, u32), value: (u32, u32)) -> Called {
    change(guest, map, |memory, state, map| {
        let name = slice(memory, name.0, name.1)?;
        let value = slice(memory, value.0, value.1)?;
        let most = state.env.config.limits.headers;
        if value.len() > most.bytes {
            return Err(Refused::Map(MapError::Full));
        }
        map_mut(state, map, Some(name))?.write(how, name, value, most.count).map_err(Refused::Map)
    })
}

/// Why a change was not made.
enum Refused {
    Map(MapError),
    Status(Status),
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

fn change(
    guest: &mut Guest<'_>,
    map: u32,
    change: impl FnOnce(&[u8], &mut State, u32) -> Result<(), Refused>,
) -> Called {
    let (memory, state) = split(guest)?;
    match change(memory, state, map) {
        Ok(()) => Ok(()),
        Err(Refused::Status(status)) => Err(status.into()),
        Err(Refused::Map(MapError::Invalid)) => Err(Status::BadArgument.into()),
        Err(Refused::Map(MapError::Full)) => {
            state.limit_reached(LimitKind::Headers);
            Err(Status::InternalFailure.into())
        }
    }
}

/// What a guest is told of pairs that cannot be read; those past a limit are counted.
pub(super) fn decode_status(state: &State, error: EncodingError) -> Status {
    match error {
        EncodingError::Truncated | EncodingError::Trailing => Status::ParseFailure,
        EncodingError::TooMany | EncodingError::TooLarge => {
            state.limit_reached(LimitKind::Headers);
            Status::ParseFailure
        }
    }
}

/// The map to read, if it is there in this phase: for the header of this name, or for all.
fn map_ref<'s>(state: &'s mut State, map: u32, name: Option<&[u8]>) -> Result<Option<MapRef<'s>>, Status> {
    let call = state.call_response.as_ref();
    let slot = state.slots.get_mut(state.effective);
    Ok(match map {
        REQUEST_HEADERS => slot.and_then(|slot| slot.request_head(name)).map(|head| MapRef::Request(head)),
        RESPONSE_HEADERS => slot.and_then(|slot| slot.response_head.get()).map(|head| MapRef::Response(head)),
        REQUEST_TRAILERS => {
            slot.filter(|slot| slot.request.trailers_known).map(|slot| MapRef::Plain(&slot.request.trailers))
        }
        RESPONSE_TRAILERS => {
            slot.filter(|slot| slot.response.trailers_known).map(|slot| MapRef::Plain(&slot.response.trailers))
        }
        CALL_HEADERS => call.map(|call| MapRef::Response(&call.head)),
        CALL_TRAILERS => call.map(|call| MapRef::Plain(&call.trailers)),
        GRPC_INITIAL_METADATA | GRPC_TRAILING_METADATA => None,
        _ => return Err(Status::BadArgument),
    })
}

/// The map to change: only one that is there, and not the answer of a call. For the header of this name, or for all.
fn map_mut<'s>(state: &'s mut State, map: u32, name: Option<&[u8]>) -> Result<MapMut<'s>, Status> {
    let slot = state.slot().ok_or(Status::BadArgument)?;
    // Latent headers tell of the authority as it came.
    let name = name.filter(|name| !(name.eq_ignore_ascii_case(b"host") || *name == b":authority"));
    match map {
        REQUEST_HEADERS => slot.request_head(name).map(MapMut::Request).ok_or(Status::BadArgument),
        RESPONSE_HEADERS => slot.response_head.get().map(MapMut::Response).ok_or(Status::BadArgument),
        REQUEST_TRAILERS if slot.request.trailers_known => Ok(MapMut::Plain(&mut slot.request.trailers)),
        RESPONSE_TRAILERS if slot.response.trailers_known => Ok(MapMut::Plain(&mut slot.response.trailers)),
        _ => Err(Status::BadArgument),
    }
}
