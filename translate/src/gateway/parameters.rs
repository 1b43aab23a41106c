//! How a Gateway is run: the GatewayConfigs that its class and it itself name. What they ask for concerns who runs
//! gateways; here they only have to exist.

use crate::{
    conditions::{Refusal, refusal, shown_kind},
    objects::{ObjectName, Objects},
};
use portolan_crds::{
    Gateway, GatewayClass, PORTOLAN_GROUP,
    common::{LocalObjectReference, ObjectReference},
    gateway_config::GatewayConfigSpec,
};

/// How a Gateway is run: what it says itself, then what its class says. What cannot be found says nothing.
pub fn gateway_config(objects: &Objects, name: &ObjectName, gateway: &Gateway) -> GatewayConfigSpec {
    let class = objects.gateway_classes.get(&ObjectName::new("", gateway.spec.gateway_class_name.as_str()));
    let of_class = class.and_then(|class| of_class(objects, class).ok()).unwrap_or_default();
    of_gateway(objects, name, gateway).unwrap_or_default().over(of_class)
}

/// Names of the GatewayConfigs by which a Gateway is run: its own, then its class's.
pub(super) fn configs(objects: &Objects, name: &ObjectName, gateway: &Gateway) -> Vec<ObjectName> {
    let class = objects.gateway_classes.get(&ObjectName::new("", gateway.spec.gateway_class_name.as_str()));
    let of_class = class.and_then(|class| named_by_class(class)).map(|(_, name)| name);
    named_by_gateway(name, gateway).map(|(_, name)| name).into_iter().chain(of_class).collect()
}

/// What a class says; an error if that cannot be found.
pub(super) fn of_class(objects: &Objects, class: &GatewayClass) -> Result<GatewayConfigSpec, Refusal> {
    let Some((reference, name)) = named_by_class(class) else { return Ok(GatewayConfigSpec::default()) };
    config(objects, "spec.parametersRef", &reference.group, &reference.kind, &name)
}

/// Why a Gateway cannot be run as its own GatewayConfig says, and with its class's, as [`gateway_config`] does.
pub(super) fn refused(
    objects: &Objects,
    name: &ObjectName,
    gateway: &Gateway,
    merged: &GatewayConfigSpec,
) -> Option<Refusal> {
    if let Err(why) = of_gateway(objects, name, gateway) {
        return Some(why);
    }
    let why = "spec.infrastructure.parametersRef: with the GatewayConfig of the class, autoscaling goes by the use of \
               cpu, but resources ask for none";
    merged.autoscales_without_cpu().then(|| refusal("InvalidParameters", why))
}

/// What a Gateway itself says; an error if that cannot be found.
fn of_gateway(objects: &Objects, name: &ObjectName, gateway: &Gateway) -> Result<GatewayConfigSpec, Refusal> {
    let Some((reference, name)) = named_by_gateway(name, gateway) else { return Ok(GatewayConfigSpec::default()) };
    config(objects, "spec.infrastructure.parametersRef", &reference.group, &reference.kind, &name)
}

fn named_by_class(class: &GatewayClass) -> Option<(&ObjectReference, ObjectName)> {
    let reference = class.spec.parameters_ref.as_ref()?;
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    Some((reference, ObjectName::new(namespace, reference.name.as_str())))
}

fn named_by_gateway<'g>(name: &ObjectName, gateway: &'g Gateway) -> Option<(&'g LocalObjectReference, ObjectName)> {
    let reference = gateway.spec.infrastructure.as_ref()?.parameters_ref.as_ref()?;
    Some((reference, ObjectName::new(name.namespace.clone(), reference.name.as_str())))
}

fn config(
    objects: &Objects,
    place: &str,
    group: &str,
    kind: &str,
    name: &ObjectName,
) -> Result<GatewayConfigSpec, Refusal> {
    let invalid = |why: String| refusal("InvalidParameters", format!("{place}: {why}"));
    if (group, kind) != (PORTOLAN_GROUP, "GatewayConfig") {
        let shown = shown_kind(group, kind);
        return Err(invalid(format!("{shown} {} is not supported, only {PORTOLAN_GROUP}/GatewayConfig is", name.name)));
    }
    if name.namespace.is_empty() {
        return Err(invalid("a namespace must be given".to_owned()));
    }
    let found = objects.gateway_configs.get(name);
    found.map(|config| config.spec.clone()).ok_or_else(|| invalid(format!("GatewayConfig {name} does not exist")))
}
