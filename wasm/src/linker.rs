//! Which host functions a module is linked with. Imports of WASI that have no meaning here answer "not supported";
//! anything else that is unknown is an error when the module is compiled, never a trap at run time.

use wasmtime::{Engine, ExternType, Linker, Val, ValType};

use crate::hostcalls;
use crate::instance::State;
use crate::module::{CompileError, signature};

/// `ENOSYS` of WASI preview 1.
const ENOSYS: i32 = 52;

/// The names by which guests import WASI: of preview 1, and of the preview before it (AssemblyScript).
pub(crate) const WASI_MODULES: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// All host functions that are known.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    hostcalls::register(&mut linker)?;
    for module in WASI_MODULES {
        hostcalls::register_wasi(&mut linker, module)?;
    }
    Ok(linker)
}

/// The linker for one module: `base`, and answers for the WASI functions that only this module knows.
pub(crate) fn for_module(base: &Linker<State>, module: &wasmtime::Module) -> Result<Linker<State>, CompileError> {
    let mut linker = base.clone();
    let mut unknown = Vec::new();
    // `Linker::get` would need a store; what is defined is looked up by name alone.
    for import in module.imports() {
        if hostcalls::is_known(import.module(), import.name()) {
            continue;
        }
        match import.ty() {
            ExternType::Func(func) if is_wasi_stub(import.module(), &func) => {
                linker
                    .func_new(import.module(), import.name(), func, |_, _, results| {
                        results.iter_mut().for_each(|result| *result = Val::I32(ENOSYS));
                        Ok(())
                    })
                    .map_err(|error| CompileError::Invalid(format!("{error:#}")))?;
            }
            ExternType::Func(func) => {
                unknown.push(format!("{}.{} {}", import.module(), import.name(), signature(&func)));
            }
            other => unknown.push(format!("{}.{} ({other:?})", import.module(), import.name())),
        }
    }
    if unknown.is_empty() { Ok(linker) } else { Err(CompileError::UnknownImports(unknown)) }
}

fn is_wasi_stub(module: &str, func: &wasmtime::FuncType) -> bool {
    WASI_MODULES.contains(&module) && func.results().len() == 1 && func.results().all(|ty| matches!(ty, ValType::I32))
}
