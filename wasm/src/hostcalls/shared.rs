//! Shared data and queues. Their scope is the filter: no other filter's can be named.

use super::memory::{give, give_u32, slice, split, write_u32};
use super::{Called, Guest, Status};
use crate::shared::{LimitKind, SetError};

pub(super) fn value(guest: &mut Guest<'_>, key: u32, key_len: u32, out: u32, out_len: u32, out_cas: u32) -> Called {
    let (memory, state) = split(guest)?;
    let key = slice(memory, key, key_len)?;
    // No key of that length can be there, and looking for it would take time.
    if key.len() > state.env.config.limits.shared_data {
        return Err(Status::NotFound.into());
    }
    let (value, cas) = state.env.shared.data.value(key).ok_or(Status::NotFound)?;
    write_u32(memory, out_cas, cas)?;
    give(guest, &value, out, out_len)
}

pub(super) fn set(guest: &mut Guest<'_>, key: u32, key_len: u32, value: u32, len: u32, cas: u32) -> Called {
    let (memory, state) = split(guest)?;
    let (key, value) = (slice(memory, key, key_len)?, slice(memory, value, len)?);
    match state.env.shared.data.set(key, value, cas, state.env.config.limits.shared_data) {
        Ok(()) => Ok(()),
        Err(SetError::CasMismatch) => Err(Status::CasMismatch.into()),
        Err(SetError::Full) => {
            state.limit_reached(LimitKind::SharedData);
            Err(Status::InternalFailure.into())
        }
    }
}

/// Makes the queue if there is none; this instance is told of its items from now on.
pub(super) fn register_queue(guest: &mut Guest<'_>, name: u32, len: u32, out: u32) -> Called {
    let (memory, state) = split(guest)?;
    let name = slice(memory, name, len)?;
    let limits = &state.env.config.limits;
    let queue =
        if name.len() <= limits.metric_name { state.env.shared.register_queue(name, limits.queues) } else { None };
    let Some((id, queue)) = queue else {
        state.limit_reached(LimitKind::Queues);
        return Err(Status::InternalFailure.into());
    };
    write_u32(memory, out, id)?;
    state.watch_queue(id, queue);
    Ok(())
}

/// Finds a queue of this filter; the VM is this filter's, or is not named.
pub(super) fn resolve_queue(guest: &mut Guest<'_>, vm: u32, vm_len: u32, name: u32, len: u32, out: u32) -> Called {
    let (memory, state) = split(guest)?;
    let vm = slice(memory, vm, vm_len)?;
    if !vm.is_empty() && vm != state.env.name.as_bytes() {
        return Err(Status::NotFound.into());
    }
    let name = slice(memory, name, len)?;
    let id = state.env.shared.resolve_queue(name).ok_or(Status::NotFound)?;
    give_u32(guest, out, id)
}

pub(super) fn enqueue(guest: &mut Guest<'_>, queue: u32, item: u32, len: u32) -> Called {
    let (memory, state) = split(guest)?;
    let queue = state.env.shared.queue(queue).ok_or(Status::NotFound)?;
    queue.enqueue(slice(memory, item, len)?, state.env.config.limits.queue_bytes).map_err(|_| {
        state.limit_reached(LimitKind::Queues);
        Status::InternalFailure.into()
    })
}

pub(super) fn dequeue(guest: &mut Guest<'_>, queue: u32, out: u32, out_len: u32) -> Called {
    let queue = guest.data().env.shared.queue(queue).ok_or(Status::NotFound)?;
    let item = queue.dequeue().ok_or(Status::Empty)?;
    give(guest, &item, out, out_len)
}
