//! Reads a directory of manifests, again and again: documents whose text did not change are not read anew.

use crate::{
    admit::{Admission, Finding, admit},
    ledger::{Ledger, Reading, Readings},
    places::Position,
    problem::{Note, ObjectId, Origin, Problem},
    walk::{Walk, existing_parent, walk},
    yaml::{Chunk, parse_chunk, split},
};
use portolan_translate::objects::Objects;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most bytes of all files together.
pub const TOTAL_BYTES_MAX: u64 = 256 << 20;

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
    pub origins: BTreeMap<ObjectId, Origin>,
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
    objects: Arc<Objects>,
    watched: BTreeSet<PathBuf>,
}

/// What was read of each file. (Per file, because relative paths in an object depend on where its manifest lies.)
type Memory = HashMap<PathBuf, FileMemory>;

#[derive(Debug, Default)]
struct FileMemory {
    /// The outcome of each document by the digest of its text.
    outcomes: HashMap<[u8; 32], Arc<Admission>>,
    /// The documents in their order, and how many lines stand before each.
    order: Vec<(u32, [u8; 32])>,
}

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
        Self {
            root: root.into(),
            ledger: Ledger::default(),
            memory: Memory::new(),
            objects: Arc::default(),
            watched: BTreeSet::new(),
        }
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

    /// Reads everything and puts nothing into service yet: a file may be half written.
    pub(crate) fn draft(&mut self) -> Draft {
        let Walk { files, directories, problems, unreadable, .. } = walk(&self.root);
        let readings = self.read(files, Readings { problems, unreadable, files: Vec::new() });
        Draft { fingerprint: self.fingerprint(&readings), readings, directories }
    }

    /// Puts into service what was read.
    pub(crate) fn accept(&mut self, draft: Draft) -> Loaded {
        let Draft { readings, mut directories, .. } = draft;
        let report = self.ledger.merge(readings);
        if report.changed {
            self.objects = Arc::new(self.ledger.objects());
        }
        let modules = modules(&self.objects);
        directories.extend(modules.keys().filter_map(|file| existing_parent(file)));
        self.watched = directories;
        let (objects, origins) = (self.objects.clone(), self.ledger.origins());
        Loaded { objects, problems: report.problems, notes: report.notes, origins, modules }
    }

    /// The same for the same texts in the same files.
    fn fingerprint(&self, readings: &Readings) -> [u8; 32] {
        let mut digest = Sha256::new();
        for reading in &readings.files {
            let documents = self.memory.get(&*reading.file).into_iter().flat_map(|memory| memory.order.iter());
            digest.update(reading.file.as_os_str().as_encoded_bytes());
            documents.for_each(|(lines_before, document)| {
                digest.update([0]);
                digest.update(lines_before.to_be_bytes());
                digest.update(document);
            });
            digest.update([1]);
        }
        readings.problems.iter().for_each(|problem| digest.update(problem.to_string()));
        digest.finalize().into()
    }

    fn read(&mut self, files: Vec<PathBuf>, mut readings: Readings) -> Readings {
        let mut memory = Memory::new();
        let mut bytes_left = TOTAL_BYTES_MAX;
        for file in files {
            match read_text(&file, &mut bytes_left) {
                Ok(text) => {
                    let before = self.memory.remove(&file).unwrap_or_default();
                    let (documents, remembered) = read_documents(&file, &text, &before);
                    memory.insert(file.clone(), remembered);
                    readings.files.push(Reading { file: file.into(), documents });
                }
                Err(Unreadable::Gone) => {}
                Err(Unreadable::Refused(at, message)) => {
                    readings.problems.push(Problem::of_file(&file, at, message));
                    readings.unreadable.insert(file);
                }
            }
        }
        self.memory = memory;
        readings
    }
}

type Documents = Vec<(u32, Arc<Admission>)>;

fn read_documents(file: &Path, text: &str, before: &FileMemory) -> (Documents, FileMemory) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let (mut documents, mut memory) = (Vec::new(), FileMemory::default());
    for chunk in split(text) {
        let digest: [u8; 32] = Sha256::digest(chunk.text).into();
        let known = memory.outcomes.get(&digest).or_else(|| before.outcomes.get(&digest)).cloned();
        let admission = known.unwrap_or_else(|| Arc::new(admit_chunk(chunk, folder)));
        memory.outcomes.insert(digest, admission.clone());
        memory.order.push((chunk.lines_before, digest));
        documents.push((chunk.lines_before, admission));
    }
    (documents, memory)
}

fn admit_chunk(chunk: Chunk<'_>, folder: &Path) -> Admission {
    let (values, fault) = parse_chunk(chunk.text);
    let mut whole = Admission::default();
    for (value, places) in values {
        let Admission { objects, findings, notes, incomplete } = admit(value, &places, folder);
        whole.objects.extend(objects);
        whole.findings.extend(findings);
        whole.notes.extend(notes);
        whole.incomplete |= incomplete;
    }
    if let Some(fault) = fault {
        whole.incomplete = true;
        whole.findings.push(Finding { at: fault.at, id: None, path: Vec::new(), message: fault.message });
    }
    whole
}

enum Unreadable {
    /// It was deleted since the walk.
    Gone,
    Refused(Position, String),
}

fn read_text(file: &Path, bytes_left: &mut u64) -> Result<String, Unreadable> {
    let refused = |message: String| Unreadable::Refused(Position::START, message);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Gone,
        _ => refused(format!("cannot be read: {error}")),
    };
    let mut bytes = Vec::new();
    // One byte beyond the limit tells that the file is larger, even while it grows.
    let limit = FILE_BYTES_MAX.min(*bytes_left);
    fs::File::open(file).and_then(|open| open.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    let length = bytes.len() as u64;
    if length > FILE_BYTES_MAX {
        return Err(refused(format!("larger than {FILE_BYTES_MAX} bytes: split it")));
    }
    if length > *bytes_left {
        return Err(refused(format!("all files together are larger than {TOTAL_BYTES_MAX} bytes: not read")));
    }
    *bytes_left -= length;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let at = Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
        Unreadable::Refused(at, "is no UTF-8 text".to_owned())
    })
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
