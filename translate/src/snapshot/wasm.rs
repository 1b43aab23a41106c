//! A WasmFilter as the engine runs it: a module by its digest, configuration, limits, what it may call.

use super::{backend::BackendIndex, rule::Target};
use crate::objects::ObjectName;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

pub use portolan_crds::wasm_filter::FailureMode;

/// SHA-256 of a module.
pub type ModuleDigest = [u8; 32];

/// A WasmFilter that resolved.
#[derive(Clone, Debug)]
pub struct WasmFilter {
    /// The object.
    pub name: ObjectName,
    /// The module that is run, or why there is none (which `failure_mode` decides about).
    pub module: Result<ModuleDigest, Arc<str>>,
    /// What `proxy_get_buffer_bytes(PluginConfiguration)` gives.
    pub configuration: Bytes,
    /// What happens to requests when the filter cannot run.
    pub failure_mode: FailureMode,
    /// CPU time of one call into the module.
    pub time_per_call: Duration,
    /// Linear memory of one instance in bytes.
    pub memory_bytes_max: u64,
    /// Instances per worker.
    pub instances: u16,
    /// Services that it may call, by the name that it uses.
    pub services: BTreeMap<Arc<str>, Target>,
}

impl WasmFilter {
    /// The backend of a service that the filter may call.
    pub fn service(&self, name: &str) -> Option<BackendIndex> {
        match self.services.get(name)? {
            Target::Backend(index) => Some(*index),
            Target::Invalid { .. } => None,
        }
    }
}
