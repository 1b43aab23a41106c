//! The guest's memory: every access of a host function goes through here, and is checked here.

use wasmtime::AsContextMut;

use super::{Called, Fault, Guest, Status};
use crate::instance::State;

/// Scratch space that is kept between calls is no larger than this.
const SCRATCH_KEPT_BYTES: usize = 64 << 10;

/// The guest's memory and the store's data at once.
pub(super) fn split<'a>(guest: &'a mut Guest<'_>) -> Result<(&'a mut [u8], &'a mut State), Status> {
    let memory = guest.data().guest.as_ref().map(|guest| guest.memory).ok_or(Status::InvalidMemoryAccess)?;
    Ok(memory.data_and_store_mut(guest.as_context_mut()))
}

pub(super) fn slice(memory: &[u8], at: u32, len: u32) -> Result<&[u8], Status> {
    let range = range(at, len)?;
    memory.get(range).ok_or(Status::InvalidMemoryAccess)
}

pub(super) fn slice_mut(memory: &mut [u8], at: u32, len: u32) -> Result<&mut [u8], Status> {
    let range = range(at, len)?;
    memory.get_mut(range).ok_or(Status::InvalidMemoryAccess)
}

fn range(at: u32, len: u32) -> Result<std::ops::Range<usize>, Status> {
    let start = usize::try_from(at).map_err(|_| Status::InvalidMemoryAccess)?;
    let len = usize::try_from(len).map_err(|_| Status::InvalidMemoryAccess)?;
    let end = start.checked_add(len).ok_or(Status::InvalidMemoryAccess)?;
    Ok(start..end)
}

/// As [`slice`], for bytes that must be text.
pub(super) fn text(memory: &[u8], at: u32, len: u32) -> Result<&str, Status> {
    std::str::from_utf8(slice(memory, at, len)?).map_err(|_| Status::BadArgument)
}

pub(super) fn read_u32(memory: &[u8], at: u32) -> Result<u32, Status> {
    let bytes = slice(memory, at, 4)?;
    <[u8; 4]>::try_from(bytes).map(u32::from_le_bytes).map_err(|_| Status::InvalidMemoryAccess)
}

pub(super) fn write_u32(memory: &mut [u8], at: u32, value: u32) -> Result<(), Status> {
    slice_mut(memory, at, 4)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

pub(super) fn write_u64(memory: &mut [u8], at: u32, value: u64) -> Result<(), Status> {
    slice_mut(memory, at, 8)?.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Writes where a guest wants a number.
pub(super) fn give_u32(guest: &mut Guest<'_>, out: u32, value: u32) -> Called {
    let (memory, _) = split(guest)?;
    Ok(write_u32(memory, out, value)?)
}

/// Gives bytes to the guest: its own allocator makes room, and where it is goes to `out` and `out_len`. No bytes need
/// no room: they are a null pointer.
pub(super) fn give(guest: &mut Guest<'_>, bytes: &[u8], out: u32, out_len: u32) -> Called {
    let len = u32::try_from(bytes.len()).map_err(|_| Status::InternalFailure)?;
    let at = if len == 0 { 0 } else { allocate(guest, len)? };
    let (memory, _) = split(guest)?;
    slice_mut(memory, at, len)?.copy_from_slice(bytes);
    write_u32(memory, out, at)?;
    write_u32(memory, out_len, len)?;
    Ok(())
}

/// Fills the scratch space from what `fill` sees, and gives that to the guest.
pub(super) fn give_filled(
    guest: &mut Guest<'_>,
    out: u32,
    out_len: u32,
    fill: impl FnOnce(&[u8], &mut State, &mut Vec<u8>) -> Result<(), Status>,
) -> Called {
    let (memory, state) = split(guest)?;
    let mut scratch = std::mem::take(&mut state.scratch);
    scratch.clear();
    let called = match fill(memory, state, &mut scratch) {
        Ok(()) => give(guest, &scratch, out, out_len),
        Err(status) => Err(status.into()),
    };
    if scratch.capacity() <= SCRATCH_KEPT_BYTES {
        guest.data_mut().scratch = scratch;
    }
    called
}

fn allocate(guest: &mut Guest<'_>, len: u32) -> Result<u32, Fault> {
    // Taken out while it runs: an allocator that asks for allocated memory would call itself without end.
    let allocate = guest.data_mut().guest.as_mut().and_then(|guest| guest.allocate.take());
    let allocate = allocate.ok_or(Status::InternalFailure)?;
    let allocated = allocate.call(&mut *guest, len);
    if let Some(guest) = &mut guest.data_mut().guest {
        guest.allocate = Some(allocate);
    }
    match allocated {
        Ok(0) => Err(Status::InternalFailure.into()),
        Ok(at) => Ok(at),
        Err(error) => Err(Fault::Trap(error)),
    }
}
