//! GatewayClasses: which are ours, and what they are told.

use super::features::SUPPORTED;
use crate::{
    conditions::{Conditions, Refusal, refusal, shown_kind},
    edges::Edges,
    objects::{ObjectName, Objects},
    statuses::StatusMap,
};
use portolan_crds::{
    GatewayClass,
    gateway::{GatewayClassStatus, SupportedFeature},
};
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
        Some(class) => match refused(class) {
            Some(why) => Class::Refused(why),
            None => Class::Ours,
        },
        None if edges.implicit_class.as_deref() == Some(name) => Class::Ours,
        None => Class::Foreign,
    }
}

fn refused(class: &GatewayClass) -> Option<Refusal> {
    let parameters = class.spec.parameters_ref.as_ref()?;
    let shown = format!("{} {}", shown_kind(&parameters.group, &parameters.kind), parameters.name);
    Some(refusal("InvalidParameters", format!("spec.parametersRef: {shown} is not supported, no parameters are")))
}

/// Statuses of the classes that are ours.
pub(crate) fn class_statuses(objects: &Objects, edges: &Edges) -> StatusMap<GatewayClassStatus> {
    let ours = objects.gateway_classes.iter().filter(|(_, class)| class.spec.controller_name == *edges.controller_name);
    ours.map(|(name, class)| {
        let mut conditions = Conditions::of(&class.metadata);
        conditions.verdict("Accepted", "Accepted", refused(class).as_ref()).set(
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
