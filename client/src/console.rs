//! Where a command reads and writes, and whether in colour. Knows nothing of requests.

use std::io::{self, IsTerminal, Read, Write};

/// Whether output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    On,
    /// For a file or pipe.
    Off,
}

/// The streams of one run.
pub struct Console<'a> {
    /// Answers and tallies.
    pub out: &'a mut (dyn Write + Send),
    /// All else.
    pub err: &'a mut (dyn Write + Send),
    /// What `-d -` reads.
    pub input: &'a mut (dyn Read + Send),
    /// Whether `out` is coloured.
    pub out_colour: Colour,
    /// Whether `err` is coloured.
    pub err_colour: Colour,
}

/// What a text stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tone {
    Good,
    Warning,
    Bad,
    Heading,
    Faint,
}

impl Colour {
    /// On for a terminal, unless `NO_COLOR` is set: <https://no-color.org>.
    pub fn of(stream: &impl IsTerminal) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted && stream.is_terminal() { Self::On } else { Self::Off }
    }

    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match (self, tone) {
            (Self::Off, _) => return text.to_owned(),
            (Self::On, Tone::Good) => 32,
            (Self::On, Tone::Warning) => 33,
            (Self::On, Tone::Bad) => 31,
            (Self::On, Tone::Heading) => 1,
            (Self::On, Tone::Faint) => 2,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// What a reader that went away (`| head`) makes of a write is no error of ours.
pub(crate) fn unless_gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
