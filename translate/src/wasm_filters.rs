//! WasmFilters: what each one resolves to, and its status. Never reads a module: the edges say what became of it.

use crate::{
    changes::Changes,
    conditions::{Conditions, Refusal, refusal},
    edges::{Edges, ModuleFailure},
    objects::{ObjectName, Objects},
    references::{Reference, of_filter},
    refs::{
        certificates::secret_value,
        grants::Referrer,
        resolver::{Context, Dependencies, Purpose, Resolver, Side},
    },
    snapshot::{BackendIndex, ModuleDigest, WasmFilter},
};
use bytes::Bytes;
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use portolan_crds::{
    WasmFilter as Object,
    common::BackendObjectReference,
    wasm_filter::{ConfigSource, KeySelector, WasmFilterStatus},
};
use std::{collections::BTreeMap, sync::Arc};

/// All WasmFilters by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct WasmFilters {
    outcomes: BTreeMap<ObjectName, WasmOutcome>,
}

/// What became of one WasmFilter.
#[derive(Clone, Debug)]
pub(crate) struct WasmOutcome {
    /// The filter, or why requests that need it are answered with 500.
    pub(crate) filter: Result<Arc<WasmFilter>, Refusal>,
    pub(crate) status: Arc<WasmFilterStatus>,
    /// What is read for it.
    pub(crate) references: Vec<Reference>,
    dependencies: Dependencies,
}

// === impl WasmFilters ===

impl WasmFilters {
    /// Resolves all filters; what did not change keeps its `Arc`.
    pub(crate) fn new(
        last: Option<(&Self, &Edges)>,
        resolver: &mut Resolver<'_>,
        edges: &Edges,
        changes: &Changes,
    ) -> Self {
        let mut outcomes = BTreeMap::new();
        for (name, object) in &resolver.objects.wasm_filters {
            let before = last.and_then(|(last, before)| {
                let outcome = last.outcomes.get(name)?;
                let same = before.modules.get(name) == edges.modules.get(name);
                (same && !changed(name, object, outcome, changes)).then_some(outcome)
            });
            let outcome = before.cloned().unwrap_or_else(|| resolve(resolver, edges, name, object));
            outcomes.insert(name.clone(), outcome);
        }
        Self { outcomes }
    }

    /// The filter of a name.
    pub(crate) fn get(&self, name: &ObjectName) -> Option<&WasmOutcome> {
        self.outcomes.get(name)
    }

    /// All filters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ObjectName, &WasmOutcome)> {
        self.outcomes.iter()
    }

    /// Names of filters that are not what they were.
    pub(crate) fn changed<'a>(&'a self, last: &'a Self) -> impl Iterator<Item = &'a ObjectName> {
        let gone = last.outcomes.keys().filter(|name| !self.outcomes.contains_key(*name));
        let other = self.outcomes.iter().filter(|(name, outcome)| {
            let before = last.outcomes.get(*name).map(|before| &before.filter);
            match (&outcome.filter, before) {
                (Ok(now), Some(Ok(before))) => !Arc::ptr_eq(now, before),
                (Err(now), Some(Err(before))) => now != before,
                _ => true,
            }
        });
        gone.chain(other.map(|(name, _)| name))
    }
}

// === impl WasmOutcome ===

impl WasmOutcome {
    /// The backends that the filter may call.
    pub(crate) fn backends(&self) -> &[BackendIndex] {
        &self.dependencies.backends
    }
}

fn changed(name: &ObjectName, object: &Object, outcome: &WasmOutcome, changes: &Changes) -> bool {
    let maps_and_secrets = object.spec.config_from.iter().any(|source| {
        let named = |selector: &KeySelector| ObjectName::new(name.namespace.clone(), selector.name.as_str());
        source.config_map.as_ref().is_some_and(|selector| changes.config_maps.has(&named(selector)))
            || source.secret.as_ref().is_some_and(|selector| changes.secrets.has(&named(selector)))
    });
    changes.wasm_filters.has(name)
        || maps_and_secrets
        || outcome.dependencies.services.iter().any(|service| changes.services.has(service))
        || (outcome.dependencies.grants && changes.reference_grants.any())
}

/// Resolves a filter; one that has lost its module, as it was when it had one.
fn resolve(resolver: &mut Resolver<'_>, edges: &Edges, name: &ObjectName, object: &Object) -> WasmOutcome {
    let missing = || Err(ModuleFailure { why: "the module is not loaded yet".into(), last: None });
    let module = edges.modules.get(name).cloned().unwrap_or_else(missing);
    let mut outcome = resolve_version(resolver, edges, name, object, &module);
    let Err(ModuleFailure { last: Some(last), .. }) = module else { return outcome };
    if outcome.filter.is_ok() {
        let before = resolve_version(resolver, edges, name, &last.filter, &Ok(last.digest));
        outcome.dependencies.add(before.dependencies);
        outcome.filter = before.filter.or(outcome.filter);
    }
    outcome
}

