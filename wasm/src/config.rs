//! What a filter is configured with: its module, its configuration, and a named limit on all that it may take.
//! Never holds a failure mode: failures are reported, and whoever drives the phases decides.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::encoding::PairLimits;
use crate::module::Module;

/// One filter: a module with its configuration and limits.
#[derive(Debug, Clone)]
pub struct FilterConfig {
    /// Names the filter in logs, failures and metrics, and scopes its shared data, queues and metrics.
    pub name: String,
    /// What runs.
    pub module: Arc<Module>,
    /// The plugin configuration, as the filter reads it in `proxy_on_configure`.
    pub configuration: Bytes,
    /// The names by which the filter may call services.
    pub services: Vec<String>,
    /// What it may take.
    pub limits: Limits,
}

/// Limits of one filter. Each has a counter in [`FilterStats`](crate::FilterStats) of the times that it was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest time of one callback, to the millisecond.
    pub time_per_call: Duration,
    /// Longest time of one step of an instance's start (initialisation, `on_vm_start`, `on_configure`).
    pub time_to_start: Duration,
    /// Most bytes of an instance's linear memory.
    pub memory: usize,
    /// Instances per worker.
    pub instances: usize,
    /// Most streams at once in one instance.
    pub streams: usize,
    /// Most pairs and bytes of a header list that crosses the boundary; the count also bounds what a guest may add.
    pub headers: PairLimits,
    /// Most bytes of a body that a filter may hold back, and of a callout's body in either direction.
    pub body_buffer: usize,
    /// Most bytes of a log line; the rest is cut off.
    pub log_line: usize,
    /// Most log lines in a second and instance; the rest is counted and dropped.
    pub logs_per_second: u32,
    /// Most metrics.
    pub metrics: usize,
    /// Most bytes of a metric's name.
    pub metric_name: usize,
    /// Most bytes of shared data, keys included, over all workers.
    pub shared_data: usize,
    /// Most shared queues.
    pub queues: usize,
    /// Most bytes in one shared queue.
    pub queue_bytes: usize,
    /// Most HTTP calls that one instance awaits.
    pub http_calls: usize,
    /// Longest timeout of an HTTP call; a longer wish is shortened to it.
    pub http_call_timeout: Duration,
    /// Shortest period of ticks; a shorter wish is lengthened to it.
    pub tick_period: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time_per_call: Duration::from_millis(10),
            time_to_start: Duration::from_secs(1),
            memory: 64 << 20,
            instances: 1,
            streams: 4096,
            headers: PairLimits { count: 1024, bytes: 1 << 20 },
            body_buffer: 1 << 20,
            log_line: 4096,
            logs_per_second: 100,
            metrics: 256,
            metric_name: 256,
            shared_data: 1 << 20,
            queues: 16,
            queue_bytes: 1 << 20,
            http_calls: 256,
            http_call_timeout: Duration::from_secs(60),
            tick_period: Duration::from_millis(10),
        }
    }
}
