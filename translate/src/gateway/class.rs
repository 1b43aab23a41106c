//! GatewayClasses: which are ours, and what they are told.

use super::{features::SUPPORTED, parameters};
use crate::{
    conditions::{Conditions, Refusal, refusal},
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
        conditions.verdict("Accepted", "Accepted", refused.as_ref());
        conditions.verdict("SupportedVersion", "SupportedVersion", unsupported_version(edges).as_ref());
        let supported_features = SUPPORTED.iter().map(|name| SupportedFeature { name: (*name).to_owned() }).collect();
        (name.clone(), Arc::new(GatewayClassStatus { conditions: conditions.finish(), supported_features }))
    })
    .collect()
}

/// The version of the Gateway API that this is written for.
const BUNDLE: &str = "v1.6";

/// Whether the CRDs of a `gateway.networking.k8s.io/bundle-version` are those that this is written for.
pub fn is_supported_bundle(version: &str) -> bool {
    version.strip_prefix(BUNDLE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A CRD of a version that is not supported, or of none, must be said of the class
/// (<https://gateway-api.sigs.k8s.io/reference/spec/#gatewayclassconditiontype>). It is served all the same, as far as
/// its fields are known.
fn unsupported_version(edges: &Edges) -> Option<Refusal> {
    if edges.bundles_unseen {
        let message = "of which version the CRDs are may not be seen: the controller may not list them";
        return Some(refusal("UnsupportedVersion", message));
    }
    let others: Vec<_> = edges.bundles.iter().filter(|(_, version)| !is_supported_bundle(version)).collect();
    let (name, version) = others.first()?;
    let version = if version.is_empty() { "no version" } else { version };
    let more = if others.len() > 1 { format!(" and {} more", others.len() - 1) } else { String::new() };
    let message = format!("the CRD {name}{more} is of {version}, and {BUNDLE} is supported: what it knows is served");
    Some(refusal("UnsupportedVersion", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_supported_and_another_minor_version_is_not() {
        assert!(["v1.6.0", "v1.6.1", "v1.6"].into_iter().all(is_supported_bundle));
        assert!(!["v1.5.1", "v1.60.0", "v1.7.0", ""].into_iter().any(is_supported_bundle));
    }
}
