//! The access log: one JSON line for each request, written by a thread of its own.
//! A worker formats a line and queues it; it never waits for the file, and no header's value but `User-Agent` is logged.

mod entry;
mod json;
mod writer;

pub use entry::{Entry, FIELD_BYTES_MAX, Query};
pub use writer::{AccessLog, AccessLogError, AccessLogWriter, Destination, QUEUE_LINES_MAX};
