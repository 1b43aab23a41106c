//! Shows answers and tallies, to people and to programs. Decides nothing.

pub(crate) mod json;
pub(crate) mod table;

use std::io;

use http::{HeaderMap, StatusCode};

use crate::answer::{Answer, Code, Observer, Spoken};
use crate::console::{Colour, Console, Tone};

/// Prints one answer while it arrives: content to `out`; status, headers and trailers there too when they are asked
/// for, else to `err` where they tell more than success.
pub(crate) struct AnswerPrinter<'c, 'a> {
    console: &'c mut Console<'a>,
    include: bool,
    ends_in_newline: bool,
    outcome: io::Result<()>,
}

// === impl AnswerPrinter ===

impl<'c, 'a> AnswerPrinter<'c, 'a> {
    pub(crate) fn new(console: &'c mut Console<'a>, include: bool) -> Self {
        Self { console, include, ends_in_newline: true, outcome: Ok(()) }
    }

    /// What the answer ended with, and whether all could be written.
    pub(crate) fn finish(mut self, answer: Option<&Answer>) -> io::Result<()> {
        if !self.ends_in_newline && self.console.out_colour == Colour::On {
            self.write(b"\n");
        }
        if let Some(answer) = answer {
            self.end(answer);
        }
        if self.outcome.is_ok() {
            self.outcome = self.console.out.flush();
        }
        self.outcome
    }

    fn end(&mut self, answer: &Answer) {
        if let Code::Grpc { code, message } = &answer.code {
            let tone = if *code == 0 { Tone::Good } else { Tone::Bad };
            let separator = if message.is_empty() { "" } else { ": " };
            self.aside(tone, &format!("{}{separator}{message}", answer.code));
        }
        let shown = |name: &str| !matches!(name, "grpc-status" | "grpc-message");
        for (name, value) in answer.trailers.iter().flat_map(HeaderMap::iter) {
            if shown(name.as_str()) {
                self.aside(Tone::Faint, &format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
            }
        }
    }

    /// A line about the answer.
    fn aside(&mut self, tone: Tone, text: &str) {
        if self.include {
            let line = self.console.out_colour.paint(tone, text);
            self.write(format!("{line}\n").as_bytes());
        } else if self.outcome.is_ok() {
            let line = self.console.err_colour.paint(tone, text);
            self.outcome = writeln!(self.console.err, "{line}");
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.outcome.is_ok() {
            self.outcome = self.console.out.write_all(bytes);
        }
        self.ends_in_newline = bytes.last().map_or(self.ends_in_newline, |last| *last == b'\n');
    }
}

impl Observer for AnswerPrinter<'_, '_> {
    fn head(&mut self, spoken: Spoken, status: StatusCode, headers: &HeaderMap) {
        let good = status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS;
        if self.include || !good {
            self.aside(if good { Tone::Good } else { Tone::Bad }, &format!("{spoken} {status}"));
        }
        if !self.include {
            return;
        }
        for (name, value) in headers {
            self.aside(Tone::Faint, &format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
        self.write(b"\n");
    }

    fn piece(&mut self, bytes: &[u8]) {
        self.write(bytes);
        // Streams of events are read while they come.
        if self.outcome.is_ok() {
            self.outcome = self.console.out.flush();
        }
    }

    fn message(&mut self, bytes: &[u8]) {
        self.piece(bytes);
        if !self.ends_in_newline {
            self.write(b"\n");
        }
    }
}
