//! Conditions of statuses: types, reasons and how they are built. Times are left at the epoch: the writer stamps them.

use crate::snapshot::RouteKind;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use portolan_crds::{Condition, ObjectMeta};

/// The longest message that the API admits is 32 KiB; people read less.
const MESSAGE_BYTES_MAX: usize = 2048;

/// Why something does not hold: a reason of the specification (or ours), and what a person can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// A reason, when a condition is false, and a message.
pub(crate) fn refusal(reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { reason, message: message.into() }
}

/// Builds the conditions of one object, all with its generation.
pub(crate) struct Conditions {
    generation: Option<i64>,
    list: Vec<Condition>,
}

// === impl Refusal ===

impl Refusal {
    /// One refusal from many: the first reason, all messages.
    pub(crate) fn merged(all: impl IntoIterator<Item = Refusal>) -> Option<Refusal> {
        let mut all = all.into_iter();
        let mut first = all.next()?;
        let mut seen = vec![first.message.clone()];
        for next in all {
            if seen.contains(&next.message) {
                continue;
            }
            if first.message.len() + next.message.len() > MESSAGE_BYTES_MAX {
                first.message.push_str("; and more");
                break;
            }
            first.message.push_str("; ");
            first.message.push_str(&next.message);
            seen.push(next.message);
        }
        Some(first)
    }
}

// === impl Conditions ===

impl Conditions {
    /// No conditions yet, for the object of this metadata.
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        Self::at(meta.generation)
    }

    /// No conditions yet, for an object of this generation.
    pub(crate) fn at(generation: Option<i64>) -> Self {
        Self { generation, list: Vec::new() }
    }

    /// Adds a condition with a status of `True` or `False`.
    pub(crate) fn set(&mut self, kind: &str, holds: bool, reason: &str, message: impl Into<String>) -> &mut Self {
        let mut message = message.into();
        if message.len() > 2 * MESSAGE_BYTES_MAX {
            let end = (0..=2 * MESSAGE_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(end);
        }
        self.list.push(Condition {
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            message,
            observed_generation: self.generation,
            reason: reason.to_owned(),
            status: if holds { "True" } else { "False" }.to_owned(),
            type_: kind.to_owned(),
        });
        self
    }

    /// Adds a condition that holds, with the reason `reason`, unless it is refused.
    pub(crate) fn verdict(&mut self, kind: &str, reason: &str, refused: Option<&Refusal>) -> &mut Self {
        match refused {
            None => self.set(kind, true, reason, ""),
            Some(why) => self.set(kind, false, why.reason, why.message.as_str()),
        }
    }

    /// The conditions.
    pub(crate) fn finish(&mut self) -> Vec<Condition> {
        self.list.shrink_to_fit();
        std::mem::take(&mut self.list)
    }
}

/// A group and kind as people write them: the core group has no name.
pub(crate) fn shown_kind(group: &str, kind: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{group}/{kind}") }
}

/// When an object was made, for precedence by age. Objects from files have no time and are of one age, younger than all
/// that have one.
pub(crate) fn created(meta: &ObjectMeta) -> i64 {
    meta.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_microsecond())
}

impl RouteKind {
    /// The kind as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HTTPRoute => "HTTPRoute",
            Self::GRPCRoute => "GRPCRoute",
            Self::TLSRoute => "TLSRoute",
            Self::TCPRoute => "TCPRoute",
            Self::UDPRoute => "UDPRoute",
            Self::Service => "Service",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_refusals_keep_the_first_reason_and_each_message_once() {
        let all = [refusal("A", "one"), refusal("B", "two"), refusal("C", "one")];
        assert_eq!(Refusal::merged(all), Some(refusal("A", "one; two")));
        assert_eq!(Refusal::merged([]), None);
    }
}
