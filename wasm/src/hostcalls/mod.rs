//! The functions that a guest may call. Each returns a status of the ABI; only what a guest cannot go on from is a trap.
//! Nothing that a guest passes is trusted: pointers, lengths and numbers are checked where they are used.

mod buffers;
mod callouts;
mod maps;
mod memory;
mod metrics;
mod properties;
mod shared;
mod stream;
mod system;
mod wasi;

use wasmtime::{Caller, Linker};

use crate::instance::State;

pub(crate) use wasi::{flush_output, register as register_wasi};

/// The store and the calling guest.
type Guest<'a> = Caller<'a, State>;

/// What a host function comes to.
type Called = Result<(), Fault>;

/// A status that is not OK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    NotFound,
    BadArgument,
    SerializationFailure,
    ParseFailure,
    InvalidMemoryAccess,
    Empty,
    CasMismatch,
    InternalFailure,
}

/// Why a host function does not end well.
#[derive(Debug)]
enum Fault {
    /// The guest is told.
    Status(Status),
    /// The guest's allocator trapped: it cannot go on.
    Trap(wasmtime::Error),
}

impl Status {
    fn to_abi(self) -> u32 {
        match self {
            Self::NotFound => 1,
            Self::BadArgument => 2,
            Self::SerializationFailure => 3,
            Self::ParseFailure => 4,
            Self::InvalidMemoryAccess => 6,
            Self::Empty => 7,
            Self::CasMismatch => 8,
            Self::InternalFailure => 10,
        }
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

const OK: u32 = 0;

fn to_abi(called: Called) -> wasmtime::Result<u32> {
    match called {
        Ok(()) => Ok(OK),
        Err(Fault::Status(status)) => Ok(status.to_abi()),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// Lists the functions once: for the linker, and by name for the check of a module's imports.
macro_rules! host_functions {
    ($($name:literal = $function:path, ($($arg:ident: $ty:ty),*);)*) => {
        /// Defines all functions of module `env`.
        pub(crate) fn register(linker: &mut Linker<State>) -> wasmtime::Result<()> {
            $(linker.func_wrap("env", $name, |mut guest: Guest<'_>, $($arg: $ty),*| {
                to_abi($function(&mut guest, $($arg),*))
            })?;)*
            Ok(())
        }

        const NAMES: &[&str] = &[$($name),*];
    };
}

host_functions! {
    "proxy_log" = system::log, (level: u32, text: u32, len: u32);
    "proxy_get_log_level" = system::log_level, (out: u32);
    "proxy_get_current_time_nanoseconds" = system::now, (out: u32);
    "proxy_set_tick_period_milliseconds" = system::set_tick_period, (period: u32);
    "proxy_get_buffer_bytes" = buffers::bytes, (buffer: u32, start: u32, most: u32, out: u32, out_len: u32);
    "proxy_get_buffer_status" = buffers::status, (buffer: u32, out_len: u32, out_flags: u32);
    "proxy_set_buffer_bytes" = buffers::set, (buffer: u32, start: u32, len: u32, data: u32, data_len: u32);
    "proxy_get_configuration" = buffers::configuration, (out: u32, out_len: u32);
    "proxy_get_header_map_size" = maps::size, (map: u32, out: u32);
    "proxy_get_header_map_pairs" = maps::pairs, (map: u32, out: u32, out_len: u32);
    "proxy_get_header_map_value" = maps::value, (map: u32, name: u32, name_len: u32, out: u32, out_len: u32);
    "proxy_set_header_map_pairs" = maps::set_pairs, (map: u32, pairs: u32, len: u32);
    "proxy_add_header_map_value" = maps::add, (map: u32, name: u32, name_len: u32, value: u32, len: u32);
    "proxy_replace_header_map_value" = maps::replace, (map: u32, name: u32, name_len: u32, value: u32, len: u32);
    "proxy_remove_header_map_value" = maps::remove, (map: u32, name: u32, name_len: u32);
    "proxy_continue_stream" = stream::resume, (kind: u32);
    "proxy_continue_request" = stream::resume_request, ();
    "proxy_continue_response" = stream::resume_response, ();
    "proxy_close_stream" = stream::close, (kind: u32);
    "proxy_clear_route_cache" = stream::clear_route_cache, ();
    "proxy_send_local_response" = stream::respond, (
        status: u32, details: u32, details_len: u32, body: u32, body_len: u32, headers: u32, headers_len: u32,
        grpc_status: i32
    );
    "proxy_set_effective_context" = stream::set_effective_context, (context: u32);
    "proxy_done" = stream::done, ();
    "proxy_http_call" = callouts::http_call, (
        service: u32, service_len: u32, headers: u32, headers_len: u32, body: u32, body_len: u32, trailers: u32,
        trailers_len: u32, timeout: u32, out_token: u32
    );
    "proxy_get_status" = callouts::status, (out_code: u32, out: u32, out_len: u32);
    "proxy_grpc_call" = callouts::grpc_call, (
        service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32, metadata: u32,
        metadata_len: u32, message: u32, message_len: u32, timeout: u32, out_token: u32
    );
    "proxy_grpc_stream" = callouts::grpc_stream, (
        service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32, metadata: u32,
        metadata_len: u32, out_token: u32
    );
    "proxy_grpc_send" = callouts::grpc_send, (token: u32, message: u32, len: u32, end: u32);
    "proxy_grpc_cancel" = callouts::grpc_end, (token: u32);
    "proxy_grpc_close" = callouts::grpc_end, (token: u32);
    "proxy_call_foreign_function" = callouts::foreign_function, (
        name: u32, name_len: u32, arguments: u32, arguments_len: u32, out: u32, out_len: u32
    );
    "proxy_get_property" = properties::value, (path: u32, path_len: u32, out: u32, out_len: u32);
    "proxy_set_property" = properties::set, (path: u32, path_len: u32, value: u32, len: u32);
    "proxy_get_shared_data" = shared::value, (key: u32, key_len: u32, out: u32, out_len: u32, out_cas: u32);
    "proxy_set_shared_data" = shared::set, (key: u32, key_len: u32, value: u32, len: u32, cas: u32);
    "proxy_register_shared_queue" = shared::register_queue, (name: u32, len: u32, out: u32);
    "proxy_resolve_shared_queue" = shared::resolve_queue, (vm: u32, vm_len: u32, name: u32, len: u32, out: u32);
    "proxy_enqueue_shared_queue" = shared::enqueue, (queue: u32, item: u32, len: u32);
    "proxy_dequeue_shared_queue" = shared::dequeue, (queue: u32, out: u32, out_len: u32);
    "proxy_define_metric" = metrics::define, (kind: u32, name: u32, len: u32, out: u32);
    "proxy_record_metric" = metrics::record, (metric: u32, value: u64);
    "proxy_increment_metric" = metrics::increment, (metric: u32, offset: i64);
    "proxy_get_metric" = metrics::value, (metric: u32, out: u32);
}

/// Whether a host function of this name is defined.
pub(crate) fn is_known(module: &str, name: &str) -> bool {
    match module {
        "env" => NAMES.contains(&name),
        _ => crate::linker::WASI_MODULES.contains(&module) && wasi::NAMES.contains(&name),
    }
}
