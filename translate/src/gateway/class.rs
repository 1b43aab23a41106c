//! GatewayClasses: which are ours, and what they are told.

use super::{features::SUPPORTED, parameters};
use crate::{
    conditions::{Conditions, Refusal},
    edges::Edges,
    objects::{ObjectName, Objects},
    statuses::StatusMap,
};
use portolan_crds::gateway::{GatewayClassStatus, SupportedFeature};
use std::sync::Arc;

/// What a Gateway's class is to us.
pub(super) enum Class {
    /// Ours.
    Ours,
    /// Ours, but not accepted.
    Refused(Refusal),
    /// Another controller's, or none at all.
    Foreign,
}

/// What the class of a name is to us.
pub(super) fn class(objects: &Objects, edges: &Edges, name: &str) -> Class {
    match objects.gateway_classes.get(&ObjectName::new("", name)) {
        Some(class) if class.spec.controller_name != *edges.controller_name => Class::Foreign,
        Some(class) => match parameters::of_class(objects, class) {
            Err(why) => Class::Refused(why),
            Ok(_) => Class::Ours,
        },
        None if edges.implicit_class.as_deref() == Some(name) => Class::Ours,
        None => Class::Foreign,
    }
}

/// Statuses of the classes that are ours.
pub(crate) fn class_statuses(objects: &Objects, edges: &Edges) -> StatusMap<GatewayClassStatus> {
    let ours = objects.gateway_classes.iter().filter(|(_, class)| class.spec.controller_name == *edges.controller_name);
    ours.map(|(name, class)| {
        let mut conditions = Conditions::of(&class.metadata);
        let refused = parameters::of_class(objects, class).err();
        conditions.verdict("Accepted", "Accepted", refused.as_ref()).set(
            "SupportedVersion",
            true,
            "SupportedVersion",
            "",
        );
        let supported_features = SUPPORTED.iter().map(|name| SupportedFeature { name: (*name).to_owned() }).collect();
        (name.clone(), Arc::new(GatewayClassStatus { conditions: conditions.finish(), supported_features }))
    })
    .collect()
}
