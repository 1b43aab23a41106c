//! `portolan request`: from arguments to an exit code. Decides no protocol matter itself.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use crate::args::{Format, RequestArgs, UsageError};
use crate::client::{Client, SetupError};
use crate::console::{Colour, Console, Tone, unless_gone};
use crate::directory::Directory;
use crate::failure::Failure;
use crate::load::{Load, run_load};
use crate::print::{AnswerPrinter, json, table};
use crate::request::Request;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Every request got an answer.
    Answered,
    /// A request got none.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// With `--fail`: an answer was an error.
    ErrorStatus,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Answered => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::ErrorStatus => 22,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why nothing was sent, or nothing could be shown.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("cannot write the answer: {0}")]
    Write(#[from] io::Error),
}

/// Runs on the process's own streams.
pub async fn run(args: RequestArgs, directory: Arc<dyn Directory>) -> Exit {
    let (mut out, mut err, mut input) = (io::stdout(), io::stderr(), io::stdin());
    let (out_colour, err_colour) = (Colour::of(&out), Colour::of(&err));
    let mut console = Console { out: &mut out, err: &mut err, input: &mut input, out_colour, err_colour };
    run_on(args, directory, &mut console).await
}

/// Runs on the streams given.
pub async fn run_on(args: RequestArgs, directory: Arc<dyn Directory>, console: &mut Console<'_>) -> Exit {
    match attempt(&args, directory, console).await {
        Ok(exit) => exit,
        Err(error) => {
            let label = console.err_colour.paint(Tone::Bad, "error:");
            // Where even the error cannot be written, the exit code is all that is left.
            let _ = writeln!(console.err, "{label} {error}");
            if matches!(error, RunError::Write(_)) { Exit::Failed } else { Exit::Usage }
        }
    }
}

async fn attempt(
    args: &RequestArgs,
    directory: Arc<dyn Directory>,
    console: &mut Console<'_>,
) -> Result<Exit, RunError> {
    let request = args.request(console.input)?;
    let client = Client::new(directory, args.options()?)?;
    match args.count {
        None => single(args, &client, &request, console).await,
        Some(count) => many(args, count, &client, request, console).await,
    }
}

async fn single(
    args: &RequestArgs,
    client: &Client,
    request: &Request,
    console: &mut Console<'_>,
) -> Result<Exit, RunError> {
    let outcome = match args.output {
        Format::Text => {
            let mut printer = AnswerPrinter::new(console, args.include);
            let outcome = client.send_observed(request, &mut printer).await;
            unless_gone(printer.finish(outcome.as_ref().ok()))?;
            outcome
        }
        Format::Json => {
            let outcome = client.send(request).await;
            let value = match &outcome {
                Ok(answer) => json::answer(request, answer),
                Err(failure) => json::failure(request, failure),
            };
            unless_gone(writeln!(console.out, "{value:#}"))?;
            outcome
        }
    };
    match outcome {
        Ok(answer) => {
            if args.verbose {
                let line = table::link(&answer);
                writeln!(console.err, "{}", console.err_colour.paint(Tone::Faint, &line))?;
            }
            Ok(if args.fail && answer.code.is_error() { Exit::ErrorStatus } else { Exit::Answered })
        }
        Err(failure) => {
            tell(console, &failure)?;
            Ok(Exit::Failed)
        }
    }
}

async fn many(
    args: &RequestArgs,
    count: u64,
    client: &Client,
    request: Request,
    console: &mut Console<'_>,
) -> Result<Exit, RunError> {
    let mut load = Load::new(request, count, args.concurrency.into());
    load.by_header = args.by_header.clone();
    let tally = run_load(client, &load).await;
    let text = match args.output {
        Format::Text => table::tally(&tally, &load, console.out_colour),
        Format::Json => format!("{:#}\n", json::tally(&tally, &load)),
    };
    unless_gone(console.out.write_all(text.as_bytes()))?;
    // What went wrong is in the table or JSON already.
    for failure in tally.examples.values() {
        advise(console, failure)?;
    }
    Ok(match () {
        () if tally.failed() > 0 => Exit::Failed,
        () if args.fail && tally.errors > 0 => Exit::ErrorStatus,
        () => Exit::Answered,
    })
}

fn tell(console: &mut Console<'_>, failure: &Failure) -> io::Result<()> {
    let colour = console.err_colour;
    writeln!(console.err, "{} {failure}", colour.paint(Tone::Bad, "error:"))?;
    advise(console, failure)
}

fn advise(console: &mut Console<'_>, failure: &Failure) -> io::Result<()> {
    match failure.hint() {
        Some(hint) => writeln!(console.err, "{} {hint}", console.err_colour.paint(Tone::Warning, " hint:")),
        None => Ok(()),
    }
}
