//! A compiled module: what it must have to be a Proxy-Wasm filter, and which phases it takes part in.
//! Never runs it.

use std::fmt;

use sha2::{Digest, Sha256};
use wasmtime::{ExternType, FuncType, InstancePre, ValType};

use crate::engine::WasmEngine;
use crate::instance::State;
use crate::linker;

/// A module, checked and compiled, ready to be instantiated by any worker.
pub struct Module {
    pub(crate) pre: InstancePre<State>,
    pub(crate) engine: WasmEngine,
    abi: AbiVersion,
    digest: Digest256,
    phases: Phases,
    reads_headers: bool,
}

/// The version of the ABI that a module was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AbiVersion {
    /// 0.1.0
    V0_1_0,
    /// 0.2.0
    V0_2_0,
    /// 0.2.1
    V0_2_1,
}

/// A SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest256(pub [u8; 32]);

/// The phases that a module takes part in: the engine may skip the others, and stream a body that no filter sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "a set of independent facts")]
pub struct Phases {
    /// `proxy_on_request_headers`
    pub request_headers: bool,
    /// `proxy_on_request_body`
    pub request_body: bool,
    /// `proxy_on_request_trailers`
    pub request_trailers: bool,
    /// `proxy_on_response_headers`
    pub response_headers: bool,
    /// `proxy_on_response_body`
    pub response_body: bool,
    /// `proxy_on_response_trailers`
    pub response_trailers: bool,
    /// The module imports `proxy_set_buffer_bytes`: a body that it sees may change its length, so that a
    /// `content-length` is not to be trusted.
    pub changes_bodies: bool,
}

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// No Wasm at all.
    #[error("not a Wasm module: it does not begin with the magic bytes \\0asm")]
    NotWasm,
    /// A component, not a core module.
    #[error("a Wasm component, not a Proxy-Wasm module: build it for wasm32-wasip1, not for wasip2")]
    Component,
    /// Larger than allowed.
    #[error("the module has {bytes} bytes, more than the {most} allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// No marker of an ABI that is known here.
    #[error(
        "not a Proxy-Wasm filter: it exports none of proxy_abi_version_0_1_0, proxy_abi_version_0_2_0, proxy_abi_version_0_2_1"
    )]
    NoAbi,
    /// No memory to exchange data through.
    #[error("the module exports no memory named \"memory\"")]
    NoMemory,
    /// A function of the ABI with another signature than the ABI gives it.
    #[error("the module's {name} has the signature {found}, which the ABI does not know")]
    Signature {
        /// Export or import.
        name: String,
        /// What it is.
        found: String,
    },
    /// Imports that no host function answers.
    #[error("the module imports what this host does not have: {}", .0.join(", "))]
    UnknownImports(Vec<String>),
    /// Wasm that does not validate or compile.
    #[error("the module does not compile: {0}")]
    Invalid(String),
}

const WASM_MAGIC: &[u8] = b"\0asm";
/// Where a component's binary says that it is one.
const LAYER_OFFSET: usize = 6;

/// Callbacks of the ABI: name, parameters, results; `proxy_on_{request,response}_headers` apart.
const CALLBACKS: [(&str, usize, usize); 15] = [
    ("proxy_on_context_create", 2, 0),
    ("proxy_on_vm_start", 2, 1),
    ("proxy_on_configure", 2, 1),
    ("proxy_on_done", 1, 1),
    ("proxy_on_log", 1, 0),
    ("proxy_on_delete", 1, 0),
    ("proxy_on_tick", 1, 0),
    ("proxy_on_request_body", 3, 1),
    ("proxy_on_request_trailers", 2, 1),
    ("proxy_on_response_body", 3, 1),
    ("proxy_on_response_trailers", 2, 1),
    ("proxy_on_http_call_response", 5, 0),
    ("proxy_on_queue_ready", 2, 0),
    ("proxy_on_memory_allocate", 1, 1),
    ("malloc", 1, 1),
];

// === impl Module ===