fn resolve_version(
    resolver: &mut Resolver<'_>,
    edges: &Edges,
    name: &ObjectName,
    object: &Object,
    module: &Result<ModuleDigest, ModuleFailure>,
) -> WasmOutcome {
    let mut found = Dependencies::default();
    let accepted = accept(object);
    let configuration = configuration(resolver.objects, edges, name, object).unwrap_or_else(|why| {
        found.unresolved.push(why);
        Bytes::new()
    });
    let services = services(resolver, name, object, &mut found);
    let unresolved = Refusal::merged(found.unresolved.clone());
    let status = status(object, accepted.as_ref().err(), unresolved.as_ref(), module);
    let filter = match (accepted, unresolved) {
        (Err(why), _) | (Ok(()), Some(why)) => Err(why),
        (Ok(()), None) => Ok(Arc::new(WasmFilter {
            name: name.clone(),
            module: module.as_ref().copied().map_err(|failure| failure.why.clone()),
            configuration,
            failure_mode: object.spec.failure_mode,
            time_per_call: object.spec.limits.time_per_call.0,
            memory_bytes_max: object.spec.limits.memory,
            instances: object.spec.limits.instances,
            services,
        })),
    };
    WasmOutcome { filter, status: Arc::new(status), references: of_filter(name, object), dependencies: found }
}

/// Whether we can do what the object asks for.
fn accept(object: &Object) -> Result<(), Refusal> {
    let module = &object.spec.module;
    let sources = [
        ("file", module.file.is_some()),
        ("configMap", module.config_map.is_some()),
        ("url", module.url.is_some()),
        ("oci", module.oci.is_some()),
    ];
    let mut given = sources.into_iter().filter(|(_, given)| *given).map(|(name, _)| name);
    match (given.next(), given.next()) {
        (Some("url" | "oci"), None) => {
            return Err(refusal(
                "UnsupportedValue",
                "spec.module: url and oci are not supported yet; give file or configMap",
            ));
        }
        (Some(_), None) => {}
        (None, _) => return Err(refusal("Invalid", "spec.module: one of file and configMap must be given")),
        (Some(one), Some(other)) => {
            return Err(refusal(
                "Invalid",
                format!("spec.module: {one} and {other} are given, but only one source may be"),
            ));
        }
    }
    if object.spec.config.is_some() && object.spec.config_from.is_some() {
        return Err(refusal("Invalid", "spec: config and configFrom are given, but only one may be"));
    }
    Ok(())
}

/// The configuration as the module sees it.
fn configuration(objects: &Objects, edges: &Edges, name: &ObjectName, object: &Object) -> Result<Bytes, Refusal> {
    match (&object.spec.config, &object.spec.config_from) {
        (Some(serde_json::Value::String(text)), _) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        (Some(value), _) => Ok(value.to_string().into()),
        (None, Some(source)) => configuration_from(objects, edges, &name.namespace, source),
        (None, None) => Ok(Bytes::new()),
    }
}

fn configuration_from(
    objects: &Objects,
    edges: &Edges,
    namespace: &Arc<str>,
    source: &ConfigSource,
) -> Result<Bytes, Refusal> {
    let missing = |why: String| refusal("ConfigNotFound", format!("spec.configFrom: {why}"));
    let named = |selector: &KeySelector| ObjectName::new(namespace.clone(), selector.name.as_str());
    let (reference, value, key) = match (&source.config_map, &source.secret) {
        (Some(selector), None) => {
            let name = named(selector);
            let value = objects.config_maps.get(&name).map(|map| config_map_value(map, &selector.key));
            (Reference::ConfigMap(name), value, &selector.key)
        }
        (None, Some(selector)) => {
            let name = named(selector);
            let value = objects.secrets.get(&name).map(|secret| secret_value(secret, &selector.key));
            (Reference::Secret(name), value, &selector.key)
        }
        _ => return Err(refusal("Invalid", "spec.configFrom: exactly one of configMap and secret must be given")),
    };
    let value = value.ok_or_else(|| missing(edges.absence(&reference)))?;
    value.map(Bytes::copy_from_slice).ok_or_else(|| missing(format!("{reference} has no key {key}")))
}

fn config_map_value<'m>(map: &'m ConfigMap, key: &str) -> Option<&'m [u8]> {
    let text = map.data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
    text.or_else(|| map.binary_data.as_ref()?.get(key).map(|ByteString(bytes)| bytes.as_slice()))
}

fn services(
    resolver: &mut Resolver<'_>,
    name: &ObjectName,
    object: &Object,
    found: &mut Dependencies,
) -> BTreeMap<Arc<str>, crate::snapshot::Target> {
    let from = Referrer { kind: "WasmFilter", namespace: &name.namespace };
    let context = Context { side: Side::Gateway(None), terminated: false };
    let mut services = BTreeMap::new();
    for (at, service) in object.spec.services.iter().enumerate() {
        let reference = BackendObjectReference {
            name: service.service.name.clone(),
            namespace: service.service.namespace.clone(),
            port: Some(service.service.port),
            ..Default::default()
        };
        let place = format!("spec.services[{at}].service");
        let target = resolver.target(from, &context, Purpose::Http, &reference, &place, found);
        services.insert(service.name.as_str().into(), target);
    }
    services
}

fn status(
    object: &Object,
    refused: Option<&Refusal>,
    unresolved: Option<&Refusal>,
    module: &Result<ModuleDigest, ModuleFailure>,
) -> WasmFilterStatus {
    let mut conditions = Conditions::of(&object.metadata);
    conditions.verdict("Accepted", "Accepted", refused).verdict("ResolvedRefs", "ResolvedRefs", unresolved);
    match (refused.or(unresolved), module) {
        (Some(_), _) => conditions.set("Programmed", false, "Invalid", "the filter is not accepted or not resolved"),
        (None, Err(failure)) => conditions.set("Programmed", false, "ModuleNotLoaded", failure.to_string()),
        (None, Ok(_)) => conditions.set("Programmed", true, "Programmed", ""),
    };
    WasmFilterStatus { conditions: conditions.finish() }
}
