//! YAML text → JSON values with their positions. Reads as kubectl does (multiple documents, YAML 1.1's types), but
//! takes no duplicate keys, and nothing that grows beyond its limits. Never reads files and never panics.
//!
//! Where the reading is kubectl's own: `yes`, `no`, `on`, `off`, `y`, `n` are booleans, also as keys; numbers have Go's
//! prefixes. Where it is stricter: duplicate keys and tags outside the core schema are errors. A mapping's own keys win
//! over merged ones (`<<`) wherever they stand.

mod compose;
mod scalar;
mod split;

use crate::{
    places::{Places, Position, Step},
    problem::Problem,
};
use serde_json::Value;
use std::path::Path;

pub(crate) use split::{Chunk, split};

/// Most levels of nesting of a document, aliases expanded.
pub const DEPTH_MAX: usize = 100;
/// Most values in one document, aliases expanded.
pub const NODES_MAX: usize = 1_000_000;
/// Most bytes of text that the aliases of one document may expand to (a value without text counts as one byte).
pub const ALIAS_BYTES_MAX: usize = 2 << 20;

/// Most documents that end in `...` without a `---` between them.
pub const UNSEPARATED_DOCUMENTS_MAX: usize = 16;

/// One YAML document.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it says.
    pub value: Value,
    /// Where it says so; lines count from the beginning of the file.
    pub places: Places,
    /// How many lines of the file stand before the text to which `places` refers.
    pub lines_before: u32,
}

impl Document {
    /// Where a field stands in the file.
    pub fn locate(&self, path: &[Step]) -> Position {
        self.places.locate(path).below(self.lines_before)
    }
}

/// What is wrong with a document's text, and where in that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Position,
    pub(crate) message: String,
}

/// The documents of a file's text, and what could not be read. An unreadable document does not affect the others;
/// documents without content are skipped.
pub fn parse_str(file: &Path, text: &str) -> (Vec<Document>, Vec<Problem>) {
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    for chunk in split(text) {
        let (values, fault) = parse_chunk(chunk.text);
        let place = |(value, places)| Document { value, places, lines_before: chunk.lines_before };
        documents.extend(values.into_iter().map(place));
        problems.extend(fault.map(|fault| Problem::of_file(file, fault.at.below(chunk.lines_before), fault.message)));
    }
    (documents, problems)
}

/// The values of one chunk (usually one; more if documents end in `...`), up to the first fault.
pub(crate) fn parse_chunk(text: &str) -> (Vec<(Value, Places)>, Option<Fault>) {
    if let Some(fault) = control_character(text) {
        return (Vec::new(), Some(fault));
    }
    compose::compose(text)
}

/// YAML allows no control characters; a parser that took NUL for the end would drop what follows in silence.
fn control_character(text: &str) -> Option<Fault> {
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let (offset, found) = text.char_indices().find(|(_, c)| forbidden(*c))?;
    let line_start = text[..offset].rfind('\n').map_or(0, |at| at + 1);
    let at = position(text[..line_start].matches('\n').count(), text[line_start..offset].chars().count());
    Some(Fault { at, message: format!("control character {:?} in the text: is this a YAML file?", found) })
}

/// A position from counts that begin at 0.
fn position(line: usize, column: usize) -> Position {
    let from_one = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
    Position { line: from_one(line), column: from_one(column) }
}

#[cfg(test)]
mod tests;