impl Module {
    pub(crate) fn compile(engine: &WasmEngine, bytes: &[u8]) -> Result<Self, CompileError> {
        check_bytes(bytes, engine.config().module_bytes)?;
        let digest = Digest256::of(bytes);
        let module = match engine.cache().and_then(|cache| cache.load(engine.raw(), &digest)) {
            Some(module) => module,
            None => {
                let module = wasmtime::Module::from_binary(engine.raw(), bytes)
                    .map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
                if let Some(cache) = engine.cache() {
                    cache.store(&module, &digest);
                }
                module
            }
        };
        let abi = abi_version(&module).ok_or(CompileError::NoAbi)?;
        check_exports(&module)?;
        let linker = linker::for_module(engine.linker(), &module)?;
        let pre = linker.instantiate_pre(&module).map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
        let imports = |name: &str| module.imports().any(|import| import.module() == "env" && import.name() == name);
        let reads_headers =
            ["value", "pairs", "size"].iter().any(|what| imports(&format!("proxy_get_header_map_{what}")))
                || imports("proxy_get_property");
        let phases = phases(&module, imports("proxy_set_buffer_bytes"));
        Ok(Self { abi, digest, phases, reads_headers, pre, engine: engine.clone() })
    }

    /// The ABI that it was made for.
    pub fn abi(&self) -> AbiVersion {
        self.abi
    }

    /// The digest of the module's bytes.
    pub fn sha256(&self) -> Digest256 {
        self.digest
    }

    /// The phases that it takes part in.
    pub fn phases(&self) -> Phases {
        self.phases
    }

    /// Whether it can look at headers after their phase, so that they must be kept for it.
    pub(crate) fn reads_headers(&self) -> bool {
        self.reads_headers
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("abi", &self.abi)
            .field("sha256", &self.digest.to_string())
            .finish_non_exhaustive()
    }
}

// === impl Digest256 ===

impl Digest256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        })
    }
}

fn check_bytes(bytes: &[u8], most: usize) -> Result<(), CompileError> {
    if bytes.len() > most {
        return Err(CompileError::TooLarge { bytes: bytes.len(), most });
    }
    if !bytes.starts_with(WASM_MAGIC) {
        return Err(CompileError::NotWasm);
    }
    match bytes.get(LAYER_OFFSET) {
        Some(1) => Err(CompileError::Component),
        _ => Ok(()),
    }
}

/// The newest of the module's markers.
fn abi_version(module: &wasmtime::Module) -> Option<AbiVersion> {
    [
        ("proxy_abi_version_0_2_1", AbiVersion::V0_2_1),
        ("proxy_abi_version_0_2_0", AbiVersion::V0_2_0),
        ("proxy_abi_version_0_1_0", AbiVersion::V0_1_0),
    ]
    .into_iter()
    .find(|(marker, _)| matches!(module.get_export(marker), Some(ExternType::Func(_))))
    .map(|(_, version)| version)
}

fn check_exports(module: &wasmtime::Module) -> Result<(), CompileError> {
    if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
        return Err(CompileError::NoMemory);
    }
    for (name, params, results) in CALLBACKS {
        check_callback(module, name, results, |found| found == params)?;
    }
    for name in ["proxy_on_request_headers", "proxy_on_response_headers"] {
        // ABI 0.1.0 has no end-of-stream; guests are taken by what they export, whatever version they name.
        check_callback(module, name, 1, |found| found == 2 || found == 3)?;
    }
    Ok(())
}

fn check_callback(
    module: &wasmtime::Module,
    name: &str,
    results: usize,
    params: impl Fn(usize) -> bool,
) -> Result<(), CompileError> {
    let func = match module.get_export(name) {
        None => return Ok(()),
        Some(ExternType::Func(func)) => func,
        Some(other) => {
            return Err(CompileError::Signature { name: name.to_owned(), found: format!("{other:?}") });
        }
    };
    let all_i32 = func.params().chain(func.results()).all(|ty| matches!(ty, ValType::I32));
    if all_i32 && params(func.params().len()) && func.results().len() == results {
        Ok(())
    } else {
        Err(CompileError::Signature { name: name.to_owned(), found: signature(&func) })
    }
}

pub(crate) fn signature(func: &FuncType) -> String {
    let list = |types: Vec<String>| format!("({})", types.join(", "));
    let params = list(func.params().map(|ty| ty.to_string()).collect());
    format!("{params} -> {}", list(func.results().map(|ty| ty.to_string()).collect()))
}

fn phases(module: &wasmtime::Module, changes_bodies: bool) -> Phases {
    let exports = |name: &str| module.get_export(name).is_some();
    Phases {
        request_headers: exports("proxy_on_request_headers"),
        request_body: exports("proxy_on_request_body"),
        request_trailers: exports("proxy_on_request_trailers"),
        response_headers: exports("proxy_on_response_headers"),
        response_body: exports("proxy_on_response_body"),
        response_trailers: exports("proxy_on_response_trailers"),
        changes_bodies,
    }
}
