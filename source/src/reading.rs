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
};

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// Most bytes of all files together.
pub const TOTAL_BYTES_MAX: u64 = 256 << 20;
/// Most documents of all files together.
pub const DOCUMENTS_MAX: usize = 100_000;

/// The documents of a file, and how many lines stand before the text of each.
pub(crate) type Documents = Vec<(u32, Arc<Admission>)>;

/// What was read of a file.
#[derive(Debug, Default)]
pub(crate) struct FileMemory {
    /// The outcome of each document by the digest of its text.
    outcomes: HashMap<[u8; 32], Arc<Admission>>,
    order: Vec<(u32, [u8; 32])>,
}

impl FileMemory {
    /// The digests of the documents in their order, and how many lines stand before each.
    pub(crate) fn order(&self) -> &[(u32, [u8; 32])] {
        &self.order
    }
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

/// Reads a file; documents that were read before are not read anew.
pub(crate) fn read_file(
    file: &Path,
    before: &FileMemory,
    allowance: &mut Allowance,
) -> Result<(Documents, FileMemory), Unreadable> {
    let text = read_text(file, allowance)?;
    read_documents(file, &text, before, allowance)
}

/// The documents of a file's text; those that were read before are not read anew.
pub(crate) fn read_documents(
    file: &Path,
    text: &str,
    before: &FileMemory,
    allowance: &mut Allowance,
) -> Result<(Documents, FileMemory), Unreadable> {
    let chunks = split(text);
    if chunks.len() > allowance.documents {
        return Err(refused(format!("all files together have more than {DOCUMENTS_MAX} documents: not read")));
    }
    allowance.documents -= chunks.len();
    let folder = file.parent().unwrap_or(Path::new(""));
    let (mut documents, mut memory) = (Vec::new(), FileMemory::default());
    for chunk in chunks {
        let digest: [u8; 32] = Sha256::digest(chunk.text).into();
        let known = memory.outcomes.get(&digest).or_else(|| before.outcomes.get(&digest)).cloned();
        let admission = known.unwrap_or_else(|| Arc::new(admit_chunk(chunk, folder)));
        memory.outcomes.insert(digest, admission.clone());
        memory.order.push((chunk.lines_before, digest));
        documents.push((chunk.lines_before, admission));
    }
    Ok((documents, memory))
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
    if length > allowance.bytes {
        return Err(refused(format!("all files together are larger than {TOTAL_BYTES_MAX} bytes: not read")));
    }
    allowance.bytes -= length;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let at = Position { line: u32::try_from(line).unwrap_or(u32::MAX), column: 1 };
        Unreadable::Refused(at, "is no UTF-8 text".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str], mut allowance: Allowance) -> Vec<Result<usize, Unreadable>> {
        let root = tempfile::tempdir().unwrap();
        let read = |(number, text): (usize, &&str)| {
            let file = root.path().join(format!("{number}.yaml"));
            fs::write(&file, text).unwrap();
            read_file(&file, &FileMemory::default(), &mut allowance).map(|(documents, _)| documents.len())
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
        let found = read_file(Path::new("/nowhere/at/all.yaml"), &FileMemory::default(), &mut Allowance::default());
        assert_eq!(found.map(|_| ()), Err(Unreadable::Gone));
    }
}
