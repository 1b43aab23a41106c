//! Reads one file: its documents, each parsed and admitted unless its text is known, within the limits on all files.

use crate::{
    admit::{Admission, Finding, admit},
    places::Position,
    yaml::{Chunk, parse_chunk, split},
};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most bytes of all files together.
pub const TOTAL_BYTES_MAX: u64 = 256 << 20;
/// Most documents of all files together.
pub const DOCUMENTS_MAX: usize = 100_000;

/// The documents of a file, and how many lines stand before the text of each.
pub(crate) type Documents = Arc<[(u32, Arc<Admission>)]>;

/// What was read of a file.
#[derive(Debug, Default)]
pub(crate) struct FileMemory {
    /// The outcome of each document by the digest of its text.
    outcomes: HashMap<[u8; 32], Arc<Admission>>,
    pub(crate) documents: Documents,
    /// Equal for two reads of the same documents in the same places.
    pub(crate) fingerprint: [u8; 32],
    /// The state of the file that was read, if any later change is sure to be seen by it.
    stamp: Option<Stamp>,
}

/// What may still be read of the files that are yet to come.
#[derive(Debug)]
pub(crate) struct Allowance {
    bytes: u64,
    documents: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { bytes: TOTAL_BYTES_MAX, documents: DOCUMENTS_MAX }
    }
}

impl Allowance {
    fn take_bytes(&mut self, bytes: u64) -> Result<(), Unreadable> {
        let left = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| refused(format!("all files together are larger than {TOTAL_BYTES_MAX} bytes: not read")))?;
        self.bytes = left;
        Ok(())
    }

    fn take_documents(&mut self, documents: usize) -> Result<(), Unreadable> {
        let left = self
            .documents
            .checked_sub(documents)
            .ok_or_else(|| refused(format!("all files together have more than {DOCUMENTS_MAX} documents: not read")))?;
        self.documents = left;
        Ok(())
    }
}

/// Why a file says nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It was deleted since it was found.
    Gone,
    /// It cannot be read, or may not.
    Refused(Position, String),
}

fn refused(message: String) -> Unreadable {
    Unreadable::Refused(Position::START, message)
}

/// Reads a file, unless it is as it was; documents that were read before are not read anew.
pub(crate) fn read_file(file: &Path, before: FileMemory, allowance: &mut Allowance) -> Result<FileMemory, Unreadable> {
    // Taken before the file is read, so that what changes meanwhile is read again.
    let stamp = Stamp::of(file);
    if let Some(stamp) = stamp.filter(|now| before.stamp == Some(*now)) {
        allowance.take_bytes(stamp.bytes)?;
        allowance.take_documents(before.documents.len())?;
        return Ok(before);
    }
    let text = read_text(file, allowance)?;
    let memory = read_documents(file, &text, &before, allowance)?;
    Ok(FileMemory { stamp: stamp.filter(Stamp::is_settled), ..memory })
}

/// The documents of a file's text; those that were read before are not read anew.
pub(crate) fn read_documents(
    file: &Path,
    text: &str,
    before: &FileMemory,
    allowance: &mut Allowance,
) -> Result<FileMemory, Unreadable> {
    let chunks = split(text);
    allowance.take_documents(chunks.len())?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let (mut documents, mut outcomes) = (Vec::with_capacity(chunks.len()), HashMap::with_capacity(chunks.len()));
    let mut fingerprint = Sha256::new();
    for chunk in chunks {
        let digest: [u8; 32] = Sha256::digest(chunk.text).into();
        let known = outcomes.get(&digest).or_else(|| before.outcomes.get(&digest)).cloned();
        let admission = known.unwrap_or_else(|| Arc::new(admit_chunk(chunk, folder)));
        fingerprint.update(chunk.lines_before.to_be_bytes());
        fingerprint.update(digest);
        outcomes.insert(digest, admission.clone());
        documents.push((chunk.lines_before, admission));
    }
    let fingerprint = fingerprint.finalize().into();
    Ok(FileMemory { outcomes, documents: documents.into(), fingerprint, stamp: None })
}

fn admit_chunk(chunk: Chunk<'_>, folder: &Path) -> Admission {
    let (values, fault) = parse_chunk(chunk.text);
    let mut whole = Admission::default();
    for (value, places) in values {
        whole.extend(admit(value, &places, folder));
    }
    if let Some(fault) = fault {
        whole.incomplete = true;
        whole.findings.push(Finding { at: fault.at, id: None, path: Vec::new(), message: fault.message });
    }
    whole
}

