//! Wasm modules of WasmFilters: read, verified and compiled once per content. Reads files and ConfigMaps, never a network.

use k8s_openapi::api::core::v1::ConfigMap;
use portolan_crds::WasmFilter;
use portolan_source::{ObjectName, Objects};
use portolan_translate::{
    Reference,
    edges::{ModuleFailure, ModuleOutcomes, absence},
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
    /// What each filter had when it last had a module: it is run until there is a better one.
    last: HashMap<ObjectName, ModuleDigest>,
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
            let last = self.last.get(name).copied();
            let loaded = self.load_one(name, filter, objects, forbidden);
            let outcome = loaded.map_err(|why| ModuleFailure { why, last });
            match &outcome {
                Ok(digest) => drop(self.last.insert(name.clone(), *digest)),
                Err(failure) => drop(notes.insert(format!("WasmFilter {name}: {failure}"))),
            }
            outcomes.insert(name.clone(), outcome);
        }
        self.known.retain(|name, _| outcomes.contains_key(name));
        self.last.retain(|name, _| outcomes.contains_key(name));
        let used: BTreeSet<&ModuleDigest> = self.last.values().collect();
        self.compiled.retain(|digest, _| used.contains(digest));
        outcomes
    }

    /// Forgets what filters had before that are not run any more.
    pub fn keep_last(&mut self, of: impl Fn(&ObjectName) -> bool) {
        self.last.retain(|name, _| of(name));
    }

    /// The modules that compiled.
    pub fn compiled(&self) -> impl Iterator<Item = (ModuleDigest, Arc<Module>)> {
        self.compiled.iter().filter_map(|(digest, module)| Some((*digest, module.as_ref().ok()?.clone())))
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
        let Some(selector) = &module.config_map else {
            return Err(
                "only modules from a ConfigMap, or from a file where there is no cluster, are supported yet".into()
            );
        };
        let named = ObjectName::new(name.namespace.clone(), &*selector.name);
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
            && *wanted.to_ascii_lowercase() != digest.to_string()
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
}
