//! Wasm modules of WasmFilters: read, verified and compiled once per content. Reads files and ConfigMaps, never a network.

use k8s_openapi::api::core::v1::ConfigMap;
use portolan_crds::WasmFilter;
use portolan_source::{ObjectName, Objects};
use portolan_translate::{
    Reference,
    edges::{LastModule, ModuleFailure, ModuleOutcomes, absence},
    snapshot::ModuleDigest,
};
use portolan_wasm::{Digest256, EngineConfig, EngineError, Module, WasmEngine};
use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::Read,
    path::PathBuf,
    sync::Arc,
};

/// Compiled modules by digest.
pub struct Modules {
    engine: Option<WasmEngine>,
    cache: Option<PathBuf>,
    compiled: HashMap<ModuleDigest, Result<Arc<Module>, Arc<str>>>,
    files: Files,
    /// What came of filters whose modules lie in ConfigMaps, for as long as both are the same.
    known: HashMap<ObjectName, Known>,
    /// What each filter was when it last had its module.
    last: HashMap<ObjectName, LastModule>,
}

/// Whether a filter may name a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Whoever writes the filter is whoever runs the program.
    Read,
    /// Files are those of a pod, which whoever writes the filter has no business with.
    Refused,
}

struct Known {
    filter: Arc<WasmFilter>,
    map: Arc<ConfigMap>,
    outcome: Result<ModuleDigest, Arc<str>>,
}

impl Modules {
    /// No modules yet. Compiled code is kept below `cache`, if that is given.
    pub fn new(cache: Option<PathBuf>, files: Files) -> Self {
        Self { engine: None, cache, compiled: HashMap::new(), files, known: HashMap::new(), last: HashMap::new() }
    }

    /// Loads the modules of all filters; forgets modules that no filter has any more. What may not be read is not among
    /// the objects, and nobody knows whether it exists.
    pub fn load(
        &mut self,
        objects: &Objects,
        forbidden: &BTreeSet<Reference>,
        notes: &mut BTreeSet<String>,
    ) -> ModuleOutcomes {
        let mut outcomes = ModuleOutcomes::new();
        for (name, filter) in &objects.wasm_filters {
            let loaded = self.load_one(name, filter, objects, forbidden);
            let outcome =
                loaded.map_err(|why| ModuleFailure { why, last: self.before(name, filter, objects, forbidden) });
            match &outcome {
                Ok(digest) => {
                    self.last.insert(name.clone(), LastModule { digest: *digest, filter: filter.clone() });
                }
                Err(failure) => {
                    notes.insert(format!("WasmFilter {name}: {failure}"));
                }
            }
            outcomes.insert(name.clone(), outcome);
        }
        self.known.retain(|name, _| outcomes.contains_key(name));
        self.last.retain(|name, _| outcomes.contains_key(name));
        let used: BTreeSet<&ModuleDigest> = self.last.values().map(|last| &last.digest).collect();
        self.compiled.retain(|digest, _| used.contains(digest));
        outcomes
    }

    /// The modules that compiled.
    pub fn compiled(&self) -> impl Iterator<Item = (ModuleDigest, Arc<Module>)> {
        self.compiled.iter().filter_map(|(digest, module)| Some((*digest, module.as_ref().ok()?.clone())))
    }

    /// The version of a filter that may be run on while its module is not to be had.
    fn before(
        &self,
        name: &ObjectName,
        filter: &WasmFilter,
        objects: &Objects,
        forbidden: &BTreeSet<Reference>,
    ) -> Option<LastModule> {
        let is_deleted = |named: ObjectName| {
            !objects.config_maps.contains_key(&named) && !forbidden.contains(&Reference::ConfigMap(named))
        };
        let last = self.last.get(name).filter(|last| may_run_on(last, filter));
        last.filter(|_| !config_map_of(name, filter).is_some_and(is_deleted)).cloned()
    }

