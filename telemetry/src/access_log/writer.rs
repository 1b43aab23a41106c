//! The access log's thread and the bounded queue before it. What the queue or the file does not take is dropped and
//! counted; a line is written whole or not at all, as far as the operating system lets us.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::entry::{Entry, Query};
use crate::metrics::Counter;

/// Lines that wait for the thread, at most.
pub const QUEUE_LINES_MAX: usize = 4096;
/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 64 * 1024;
/// Lines gathered before they are written.
const BATCH_LINES_MAX: usize = 512;
/// After a batch, lines gather for so long: meanwhile no worker has to wake the thread.
const LINGER: Duration = Duration::from_millis(5);
/// Batches written after the end was asked for: a full queue, were each line a batch.
const FINAL_BATCHES_MAX: usize = QUEUE_LINES_MAX;
/// How soon a rotation or the end is seen when the queue was too full to say so.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Where lines go.
pub enum Destination {
    /// The process's standard output.
    Stdout,
    /// A file, appended to; [`AccessLog::reopen`] opens it anew after a rotation.
    File(PathBuf),
    /// Any other writer.
    Writer(Box<dyn Write + Send>),
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
pub enum AccessLogError {
    /// The file cannot be opened.
    #[error("cannot open the access log {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the access log's thread: {0}")]
    Thread(io::Error),
}

/// A worker's end of the queue. Clones feed the same log.
#[derive(Clone, Debug)]
pub struct AccessLogWriter {
    queue: SyncSender<Vec<u8>>,
    query: Query,
    dropped: Counter,
}

/// The log and its thread, for whoever started it. Dropping it ends the thread when all workers' ends are gone.
#[derive(Debug)]
pub struct AccessLog {
    writer: AccessLogWriter,
    signals: Arc<Signals>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Signals {
    reopen: AtomicBool,
    finish: AtomicBool,
}

/// The thread's state.
struct Output {
    destination: Reopen,
    out: BufWriter<Box<dyn Write + Send>>,
    /// Lines in the buffer, so that a failed write counts them.
    pending: u64,
    dropped: Counter,
    health: Health,
}

enum Reopen {
    Never,
    File(PathBuf),
}

/// How a batch left the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queue {
    Empty,
    More,
}

/// Whether a failure was reported already: a full disk is said once, not once a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    Failing,
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens the destination and starts the thread. `dropped` counts the lines that were not written
    /// ([`crate::metrics::names::ACCESS_LOG_DROPPED`]).
    ///
    /// # Errors
    /// If the file cannot be opened or the thread not be started.
    pub fn start(destination: Destination, query: Query, dropped: Counter) -> Result<Self, AccessLogError> {
        Self::start_with_queue(destination, query, dropped, QUEUE_LINES_MAX)
    }

    fn start_with_queue(
        destination: Destination,
        query: Query,
        dropped: Counter,
        lines_max: usize,
    ) -> Result<Self, AccessLogError> {
        let mut output = Output::open(destination, dropped.clone())?;
        let (queue, lines) = sync_channel(lines_max);
        let signals = Arc::new(Signals::default());
        let seen = signals.clone();
        let thread = std::thread::Builder::new()
            .name("portolan-access-log".into())
            .spawn(move || output.run(&lines, &seen))
            .map_err(AccessLogError::Thread)?;
        Ok(AccessLog { writer: AccessLogWriter { queue, query, dropped }, signals, thread })
    }

    /// A worker's end of the log.
    #[must_use]
    pub fn writer(&self) -> AccessLogWriter {
        self.writer.clone()
    }

    /// Opens the file anew, after a rotation moved it away. Soon, not at once.
    pub fn reopen(&self) {
        self.signals.reopen.store(true, Ordering::Release);
        self.writer.wake();
    }

    /// Writes what is queued and ends the thread. Lines logged from now on are dropped.
    pub fn finish(self) {
        self.signals.finish.store(true, Ordering::Release);
        self.writer.wake();
        if self.thread.join().is_err() {
            tracing::error!("the access log's thread panicked");
        }
    }
}

