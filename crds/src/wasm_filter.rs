//! WasmFilter (portolan.dev/v1alpha1): a user's filter, run inside the request path.

use crate::{
    Condition, Duration, PORTOLAN_GROUP,
    resource::{constcat, resource},
};
use serde::{Deserialize, Serialize};

resource!(
    /// A Wasm module (Proxy-Wasm) that sees requests and responses, and may change or answer them. HTTPRoutes and
    /// GRPCRoutes of its namespace name it in a filter of the type ExtensionRef.
    WasmFilter, "wasmfilters", PORTOLAN_GROUP, "v1alpha1", NamespaceResourceScope, WasmFilterSpec, WasmFilterStatus
);

/// What is run, how, and what it may do. Of `config` and `config_from` only one may be given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmFilterSpec {
    /// Where the module comes from.
    pub module: WasmModule,
    /// The filter's configuration, any JSON; a string is handed over as it is, anything else as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<serde_json::Value>,
    /// The filter's configuration, from an object of its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_from: Option<ConfigSource>,
    /// What becomes of requests when the filter fails or its module is not loaded; Closed unless it is given. For a
    /// filter that is not accepted or not resolved they are answered with 500.
    #[serde(default)]
    pub failure_mode: FailureMode,
    /// What the filter may use.
    #[serde(default)]
    pub limits: WasmLimits,
    /// Services that the filter may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<WasmService>,
}

/// Where a module comes from: exactly one of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WasmModule {
    /// A path, relative to the manifest's file; for `portolan dev` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A key below `binaryData` of a ConfigMap in the filter's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeySelector>,
    /// An https URL; `sha256` must be given with it. Not supported yet: such a filter is not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// An OCI artifact at a fixed digest, `registry/repository@sha256:…`. Not supported yet: such a filter is not
    /// accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oci: Option<String>,
    /// SHA-256 of the module, in hex; a module with another one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// One key of an object in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeySelector {
    /// Name of the object.
    pub name: String,
    /// The key.
    pub key: String,
}

/// Where configuration comes from: exactly one of the sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigSource {
    /// A key of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeySelector>,
    /// A key of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeySelector>,
}

/// What becomes of requests when a filter fails or its module is not loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FailureMode {
    /// They are answered with 503.
    #[default]
    Closed,
    /// They go on, through all filters but this one.
    Open,
}

/// What a filter may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WasmLimits {
    /// Time of one call into the module; 10ms unless it is given, at most 10s.
    pub time_per_call: Duration,
    /// Memory of one instance in bytes, written as a Kubernetes quantity; 64Mi unless it is given, from 64Ki to 4Gi.
    #[serde(with = "quantity")]
    pub memory: u64,
    /// Instances on each of a gateway's workers; 1 unless it is given.
    pub instances: u16,
}

impl Default for WasmLimits {
    fn default() -> Self {
        Self { time_per_call: Duration(std::time::Duration::from_millis(10)), memory: 64 << 20, instances: 1 }
    }
}

/// A Service that a filter may call, by the name that it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WasmService {
    /// The name by which the filter calls it (Proxy-Wasm's "upstream").
    pub name: String,
    /// The Service.
    pub service: WasmServiceReference,
}

/// A port of a Service; of another namespace only with a ReferenceGrant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WasmServiceReference {
    /// Name of the Service.
    pub name: String,
    /// Namespace of the Service; the filter's unless it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Port of the Service.
    pub port: u16,
}

/// What became of a WasmFilter, as the controller found it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WasmFilterStatus {
    /// What holds of the filter: Accepted, ResolvedRefs, Programmed.
    pub conditions: Vec<Condition>,
}

/// Sizes as Kubernetes quantities: plain bytes, or with Ki, Mi, Gi, k, M, G.
mod quantity {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    const UNITS: [(&str, u64); 6] =
        [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1000), ("M", 1_000_000), ("G", 1_000_000_000)];

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Quantity {
        Number(u64),
        Text(String),
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = match Quantity::deserialize(deserializer)? {
            Quantity::Number(bytes) => return Ok(bytes),
            Quantity::Text(text) => text,
        };
        let unit = UNITS.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)));
        let (digits, factor) = unit.unwrap_or((&text, 1));
        let parsed = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
        parsed.ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no size: give bytes, or a number with Ki, Mi, Gi, k, M or G"))
        })
    }

    pub fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        match UNITS[..3].iter().rev().find(|(_, factor)| *bytes > 0 && bytes.is_multiple_of(*factor)) {
            Some((suffix, factor)) => serializer.collect_str(&format_args!("{}{suffix}", bytes / factor)),
            None => serializer.collect_str(bytes),
        }
    }
}
