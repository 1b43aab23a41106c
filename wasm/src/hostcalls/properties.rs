//! Properties: attributes of the stream, and the state that filters keep with it.

use std::rc::Rc;

use super::memory::{give_filled, slice, split};
use super::{Called, Guest, Status};
use crate::attributes::{Attribute, AttributeValue, StreamInfo, attribute_of};
use crate::encoding::path_segments;
use crate::instance::{Slot, State};
use crate::map::MapRef;
use crate::shared::LimitKind;

/// Most segments of a path that are looked at; no attribute has more.
const SEGMENTS_MAX: usize = 8;

/// Longest path that is looked at.
const PATH_BYTES_MAX: usize = 4096;

/// Gives an attribute's bytes. Whatever has no value is not found, and no path is an error.
pub(super) fn value(guest: &mut Guest<'_>, path: u32, path_len: u32, out: u32, out_len: u32) -> Called {
    give_filled(guest, out, out_len, |memory, state, bytes| {
        let path = slice(memory, path, path_len)?;
        if path.len() > PATH_BYTES_MAX {
            return Err(Status::NotFound);
        }
        let mut segments = [""; SEGMENTS_MAX];
        let mut count = 0;
        for segment in path_segments(path) {
            let place = segments.get_mut(count).ok_or(Status::NotFound)?;
            *place = std::str::from_utf8(segment).map_err(|_| Status::NotFound)?;
            count += 1;
        }
        if lookup(state, &segments[..count], path, bytes) { Ok(()) } else { Err(Status::NotFound) }
    })
}

/// Keeps a value with the stream, for whatever filter reads that path later.
pub(super) fn set(guest: &mut Guest<'_>, path: u32, path_len: u32, value: u32, len: u32) -> Called {
    let (memory, state) = split(guest)?;
    let path = state_path(slice(memory, path, path_len)?);
    if path.len() > PATH_BYTES_MAX {
        return Err(Status::BadArgument.into());
    }
    let value = slice(memory, value, len)?;
    let info = stream_info(state).ok_or(Status::NotFound)?;
    info.state().set(path, value).map_err(|_| {
        state.limit_reached(LimitKind::StreamState);
        Status::InternalFailure.into()
    })
}

fn stream_info(state: &mut State) -> Option<Rc<dyn StreamInfo>> {
    state.slot().and_then(|slot| slot.info.clone())
}

/// A path without the NUL that C++ guests end it with.
fn state_path(path: &[u8]) -> &[u8] {
    path.strip_suffix(&[0]).unwrap_or(path)
}

fn lookup(state: &mut State, segments: &[&str], path: &[u8], out: &mut Vec<u8>) -> bool {
    match segments {
        ["plugin_name"] => return extend(out, Some(state.env.name.as_bytes())),
        // One plugin, one root context, one machine: they have no names of their own.
        ["plugin_root_id" | "plugin_vm_id"] => return extend(out, Some(state.env.name.as_bytes())),
        _ => {}
    }
    let Some(slot) = state.slot() else { return false };
    let found = match segments {
        ["request", name] if request_value(slot, name, out) => true,
        ["request", "headers", name] => request_header(slot, name, out),
        ["response", name] if response_value(slot, name, out) => true,
        ["response", "headers", name] => response_header(slot, name, out),
        ["response", "trailers", name] if slot.response.trailers_known => {
            MapRef::Plain(&slot.response.trailers).read(name.as_bytes(), out)
        }
        _ => false,
    };
    if found {
        return true;
    }
    let Some(info) = slot.info.clone() else { return false };
    if let Some(value) = attribute_of(segments).and_then(|attribute| info.attribute(attribute)) {
        value.encode(out);
        return true;
    }
    match segments {
        // Envoy keeps what `set_property` sets under this prefix.
        ["filter_state", name] => {
            let name = name.strip_prefix("wasm.").unwrap_or(name);
            extend(out, info.state().value(name.as_bytes()).as_deref())
        }
        _ => extend(out, info.state().value(state_path(path)).as_deref()),
    }
}

/// Attributes that follow from the request's head.
fn request_value(slot: &mut Slot, name: &str, out: &mut Vec<u8>) -> bool {
    let Some(head) = slot.request_head.get() else { return false };
    match name {
        "path" => extend(out, Some(head.path.as_str().as_bytes())),
        "url_path" => extend(out, Some(head.path.path().as_bytes())),
        "query" => extend(out, head.path.query().map(str::as_bytes)),
        "host" => extend(out, head.authority().map(str::as_bytes)),
        "scheme" => extend(out, Some(head.scheme.as_str().as_bytes())),
        "method" => extend(out, Some(head.method.as_str().as_bytes())),
        "referer" => MapRef::Request(head).read(b"referer", out),
        "useragent" => MapRef::Request(head).read(b"user-agent", out),
        "id" => engine_value(slot, Attribute::RequestId, out) || request_header(slot, "x-request-id", out),
        _ => false,
    }
}

/// Attributes that follow from the response's head.
fn response_value(slot: &mut Slot, name: &str, out: &mut Vec<u8>) -> bool {
    let head = slot.response_head.get().filter(|_| name == "code");
    head.map(|head| AttributeValue::Int(i64::from(head.status.as_u16())).encode(out)).is_some()
}

fn engine_value(slot: &Slot, attribute: Attribute, out: &mut Vec<u8>) -> bool {
    let value = slot.info.as_ref().and_then(|info| info.attribute(attribute));
    value.map(|value| value.encode(out)).is_some()
}

fn request_header(slot: &mut Slot, name: &str, out: &mut Vec<u8>) -> bool {
    slot.request_head(Some(name.as_bytes())).is_some_and(|head| MapRef::Request(head).read(name.as_bytes(), out))
}

fn response_header(slot: &mut Slot, name: &str, out: &mut Vec<u8>) -> bool {
    slot.response_head.get().is_some_and(|head| MapRef::Response(head).read(name.as_bytes(), out))
}

fn extend(out: &mut Vec<u8>, value: Option<&[u8]>) -> bool {
    value.map(|value| out.extend_from_slice(value)).is_some()
}