fn read_text(file: &Path, allowance: &mut Allowance) -> Result<String, Unreadable> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unreadable::Gone,
        _ => refused(format!("cannot be read: {error}")),
    };
    let mut bytes = Vec::new();
    // One byte beyond the limit tells that the file is larger, even while it grows.
    let limit = FILE_BYTES_MAX.min(allowance.bytes);
    fs::File::open(file).and_then(|open| open.take(limit + 1).read_to_end(&mut bytes)).map_err(failed)?;
    let length = bytes.len() as u64;
    if length > FILE_BYTES_MAX {
        return Err(refused(format!("larger than {FILE_BYTES_MAX} bytes: split it")));
    }
    allowance.take_bytes(length)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let at = Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
        Unreadable::Refused(at, "is no UTF-8 text".to_owned())
    })
}

/// Tells one state of a file from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    /// Device, file, and when it last changed in any way, in nanoseconds.
    identity: (u64, u64, i128),
}

/// Two changes that are less than this apart may leave one time: clocks of file systems are coarse.
const CLOCK_STEP_MAX: Duration = Duration::from_secs(2);

impl Stamp {
    #[cfg(unix)]
    fn of(file: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(file).ok()?;
        let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
        Some(Self { bytes: metadata.len(), identity: (metadata.dev(), metadata.ino(), changed) })
    }

    /// Nothing here tells for sure that a file is as it was: it is read each time.
    #[cfg(not(unix))]
    fn of(_: &Path) -> Option<Self> {
        None
    }

    /// Whether the file has rested for so long that its next change is sure to leave another time.
    fn is_settled(&self) -> bool {
        let (_, _, changed) = self.identity;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i128::try_from(now.saturating_sub(CLOCK_STEP_MAX).as_nanos()).is_ok_and(|limit| changed < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str], mut allowance: Allowance) -> Vec<Result<usize, Unreadable>> {
        let root = tempfile::tempdir().unwrap();
        let read = |(number, text): (usize, &&str)| {
            let file = root.path().join(format!("{number}.yaml"));
            fs::write(&file, text).unwrap();
            read_file(&file, FileMemory::default(), &mut allowance).map(|memory| memory.documents.len())
        };
        texts.iter().enumerate().map(read).collect()
    }

    #[test]
    fn bytes_of_all_files_end_at_the_limit_and_smaller_files_still_fit() {
        let found = read(&["0123456", "0123456", "01"], Allowance { bytes: 10, documents: 10 });
        assert!(
            matches!(&found[1], Err(Unreadable::Refused(_, message)) if message.contains("268435456 bytes")),
            "{found:?}"
        );
        assert_eq!((&found[0], &found[2]), (&Ok(1), &Ok(1)));
    }

    #[test]
    fn documents_of_all_files_end_at_the_limit() {
        let found = read(&["a: 1\n---\nb: 1\n", "a: 1\n---\nb: 1\n", "a: 1\n"], Allowance { bytes: 100, documents: 3 });
        assert!(
            matches!(&found[1], Err(Unreadable::Refused(_, message)) if message.contains("100000 documents")),
            "{found:?}"
        );
        assert_eq!((&found[0], &found[2]), (&Ok(2), &Ok(1)));
    }

    #[test]
    fn a_file_that_went_is_no_problem() {
        let found = read_file(Path::new("/nowhere/at/all.yaml"), FileMemory::default(), &mut Allowance::default());
        assert_eq!(found.map(|_| ()), Err(Unreadable::Gone));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_rests_is_read_once_and_any_change_of_it_is_seen() {
        use std::os::unix::fs::MetadataExt;
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a.yaml");
        let read = |before| read_file(&file, before, &mut Allowance::default()).unwrap();
        fs::write(&file, "a: 1\n").unwrap();
        let mut memory = read(FileMemory::default());
        assert_eq!(memory.stamp, None, "it changed just now, and may again within the same step of the clock");
        memory.stamp = Stamp::of(&file);
        let documents = memory.documents.clone();
        memory = read(memory);
        assert!(Arc::ptr_eq(&documents, &memory.documents));
        // Of the same length, and its times put back.
        let times = fs::metadata(&file).unwrap();
        fs::write(&file, "a: 2\n").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(times.modified().unwrap()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mtime_nsec(), times.mtime_nsec());
        let fingerprint = memory.fingerprint;
        assert_ne!(read(memory).fingerprint, fingerprint);
    }
}
