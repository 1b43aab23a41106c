//! Metrics that a filter defines.

use std::collections::hash_map::Entry;

use super::memory::{slice, split, text, write_u32, write_u64};
use super::{Called, Guest, Status};
use crate::instance::State;
use crate::shared::{DefineError, LimitKind, Metric, MetricKind};

pub(super) fn define(guest: &mut Guest<'_>, kind: u32, name: u32, len: u32, out: u32) -> Called {
    let (memory, state) = split(guest)?;
    let kind = match kind {
        0 => MetricKind::Counter,
        1 => MetricKind::Gauge,
        2 => MetricKind::Histogram,
        _ => return Err(Status::BadArgument.into()),
    };
    let limits = &state.env.config.limits;
    let defined = if slice(memory, name, len)?.len() <= limits.metric_name {
        state.env.shared.metrics.define(kind, text(memory, name, len)?, limits.metrics)
    } else {
        Err(DefineError::Full)
    };
    match defined {
        Ok(id) => Ok(write_u32(memory, out, id)?),
        Err(DefineError::OtherKind) => Err(Status::BadArgument.into()),
        Err(DefineError::Full) => {
            state.limit_reached(LimitKind::Metrics);
            Err(Status::InternalFailure.into())
        }
    }
}

pub(super) fn record(guest: &mut Guest<'_>, metric: u32, value: u64) -> Called {
    known(guest.data_mut(), metric)?.record(value);
    Ok(())
}

pub(super) fn increment(guest: &mut Guest<'_>, metric: u32, offset: i64) -> Called {
    Ok(known(guest.data_mut(), metric)?.increment(offset).map_err(|_| Status::BadArgument)?)
}

pub(super) fn value(guest: &mut Guest<'_>, metric: u32, out: u32) -> Called {
    let (memory, state) = split(guest)?;
    let value = known(state, metric)?.value().map_err(|_| Status::BadArgument)?;
    Ok(write_u64(memory, out, value)?)
}

/// The metric of this number. Looked up among all workers' once, and then among this instance's, without a lock.
fn known(state: &mut State, metric: u32) -> Result<&Metric, Status> {
    match state.metrics.entry(metric) {
        Entry::Occupied(known) => Ok(known.into_mut()),
        Entry::Vacant(place) => {
            let found = state.env.shared.metrics.metric(metric).ok_or(Status::NotFound)?;
            Ok(place.insert(found))
        }
    }
}
