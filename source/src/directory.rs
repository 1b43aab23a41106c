//! Reads a directory of manifests, again and again: documents whose text did not change are not read anew.

use crate::{
    ledger::{Ledger, Reading, Readings},
    problem::{Note, ObjectId, Origin, Problem},
    reading::{Allowance, FileMemory, Unreadable, read_documents, read_file},
    walk::{Walk, existing_parent, walk},
};
use portolan_translate::objects::Objects;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// What a directory holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The objects in service. The same allocation as before when none changed.
    pub objects: Arc<Objects>,
    /// What is wrong, sorted by file and line.
    pub problems: Vec<Problem>,
    /// What is worth knowing and fails nothing.
    pub notes: Vec<Note>,
    /// Where each object was written.
    pub origins: Arc<BTreeMap<ObjectId, Origin>>,
    /// The module files that WasmFilters name, with what tells one state of a file from the next (nothing if there is
    /// no such file).
    pub modules: BTreeMap<PathBuf, Option<ModuleStamp>>,
}

/// Tells one state of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModuleStamp {
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the last change.
    pub modified: Option<SystemTime>,
}

/// A directory of manifests (or one file), and what was in service when it was last read.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    ledger: Ledger,
    memory: Memory,
    watched: BTreeSet<PathBuf>,
}

/// What was read of each file. (Per file, because relative paths in an object depend on where its manifest lies.)
type Memory = HashMap<PathBuf, FileMemory>;

/// What was read and is not in service yet.
pub(crate) struct Draft {
    /// Equal for two reads of the same contents.
    pub(crate) fingerprint: [u8; 32],
    readings: Readings,
    directories: BTreeSet<PathBuf>,
}

impl Directory {
    /// A directory that was not read yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ledger: Ledger::default(), memory: Memory::new(), watched: BTreeSet::new() }
    }

    /// Where the manifests are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directories in which a change may change the outcome, as of the last read.
    pub fn watched(&self) -> &BTreeSet<PathBuf> {
        &self.watched
    }

    /// Reads everything. Never fails as a whole: what cannot be read is a problem, and keeps what it held when it was
    /// last good. Blocks on the file system.
    pub fn load(&mut self) -> Loaded {
        let draft = self.draft();
        self.accept(draft)
    }

    /// Like [`load`](Self::load) if `file` were the only file and this its text. Of the file system, it asks only
    /// after the modules that WasmFilters name.
    pub fn load_str(&mut self, file: &Path, text: &str) -> Loaded {
        let before = std::mem::take(&mut self.memory).remove(file).unwrap_or_default();
        let outcome = read_documents(file, text, &before, &mut Allowance::default());
        let mut readings = Readings::default();
        self.take(file.to_owned(), outcome, &mut readings);
        self.accept(Draft { fingerprint: fingerprint(&readings), readings, directories: BTreeSet::new() })
    }

    /// Reads everything and puts nothing into service yet: a file may be half written.
    pub(crate) fn draft(&mut self) -> Draft {
        let Walk { files, directories, problems, unreadable, .. } = walk(&self.root);
        let readings = self.read(files, Readings { problems, unreadable, files: Vec::new() });
        Draft { fingerprint: fingerprint(&readings), readings, directories }
    }

    /// Puts into service what was read.
    pub(crate) fn accept(&mut self, draft: Draft) -> Loaded {
        let Draft { readings, mut directories, .. } = draft;
        let report = self.ledger.merge(readings);
        let (objects, origins) = (self.ledger.objects().clone(), self.ledger.origins().clone());
        let modules = modules(&objects);
        directories.extend(modules.keys().filter_map(|file| existing_parent(file)));
        self.watched = directories;
        Loaded { objects, problems: report.problems, notes: report.notes, origins, modules }
    }

    fn read(&mut self, files: Vec<PathBuf>, mut readings: Readings) -> Readings {
        let mut memory = std::mem::take(&mut self.memory);
        let mut allowance = Allowance::default();
        for file in files {
            let before = memory.remove(&file).unwrap_or_default();
            let outcome = read_file(&file, before, &mut allowance);
            self.take(file, outcome, &mut readings);
        }
        readings
    }

    /// Remembers what was read of a file, and adds it to the rest.
    fn take(&mut self, file: PathBuf, outcome: Result<FileMemory, Unreadable>, readings: &mut Readings) {
        match outcome {
            Ok(memory) => {
                let (documents, fingerprint) = (memory.documents.clone(), memory.fingerprint);
                readings.files.push(Reading { file: file.as_path().into(), documents, fingerprint });
                self.memory.insert(file, memory);
            }
            Err(Unreadable::Gone) => {}
            Err(Unreadable::Refused(at, message)) => {
                readings.problems.push(Problem::of_file(&file, at, message));
                readings.unreadable.insert(file);
            }
        }
    }
}

/// The same for the same texts in the same files.
fn fingerprint(readings: &Readings) -> [u8; 32] {
    let mut digest = Sha256::new();
    for reading in &readings.files {
        digest.update(reading.file.as_os_str().as_encoded_bytes());
        digest.update([0]);
        digest.update(reading.fingerprint);
    }
    readings.problems.iter().for_each(|problem| digest.update(problem.to_string()));
    digest.finalize().into()
}

fn modules(objects: &Objects) -> BTreeMap<PathBuf, Option<ModuleStamp>> {
    let files = objects.wasm_filters.values().filter_map(|filter| filter.spec.module.file.as_deref());
    files.map(|file| (PathBuf::from(file), stamp(Path::new(file)))).collect()
}

fn stamp(file: &Path) -> Option<ModuleStamp> {
    let metadata = fs::metadata(file).ok()?;
    Some(ModuleStamp { bytes: metadata.len(), modified: metadata.modified().ok() })
}

#[cfg(test)]
mod tests;
