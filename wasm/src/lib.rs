//! The Proxy-Wasm host: HTTP filters as Wasm modules, in limited instances, driven phase by phase.
//! Knows no HTTP engine, no runtime and no configuration format; never lets a filter stop its worker.
//!
//! [`WasmEngine`] is one per process, [`WasmEngine::compile`] checks and compiles a module, a [`Plugin`] is a filter on
//! one worker, and a [`Stream`] one exchange in it:
//!
//! ```text
//! open_stream → request_headers → request_body* → request_trailers? → response_headers → response_body* → … → finish
//! ```
//!
//! # What is supported
//! The HTTP part of ABI 0.1.0, 0.2.0 and 0.2.1, with the WASI calls that the guest toolchains make. Where the ABI leaves
//! room:
//! - A header that repeats is read as one value, joined by `", "` (`cookie` by `"; "`): a filter that checks a header
//!   sees all that the backend sees. Values that are no UTF-8 are read with U+FFFD.
//! - A header map that is not there in a phase reads as empty: no pairs, and "not found" for a value.
//! - Request and response heads can be read after their phase; changes to them have no effect then.
//! - Answers, resumption and resets take effect when the callback returns, and outrank what it returns.
//! - A body that is held is shown as a whole with every new piece, and goes on as a whole.
//! - HTTP calls come back on the root context. A call ends with a stream that was paused when it ended, else it goes on.
//! - A stream ends with `on_log`, `on_done`, `on_delete`, in Envoy's order.
//! - gRPC callouts are not there: the calls fail with `INTERNAL_FAILURE`, which all SDKs hand to the filter as an error
//!   (they end in a trap on `UNIMPLEMENTED`). Foreign functions are "not found". There is no configuration of the VM.

mod attributes;
mod body;
mod cache;
mod config;
mod encoding;
mod engine;
mod head;
mod host;
mod hostcalls;
mod instance;
mod linker;
mod map;
mod module;
mod outcome;
mod plugin;
mod shared;
mod stream;

pub use attributes::{Attribute, AttributeValue, FILTER_STATE_BYTES, FILTER_STATE_COUNT, FilterState, StreamInfo};
pub use config::{FilterConfig, Limits};
pub use encoding::{
    EncodingError, OwnedPair, Pair, PairLimits, decode_pairs, encode_pairs, fuzz_encodings, path_segments,
};
pub use engine::{EngineConfig, EngineError, WasmEngine};
pub use head::{Latent, Lend, RequestHead, ResponseHead};
pub use host::{CallError, CallRequest, CallResponse, Host, LogLevel};
pub use module::{AbiVersion, CompileError, Digest256, Module, Phases};
pub use outcome::{
    BodyOutcome, Direction, EndOfStream, FailureKind, FilterFailure, LocalResponse, Outcome, TrailersOutcome,
};
pub use plugin::Plugin;
pub use shared::{FilterStats, LimitKind, MetricKind, MetricSnapshot, MetricValue, Shared};
pub use stream::{Phase, RouteChoice, Stream};
