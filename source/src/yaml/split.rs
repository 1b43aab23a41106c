//! Cuts a file into its documents before anything is parsed, as kubectl does, so that an unreadable document (an open
//! quote, say) does not take those after it along.

/// One document's text, and how many lines of the file stand before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) text: &'a str,
    pub(crate) lines_before: u32,
}

/// The documents of a file: each `---` at the beginning of a line starts one.
pub(crate) fn split(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut chunks = Vec::new();
    let (mut start, mut start_line) = (0, 0_u32);
    let (mut offset, mut line_number) = (0, 0_u32);
    for line in text.split_inclusive('\n') {
        let before = &text[start..offset];
        if is_separator(line) && offset > start && !is_preamble(before) {
            chunks.push(Chunk { text: before, lines_before: start_line });
            (start, start_line) = (offset, line_number);
        }
        offset += line.len();
        line_number = line_number.saturating_add(1);
    }
    chunks.push(Chunk { text: &text[start..], lines_before: start_line });
    chunks.retain(|chunk| chunk.text.lines().any(has_content));
    chunks
}

fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// `%YAML` and `%TAG` directives belong to the document that the next `---` starts.
fn is_preamble(text: &str) -> bool {
    text.starts_with('%') && text.lines().all(|line| line.starts_with('%') || !has_content(line))
}

fn has_content(line: &str) -> bool {
    let line = if is_separator(line) { &line[3..] } else { line };
    let line = line.trim();
    !line.is_empty() && !line.starts_with('#') && line != "..."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<(&str, u32)> {
        split(text).into_iter().map(|chunk| (chunk.text, chunk.lines_before)).collect()
    }

    #[test]
    fn documents_start_at_separators_and_know_their_line() {
        assert_eq!(parts("a: 1\n---\nb: 2\n--- # c\nc: 3"), [("a: 1\n", 0), ("---\nb: 2\n", 1), ("--- # c\nc: 3", 3)]);
        assert_eq!(parts("--- {a: 1}\n"), [("--- {a: 1}\n", 0)]);
    }

    #[test]
    fn empty_documents_and_comments_are_none() {
        assert_eq!(parts(""), []);
        assert_eq!(parts("---\n# nothing\n---\n\n---\n...\n"), []);
        assert_eq!(parts("\u{feff}---\na: 1\n---\n"), [("---\na: 1\n", 0)]);
    }

    #[test]
    fn dashes_elsewhere_separate_nothing() {
        assert_eq!(parts("a: |\n  ---\n  x\n----: 1\n"), [("a: |\n  ---\n  x\n----: 1\n", 0)]);
    }

    #[test]
    fn directives_stay_with_their_document() {
        assert_eq!(parts("%YAML 1.2\n---\na: 1\n"), [("%YAML 1.2\n---\na: 1\n", 0)]);
    }

    #[test]
    fn windows_line_ends_separate_too() {
        assert_eq!(parts("a: 1\r\n---\r\nb: 2\r\n"), [("a: 1\r\n", 0), ("---\r\nb: 2\r\n", 1)]);
    }
}