// === impl AccessLogWriter ===

impl AccessLogWriter {
    /// Logs a request, or drops and counts it when the queue is full.
    pub fn log(&self, entry: &Entry<'_>) {
        if self.queue.try_send(entry.line(self.query)).is_err() {
            self.dropped.add(1);
        }
    }

    /// An empty line wakes the thread; where the queue is full, the thread is awake.
    fn wake(&self) {
        let _ = self.queue.try_send(Vec::new());
    }
}

// === impl Output ===

impl Output {
    fn open(destination: Destination, dropped: Counter) -> Result<Self, AccessLogError> {
        let (destination, writer): (Reopen, Box<dyn Write + Send>) = match destination {
            Destination::Stdout => (Reopen::Never, Box::new(io::stdout())),
            Destination::Writer(writer) => (Reopen::Never, writer),
            Destination::File(path) => match open_file(&path) {
                Ok(file) => (Reopen::File(path), Box::new(file)),
                Err(source) => return Err(AccessLogError::Open { path, source }),
            },
        };
        let out = BufWriter::with_capacity(BUFFER_BYTES, writer);
        Ok(Output { destination, out, pending: 0, dropped, health: Health::Good })
    }

    fn run(&mut self, lines: &Receiver<Vec<u8>>, signals: &Signals) {
        while !signals.finish.load(Ordering::Acquire) {
            let first = lines.recv_timeout(LOOK_UP);
            if signals.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            match first {
                Ok(line) => match self.write_batch(line, lines) {
                    Queue::Empty => std::thread::sleep(LINGER),
                    Queue::More => {}
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        // What was logged before `finish` is in the queue; workers that go on logging do not keep the thread alive.
        for _ in 0..FINAL_BATCHES_MAX {
            let Ok(line) = lines.try_recv() else { return };
            self.write_batch(line, lines);
        }
    }

    fn write_batch(&mut self, first: Vec<u8>, lines: &Receiver<Vec<u8>>) -> Queue {
        let mut queue = Queue::More;
        self.write(&first);
        for _ in 1..BATCH_LINES_MAX {
            match lines.try_recv() {
                Ok(line) => self.write(&line),
                Err(_) => {
                    queue = Queue::Empty;
                    break;
                }
            }
        }
        let flushed = self.out.flush();
        self.settle(flushed);
        queue
    }

    fn write(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        // A full buffer is flushed before a line that would not fit, so that no write ends within a line.
        if self.out.buffer().len() + line.len() > self.out.capacity() {
            let flushed = self.out.flush();
            self.settle(flushed);
        }
        self.pending += 1;
        if let Err(error) = self.out.write_all(line) {
            self.settle(Err(error));
        }
    }

    /// Takes note of how the lines in the buffer fared.
    fn settle(&mut self, result: io::Result<()>) {
        let lines = std::mem::take(&mut self.pending);
        match result {
            Ok(()) => self.health = Health::Good,
            Err(error) => {
                self.dropped.add(lines);
                self.discard();
                if self.health == Health::Good {
                    tracing::warn!(%error, "cannot write the access log; lines are dropped until it can be");
                }
                self.health = Health::Failing;
            }
        }
    }

    /// Forgets what could not be written: kept, it would grow stale before every later line.
    fn discard(&mut self) {
        let empty: Box<dyn Write + Send> = Box::new(io::sink());
        let failed = std::mem::replace(&mut self.out, BufWriter::with_capacity(BUFFER_BYTES, empty));
        let (writer, _unwritten) = failed.into_parts();
        self.out = BufWriter::with_capacity(BUFFER_BYTES, writer);
    }

    fn reopen(&mut self) {
        let Reopen::File(path) = &self.destination else { return };
        match open_file(path) {
            Ok(file) => self.out = BufWriter::with_capacity(BUFFER_BYTES, Box::new(file)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot reopen the access log; the old file stays in use");
            }
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
