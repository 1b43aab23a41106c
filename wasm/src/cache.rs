//! Compiled modules on disk, so that a start need not compile again. Never reads what another user could have written:
//! machine code from here is run unchecked.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use wasmtime::{Engine, Module};

use crate::engine::EngineError;
use crate::module::Digest256;

/// A directory of compiled modules, one file each: `<sha256 of the Wasm>-<engine>.cwasm`.
#[derive(Debug)]
pub(crate) struct ModuleCache {
    directory: PathBuf,
    /// Tells engines apart whose machine code is not alike: version, settings and processor.
    engine: u64,
}

/// Bytes before the code: its SHA-256, against files that a crash left half written.
const CHECKSUM_BYTES: usize = 32;

impl ModuleCache {
    /// Opens the directory, or makes it for this user alone.
    pub(crate) fn open(directory: PathBuf, engine: &Engine) -> Result<Self, EngineError> {
        let failed = |message: String| EngineError::Cache { path: directory.clone(), message };
        create_private(&directory).map_err(|error| failed(error.to_string()))?;
        check_private(&directory).map_err(failed)?;
        // Not RandomState: the name must be the same in the next run.
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Ok(Self { engine: hasher.finish(), directory })
    }

    /// The module, if it was stored whole by an engine like this one.
    pub(crate) fn load(&self, engine: &Engine, wasm: &Digest256) -> Option<Module> {
        let file = fs::read(self.path(wasm)).ok()?;
        let (checksum, code) = file.split_at_checked(CHECKSUM_BYTES)?;
        if Digest256::of(code).0 != *checksum {
            return None;
        }
        #[allow(unsafe_code)]
        // SAFETY: the code was made by `store` below, by an engine of the same version, settings and processor (all
        // part of the name), is whole (checksum), and lies where no other user can write (checked by `open`).
        unsafe { Module::deserialize(engine, code) }.ok()
    }

    /// Keeps a module. A cache that cannot be written is no failure: the next start compiles again.
    pub(crate) fn store(&self, module: &Module, wasm: &Digest256) {
        if let Ok(code) = module.serialize() {
            let written = self.write(&self.path(wasm), &code);
            drop(written);
        }
    }

    fn write(&self, path: &Path, code: &[u8]) -> std::io::Result<()> {
        // Written aside and renamed, so that a reader never sees half a file. The name differs by process and call.
        let unique = format!("{:x}-{:p}", std::process::id(), code);
        let aside = path.with_extension(unique);
        let mut file = fs::File::create_new(&aside)?;
        let written = file.write_all(&Digest256::of(code).0).and_then(|()| file.write_all(code));
        match written.and_then(|()| fs::rename(&aside, path)) {
            Ok(()) => Ok(()),
            Err(error) => {
                fs::remove_file(&aside)?;
                Err(error)
            }
        }
    }

    fn path(&self, wasm: &Digest256) -> PathBuf {
        self.directory.join(format!("{wasm}-{:016x}.cwasm", self.engine))
    }
}

#[cfg(unix)]
fn create_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(unix)]
fn check_private(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(directory).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("not a directory".to_owned());
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err("belongs to another user, who could change the machine code in it".to_owned());
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(format!("mode {:o} lets others in: chmod 700 it", metadata.mode() & 0o777));
    }
    Ok(())
}

#[cfg(not(unix))]
fn create_private(directory: &Path) -> std::io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(not(unix))]
fn check_private(_directory: &Path) -> Result<(), String> {
    Err("a module cache needs Unix permissions".to_owned())
}
