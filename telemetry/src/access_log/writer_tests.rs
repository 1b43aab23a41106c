//! The access log's thread against files that move, fail and block.

use std::sync::{Condvar, Mutex};

use super::*;
use crate::attributes::Labels;
use crate::clock::UnixNanos;
use crate::exchange::HttpVersion;
use crate::flag::ResponseFlag;
use crate::metrics::{Registry, WorkerId, names};

fn entry(path: &[u8]) -> Entry<'_> {
    Entry {
        time: UnixNanos(0),
        trace: None,
        method: b"GET",
        host: None,
        path,
        protocol: HttpVersion::Http11,
        status: None,
        route: None,
        rule: None,
        backend: None,
        endpoint: None,
        duration: Duration::ZERO,
        request_bytes: 0,
        response_bytes: 0,
        client: None,
        user_agent: None,
        flag: &ResponseFlag::OK,
        retries: 0,
        filter_failure: None,
    }
}

fn counter(registry: &Registry) -> Counter {
    registry.worker(WorkerId(0)).handle(&names::ACCESS_LOG_DROPPED, &Labels::none())
}

fn dropped(registry: &Registry) -> i64 {
    registry.snapshot().group_by(names::ACCESS_LOG_DROPPED.name, &[], |_| true)[0].value
}

fn paths(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["path"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn finish_writes_every_line_that_was_logged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let registry = Registry::default();
    let log = AccessLog::start(Destination::File(file.clone()), Query::Keep, counter(&registry)).unwrap();
    let writer = log.writer();
    let expected: Vec<String> = (0..1000).map(|i| format!("/{i}?q")).collect();
    expected.iter().for_each(|path| writer.log(&entry(path.as_bytes())));
    log.finish();
    assert_eq!(paths(&std::fs::read_to_string(file).unwrap()), expected);
    assert_eq!(dropped(&registry), 0);
    writer.log(&entry(b"/late"));
    assert_eq!(dropped(&registry), 1, "a line after the end is counted");
}

#[test]
fn reopen_follows_a_rotation_without_losing_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let (file, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let registry = Registry::default();
    let log = AccessLog::start(Destination::File(file.clone()), Query::Keep, counter(&registry)).unwrap();
    let writer = log.writer();
    writer.log(&entry(b"/old"));
    std::fs::rename(&file, &moved).unwrap();
    log.reopen();
    // The file appears when the thread has seen the request; a line logged from then on is in it.
    while !file.exists() {
        std::thread::yield_now();
    }
    writer.log(&entry(b"/new"));
    log.finish();
    let old = std::fs::read_to_string(moved).unwrap();
    let new = std::fs::read_to_string(file).unwrap();
    // The old line may be written on either side of the rotation, but it is written.
    assert_eq!([paths(&old), paths(&new)].concat(), ["/old", "/new"]);
    assert!(paths(&new).contains(&"/new".to_owned()));
}

#[test]
fn a_file_that_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent").join("access.log");
    let error =
        AccessLog::start(Destination::File(path.clone()), Query::Keep, counter(&Registry::default())).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

/// Blocks its first write until told, so that the queue behind it fills.
struct Gate(Arc<(Mutex<(bool, bool)>, Condvar)>);

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 = true;
        changed.notify_all();
        while !state.1 {
            state = changed.wait(state).unwrap();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_queue_drops_and_counts_and_does_not_block() {
    let shared = Arc::new((Mutex::new((false, false)), Condvar::new()));
    let registry = Registry::default();
    let destination = Destination::Writer(Box::new(Gate(shared.clone())));
    let log = AccessLog::start_with_queue(destination, Query::Keep, counter(&registry), 10).unwrap();
    let writer = log.writer();
    writer.log(&entry(b"/first"));
    let (state, changed) = &*shared;
    let mut blocked = state.lock().unwrap();
    while !blocked.0 {
        blocked = changed.wait(blocked).unwrap();
    }
    drop(blocked);
    (0..25).for_each(|_| writer.log(&entry(b"/more")));
    assert_eq!(dropped(&registry), 15);
    state.lock().unwrap().1 = true;
    changed.notify_all();
    log.finish();
    assert_eq!(dropped(&registry), 15);
}

/// Fails as a full disk does.
struct FullDisk;

impl Write for FullDisk {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_a_full_disk_refuses_are_counted() {
    let registry = Registry::default();
    let destination = Destination::Writer(Box::new(FullDisk));
    let log = AccessLog::start(destination, Query::Keep, counter(&registry)).unwrap();
    (0..100).for_each(|_| log.writer().log(&entry(b"/")));
    log.finish();
    assert_eq!(dropped(&registry), 100);
}
