//! Wasm modules of WasmFilters: read, verified and compiled once per content. Reads files and ConfigMaps, never a network.

use portolan_crds::WasmFilter;
use portolan_source::{ObjectName, Objects};
use portolan_translate::snapshot::ModuleDigest;
use portolan_wasm::{Digest256, EngineConfig, EngineError, Module, WasmEngine};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

/// What became of each filter's module.
pub type Outcomes = BTreeMap<ObjectName, Result<ModuleDigest, Arc<str>>>;

/// Compiled modules by digest.
pub struct Modules {
    engine: Option<WasmEngine>,
    cache: Option<PathBuf>,
    compiled: HashMap<ModuleDigest, Result<Arc<Module>, Arc<str>>>,
}

impl Modules {
    /// No modules yet. Compiled code is kept below `cache`, if that is given.
    pub fn new(cache: Option<PathBuf>) -> Self {
        Self { engine: None, cache, compiled: HashMap::new() }
    }

    /// Loads the modules of all filters; forgets modules that no filter names any more.
    pub fn load(&mut self, objects: &Objects, notes: &mut BTreeSet<String>) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for (name, filter) in &objects.wasm_filters {
            let outcome = self.load_one(name, filter, objects);
            if let Err(reason) = &outcome {
                notes.insert(format!("WasmFilter {name}: {reason}"));
            }
            outcomes.insert(name.clone(), outcome);
        }
        let used: BTreeSet<&ModuleDigest> = outcomes.values().flatten().collect();
        self.compiled.retain(|digest, _| used.contains(digest));
        outcomes
    }

    /// The modules that compiled.
    pub fn compiled(&self) -> impl Iterator<Item = (ModuleDigest, Arc<Module>)> {
        self.compiled.iter().filter_map(|(digest, module)| Some((*digest, module.as_ref().ok()?.clone())))
    }

    fn load_one(
        &mut self,
        name: &ObjectName,
        filter: &WasmFilter,
        objects: &Objects,
    ) -> Result<ModuleDigest, Arc<str>> {
        let bytes = bytes_of(name, filter, objects)?;
        let digest = Digest256::of(&bytes);
        if let Some(wanted) = &filter.spec.module.sha256
            && *wanted.to_ascii_lowercase() != digest.to_string()
        {
            return Err(format!("the module's SHA-256 is {digest}, spec.module.sha256 wants {wanted}").into());
        }
        if !self.compiled.contains_key(&digest.0) {
            let compiled = self
                .engine()
                .map_err(|error| Arc::from(error.to_string()))
                .and_then(|engine| engine.compile(&bytes).map_err(|error| Arc::from(error.to_string())));
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
            self.engine = Some(WasmEngine::new(config)?);
        }
        Ok(self.engine.as_ref().expect("it was just made"))
    }
}

fn bytes_of(name: &ObjectName, filter: &WasmFilter, objects: &Objects) -> Result<Vec<u8>, Arc<str>> {
    let module = &filter.spec.module;
    if let Some(file) = &module.file {
        return std::fs::read(file).map_err(|error| format!("cannot read the module {file}: {error}").into());
    }
    let Some(selector) = &module.config_map else {
        return Err("only modules from a file or a ConfigMap are supported yet".into());
    };
    let map = objects.config_maps.get(&ObjectName::new(name.namespace.clone(), &*selector.name));
    let map = map.ok_or_else(|| format!("ConfigMap {}/{} does not exist", name.namespace, selector.name))?;
    let bytes = map.binary_data.as_ref().and_then(|data| data.get(&selector.key));
    let bytes = bytes.ok_or_else(|| {
        format!("ConfigMap {}/{} has no binaryData[{:?}]", name.namespace, selector.name, selector.key)
    })?;
    Ok(bytes.0.clone())
}
