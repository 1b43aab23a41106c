//! Output of commands, line by line after the pod's name. Never holds more than a bounded number of lines: a command
//! that writes faster than its reader waits.

use super::process::Process;
use crate::QualifiedName;
use std::{io::Write, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::mpsc,
    task::JoinHandle,
};

/// Longer lines are split.
const LINE_MAX: usize = 16 * 1024;
const LINES_WAITING: usize = 256;
/// How long output is waited for after the command has ended: a process that left the group may hold it open.
const REST: Duration = Duration::from_millis(500);

/// Where lines go. Clones write to the same place, whole lines at a time.
#[derive(Clone, Debug)]
pub struct Output(mpsc::Sender<String>);

/// Follows the output of one process.
pub(super) struct Lines(Vec<JoinHandle<()>>);

// === impl Output ===

impl Output {
    /// Writes to `writer` on a thread of its own, which ends with the last clone, or with the first error.
    pub fn new(mut writer: impl Write + Send + 'static) -> Self {
        let (sender, mut lines) = mpsc::channel::<String>(LINES_WAITING);
        std::thread::spawn(move || {
            while let Some(line) = lines.blocking_recv() {
                if writer.write_all(line.as_bytes()).and_then(|()| writer.flush()).is_err() {
                    return;
                }
            }
        });
        Self(sender)
    }

    /// One line in the name of a pod. Without a reader it is lost.
    pub(super) async fn say(&self, pod: &QualifiedName, line: &str) {
        let _ = self.0.send(format!("{} | {line}\n", pod.name)).await;
    }
}

// === impl Lines ===

impl Lines {
    pub(super) fn follow(output: &Output, pod: &QualifiedName, process: &mut Process) -> Self {
        let (stdout, stderr) = process.take_output();
        let stdout = stdout.map(|stdout| tokio::spawn(copy(stdout, output.clone(), pod.clone())));
        let stderr = stderr.map(|stderr| tokio::spawn(copy(stderr, output.clone(), pod.clone())));
        Self(stdout.into_iter().chain(stderr).collect())
    }

    /// Waits for what the ended command has written.
    pub(super) async fn finish(self) {
        for mut task in self.0 {
            if tokio::time::timeout(REST, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

async fn copy(from: impl AsyncRead + Unpin, output: Output, pod: QualifiedName) {
    let mut from = BufReader::with_capacity(LINE_MAX, from);
    let mut line = Vec::new();
    // An error ends the output as its end does.
    while let Ok(chunk) = from.fill_buf().await {
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let length = end.unwrap_or(chunk.len()).min(LINE_MAX - line.len());
        line.extend_from_slice(&chunk[..length]);
        let is_end = chunk.is_empty();
        let is_whole = end == Some(length);
        from.consume(length + usize::from(is_whole));
        if is_whole || line.len() == LINE_MAX || (is_end && !line.is_empty()) {
            let text = String::from_utf8_lossy(&line);
            output.say(&pod, text.trim_end_matches('\r')).await;
            line.clear();
        }
        if is_end {
            return;
        }
    }
}