    fn load_one(
        &mut self,
        name: &ObjectName,
        filter: &Arc<WasmFilter>,
        objects: &Objects,
        forbidden: &BTreeSet<Reference>,
    ) -> Result<ModuleDigest, Arc<str>> {
        let module = &filter.spec.module;
        if let Some(file) = &module.file {
            return self.digest(filter, &bytes_of_file(self.files, file)?);
        }
        let (Some(selector), Some(named)) = (&module.config_map, config_map_of(name, filter)) else {
            return Err(
                "only modules from a ConfigMap, or from a file where there is no cluster, are supported yet".into()
            );
        };
        let absence = || absence(forbidden, &Reference::ConfigMap(named.clone()));
        let map = objects.config_maps.get(&named).ok_or_else(absence)?;
        if let Some(known) = self.known.get(name)
            && Arc::ptr_eq(&known.filter, filter)
            && Arc::ptr_eq(&known.map, map)
        {
            return known.outcome.clone();
        }
        let bytes = map.binary_data.as_ref().and_then(|data| data.get(&selector.key));
        let bytes = bytes.ok_or_else(|| format!("ConfigMap {named} has no binaryData[{:?}]", selector.key));
        let outcome = bytes.map_err(Arc::from).and_then(|bytes| self.digest(filter, &bytes.0));
        // Without an engine nothing was said of the module yet.
        if self.engine.is_some() {
            let known = Known { filter: filter.clone(), map: map.clone(), outcome: outcome.clone() };
            self.known.insert(name.clone(), known);
        }
        outcome
    }

    /// The digest of a module that compiles and is the one that the filter wants.
    fn digest(&mut self, filter: &WasmFilter, bytes: &[u8]) -> Result<ModuleDigest, Arc<str>> {
        let digest = Digest256::of(bytes);
        if let Some(wanted) = &filter.spec.module.sha256
            && !is(wanted, digest)
        {
            return Err(format!("the module's SHA-256 is {digest}, spec.module.sha256 wants {wanted}").into());
        }
        if !self.compiled.contains_key(&digest.0) {
            let compiled = self
                .engine()
                .map_err(|error| Arc::from(error.to_string()))
                .and_then(|engine| engine.compile(bytes).map_err(|error| Arc::from(error.to_string())));
            self.compiled.insert(digest.0, compiled);
        }
        match &self.compiled[&digest.0] {
            Ok(_) => Ok(digest.0),
            Err(reason) => Err(reason.clone()),
        }
    }

    /// The engine is made when the first filter comes: it reserves address space.
    fn engine(&mut self) -> Result<&WasmEngine, EngineError> {
        if self.engine.is_none() {
            let config = EngineConfig { cache: self.cache.clone(), ..EngineConfig::default() };
            let engine = match WasmEngine::new(config.clone()) {
                Err(error @ EngineError::Cache { .. }) => {
                    tracing::warn!("compiled modules are not kept: {error}");
                    WasmEngine::new(EngineConfig { cache: None, ..config })
                }
                other => other,
            };
            self.engine = Some(engine?);
        }
        Ok(self.engine.as_ref().expect("it was just made"))
    }
}

/// The ConfigMap that a filter's module lies in.
fn config_map_of(name: &ObjectName, filter: &WasmFilter) -> Option<ObjectName> {
    let selector = filter.spec.module.config_map.as_ref()?;
    Some(ObjectName::new(name.namespace.clone(), &*selector.name))
}

/// Whether a version of a filter may be run on in place of one whose module is not to be had: it is the same object, no
/// other module is demanded, and its configuration is still known.
fn may_run_on(last: &LastModule, filter: &WasmFilter) -> bool {
    last.filter.metadata.uid == filter.metadata.uid
        && last.filter.spec.config_from == filter.spec.config_from
        && filter.spec.module.sha256.as_ref().is_none_or(|wanted| is(wanted, Digest256(last.digest)))
}

/// Whether a SHA-256 of an object is this one.
fn is(wanted: &str, digest: Digest256) -> bool {
    wanted.eq_ignore_ascii_case(&digest.to_string())
}

