//! What is a filter and what is not, and the cache of compiled modules.

use crate::support::{ENGINE, guest, wat};
use portolan_wasm::{CompileError, EngineConfig, EngineError, WasmEngine};

fn compile(text: &str) -> CompileError {
    ENGINE.compile(&wat::parse_str(text).unwrap()).expect_err("must not compile")
}

#[test]
fn what_is_no_filter_is_refused_with_its_reason() {
    assert!(matches!(ENGINE.compile(b"#!/bin/sh"), Err(CompileError::NotWasm)));
    assert!(matches!(ENGINE.compile(b""), Err(CompileError::NotWasm)));
    assert!(matches!(ENGINE.compile(&wat::parse_str("(component)").unwrap()), Err(CompileError::Component)));
    assert!(matches!(ENGINE.compile(b"\0asm\x01\0\0\0\xff"), Err(CompileError::Invalid(_))));
    assert!(matches!(compile(r#"(module (memory (export "memory") 1))"#), CompileError::NoAbi));
    assert!(matches!(compile(r#"(module (func (export "proxy_abi_version_0_2_1")))"#), CompileError::NoMemory));
}

#[test]
fn signatures_that_the_abi_does_not_know_are_named() {
    let error = compile(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
           (func (export "proxy_on_request_headers") (param i64) (result i32) (i32.const 0)))"#,
    );
    assert_eq!(
        error.to_string(),
        "the module's proxy_on_request_headers has the signature (i64) -> (i32), which the ABI does not know"
    );
}

#[test]
fn unknown_imports_are_named_all_at_once() {
    let error = compile(
        r#"(module
           (import "env" "proxy_launch_rocket" (func (param i32) (result i32)))
           (import "other" "f" (func)) (import "env" "m" (global i32))
           (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#,
    );
    let message = error.to_string();
    assert!(message.contains("env.proxy_launch_rocket (i32) -> (i32), other.f () -> ()"), "{message}");
    assert!(message.contains("env.m"), "{message}");
}

#[test]
fn a_known_import_of_another_signature_is_an_error() {
    let error = compile(
        r#"(module (import "env" "proxy_log" (func (param i64)))
           (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#,
    );
    assert!(error.to_string().contains("proxy_log"), "{error}");
}

#[test]
fn a_module_larger_than_allowed_is_not_even_read() {
    let config = EngineConfig { module_bytes: 100, instances: 1, ..EngineConfig::default() };
    let engine = WasmEngine::new(config).unwrap();
    assert!(matches!(engine.compile(&[0; 101]), Err(CompileError::TooLarge { bytes: 101, most: 100 })));
}

#[test]
fn assembly_script_finds_wasi_under_its_old_name() {
    wat(r#"(module (import "wasi_unstable" "proc_exit" (func (param i32)))
        (import "wasi_unstable" "fd_readdir" (func (param i32 i32 i32 i64 i32) (result i32)))
        (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0")))"#);
}

#[test]
fn phases_tell_what_a_module_takes_part_in() {
    let phases = wat(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0"))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0)))"#)
    .phases();
    assert!(phases.response_headers && !phases.request_headers && !phases.response_body && !phases.changes_bodies);
    assert!(crate::support::probe().phases().changes_bodies);
}

#[test]
fn the_default_limits_fit_this_machine() {
    WasmEngine::new(EngineConfig::default()).unwrap();
}

#[test]
fn the_digest_is_that_of_the_bytes() {
    let module = wat(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0")))"#);
    assert_eq!(module.sha256().to_string().len(), 64);
    assert_ne!(module.sha256(), crate::support::probe().sha256());
}

#[cfg(unix)]
#[test]
fn compiled_modules_are_cached_and_damaged_ones_are_compiled_again() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("modules");
    let config = || EngineConfig { instances: 1, cache: Some(cache.clone()), ..EngineConfig::default() };
    let files = || std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();

    let wasm = guest("test_probe");
    WasmEngine::new(config()).unwrap().compile(&wasm).unwrap();
    assert_eq!(files().len(), 1);
    let stored = std::fs::read(&files()[0]).unwrap();
    WasmEngine::new(config()).unwrap().compile(&wasm).unwrap();
    assert_eq!(files().len(), 1, "found again");

    let mut damaged = stored.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&files()[0], damaged).unwrap();
    WasmEngine::new(config()).unwrap().compile(&wasm).unwrap();
    assert_eq!(std::fs::read(&files()[0]).unwrap().len(), stored.len(), "stored anew");
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_may_enter_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let cache = Some(directory.path().to_owned());
    let error = WasmEngine::new(EngineConfig { instances: 1, cache, ..EngineConfig::default() }).unwrap_err();
    assert!(matches!(&error, EngineError::Cache { message, .. } if message.contains("chmod 700")), "{error}");
}