fn bytes_of_file(files: Files, file: &str) -> Result<Vec<u8>, Arc<str>> {
    if files == Files::Refused {
        return Err("spec.module.file: no file is read in a cluster; put the module into a ConfigMap".into());
    }
    let cannot = |error: std::io::Error| Arc::from(format!("cannot read the module {file}: {error}"));
    let mut bytes = Vec::new();
    let most = EngineConfig::default().module_bytes;
    File::open(file).map_err(cannot)?.take(most as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    match bytes.len() > most {
        true => Err(format!("the module {file} is longer than {most} bytes").into()),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_of_a_pod_is_read_and_none_that_has_no_end() {
        let refused = bytes_of_file(Files::Refused, "/etc/hostname").expect_err("it is a file");
        assert!(refused.contains("no file is read in a cluster"), "{refused}");
        let endless = bytes_of_file(Files::Read, "/dev/zero").expect_err("it has no end");
        assert!(endless.contains("is longer than"), "{endless}");
        assert!(bytes_of_file(Files::Read, "Cargo.toml").is_ok());
    }

    /// A filter whose module lies in the ConfigMap `m`, with more of its spec.
    fn filter(uid: &str, more: &str) -> Arc<WasmFilter> {
        let text = format!(
            r#"{{"metadata": {{"name": "f", "namespace": "n", "uid": "{uid}"}},
                "spec": {{"module": {{"configMap": {{"name": "m", "key": "f.wasm"}}{more}}}}}}}"#
        );
        Arc::new(serde_json::from_str(&text).unwrap())
    }

    fn map(bytes: &[u8]) -> Arc<ConfigMap> {
        let bytes = k8s_openapi::ByteString(bytes.to_vec());
        Arc::new(ConfigMap { binary_data: Some([("f.wasm".to_owned(), bytes)].into()), ..ConfigMap::default() })
    }

    #[test]
    fn a_module_that_is_spoilt_leaves_the_version_before_unless_that_is_let_go() {
        const ABI: &str = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 0)))"#;
        let (name, named) = (ObjectName::new("n", "f"), ObjectName::new("n", "m"));
        let good = wat::parse_str(ABI).unwrap();
        let digest = Digest256::of(&good);
        let pinned = |digest: &str| filter("1", &format!(r#", "sha256": "{digest}""#));
        let mut modules = Modules::new(None, Files::Refused);
        let mut forbidden = BTreeSet::new();
        let mut load = |filter: &Arc<WasmFilter>, map: Option<&Arc<ConfigMap>>, forbidden: &BTreeSet<Reference>| {
            let mut objects = Objects::default();
            objects.wasm_filters.insert(name.clone(), filter.clone());
            map.into_iter().for_each(|map| drop(objects.config_maps.insert(named.clone(), map.clone())));
            let outcome = modules.load(&objects, forbidden, &mut BTreeSet::new()).remove(&name).unwrap();
            let held = modules.compiled().any(|(held, _)| held == digest.0);
            (outcome.map_err(|failure| failure.last.map(|last| last.digest)), held)
        };
        let (first, good, spoilt) = (filter("1", ""), map(&good), map(b"no module"));
        assert_eq!(load(&first, Some(&spoilt), &forbidden), (Err(None), false), "there was none before");
        assert_eq!(load(&first, Some(&good), &forbidden), (Ok(digest.0), true));
        assert_eq!(load(&first, Some(&spoilt), &forbidden), (Err(Some(digest.0)), true));
        assert_eq!(load(&pinned(&digest.to_string()), Some(&spoilt), &forbidden), (Err(Some(digest.0)), true));
        assert_eq!(load(&pinned(&"0".repeat(64)), Some(&good), &forbidden), (Err(None), true), "another one is wanted");
        assert_eq!(load(&filter("2", ""), Some(&spoilt), &forbidden), (Err(None), true), "another object");
        assert_eq!(load(&first, None, &forbidden), (Err(None), true), "it was deleted");
        forbidden.insert(Reference::ConfigMap(named.clone()));
        assert_eq!(load(&first, None, &forbidden), (Err(Some(digest.0)), true), "it may not be read for now");
    }
}
