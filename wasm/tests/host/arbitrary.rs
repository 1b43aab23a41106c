//! Arbitrary calls of all host functions with arbitrary arguments, from every kind of callback: whatever a guest does,
//! the worker goes on.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use portolan_wasm::{Direction, EndOfStream, Limits, PairLimits};
use proptest::prelude::*;

use crate::support::{Worker, limits, poll_once, request, response, run, settle, wat};

/// All host functions; `l` is a 64-bit argument. Void ones end in `!`.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("env", "proxy_log", "iii"),
    ("env", "proxy_get_log_level", "i"),
    ("env", "proxy_get_current_time_nanoseconds", "i"),
    ("env", "proxy_set_tick_period_milliseconds", "i"),
    ("env", "proxy_get_buffer_bytes", "iiiii"),
    ("env", "proxy_get_buffer_status", "iii"),
    ("env", "proxy_set_buffer_bytes", "iiiii"),
    ("env", "proxy_get_configuration", "ii"),
    ("env", "proxy_get_header_map_size", "ii"),
    ("env", "proxy_get_header_map_pairs", "iii"),
    ("env", "proxy_get_header_map_value", "iiiii"),
    ("env", "proxy_set_header_map_pairs", "iii"),
    ("env", "proxy_add_header_map_value", "iiiii"),
    ("env", "proxy_replace_header_map_value", "iiiii"),
    ("env", "proxy_remove_header_map_value", "iii"),
    ("env", "proxy_continue_stream", "i"),
    ("env", "proxy_continue_request", ""),
    ("env", "proxy_continue_response", ""),
    ("env", "proxy_close_stream", "i"),
    ("env", "proxy_clear_route_cache", ""),
    ("env", "proxy_send_local_response", "iiiiiiii"),
    ("env", "proxy_set_effective_context", "i"),
    ("env", "proxy_done", ""),
    ("env", "proxy_http_call", "iiiiiiiiii"),
    ("env", "proxy_get_status", "iii"),
    ("env", "proxy_grpc_call", "iiiiiiiiiiii"),
    ("env", "proxy_grpc_stream", "iiiiiiiii"),
    ("env", "proxy_grpc_send", "iiii"),
    ("env", "proxy_grpc_cancel", "i"),
    ("env", "proxy_grpc_close", "i"),
    ("env", "proxy_call_foreign_function", "iiiiii"),
    ("env", "proxy_get_property", "iiii"),
    ("env", "proxy_set_property", "iiii"),
    ("env", "proxy_get_shared_data", "iiiii"),
    ("env", "proxy_set_shared_data", "iiiii"),
    ("env", "proxy_register_shared_queue", "iii"),
    ("env", "proxy_resolve_shared_queue", "iiiii"),
    ("env", "proxy_enqueue_shared_queue", "iii"),
    ("env", "proxy_dequeue_shared_queue", "iii"),
    ("env", "proxy_define_metric", "iiii"),
    ("env", "proxy_record_metric", "il"),
    ("env", "proxy_increment_metric", "il"),
    ("env", "proxy_get_metric", "ii"),
    ("wasi_snapshot_preview1", "args_get", "ii"),
    ("wasi_snapshot_preview1", "args_sizes_get", "ii"),
    ("wasi_snapshot_preview1", "environ_get", "ii"),
    ("wasi_snapshot_preview1", "environ_sizes_get", "ii"),
    ("wasi_snapshot_preview1", "clock_res_get", "ii"),
    ("wasi_snapshot_preview1", "clock_time_get", "ili"),
    ("wasi_snapshot_preview1", "random_get", "ii"),
    ("wasi_snapshot_preview1", "sched_yield", ""),
    ("wasi_snapshot_preview1", "poll_oneoff", "iiii"),
    ("wasi_snapshot_preview1", "fd_write", "iiii"),
    ("wasi_snapshot_preview1", "fd_close", "i"),
    ("wasi_snapshot_preview1", "fd_seek", "ilii"),
    ("wasi_snapshot_preview1", "fd_fdstat_get", "ii"),
    ("wasi_snapshot_preview1", "fd_fdstat_set_flags", "ii"),
    ("wasi_snapshot_preview1", "fd_prestat_get", "ii"),
    ("wasi_snapshot_preview1", "fd_prestat_dir_name", "iii"),
];

/// What is at address 0: names, an encoded list of pairs at 64, an iovec at 160.
const DATA: &str = r#"
    (data (i32.const 0) "authx-probe:path:status/a\00request\00path\00jobs")
    (data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\02\00\00\00\0a\00\00\00\01\00\00\00")
    (data (i32.const 92) ":method\00GET\00:path\00/x\00:authority\00a\00")
    (data (i32.const 160) "\00\00\00\00\08\00\00\00")"#;

#[derive(Debug, Clone)]
struct Call {
    function: usize,
    arguments: Vec<u32>,
}

/// Calls that succeed where they may, so that what follows on success is reached as well.
const SOUND: &[(&str, &[u32])] = &[
    ("proxy_http_call", &[0, 4, 64, 62, 0, 4, 0, 0, 1000, 200]),
    ("proxy_continue_stream", &[0]),
    ("proxy_continue_stream", &[1]),
    ("proxy_close_stream", &[0]),
    ("proxy_set_effective_context", &[65_536]),
    ("proxy_set_effective_context", &[131_072]),
    ("proxy_send_local_response", &[403, 0, 4, 0, 4, 0, 0, u32::MAX]),
    ("proxy_set_tick_period_milliseconds", &[10]),
    ("proxy_register_shared_queue", &[39, 4, 200]),
    ("proxy_enqueue_shared_queue", &[1, 0, 4]),
    ("proxy_dequeue_shared_queue", &[1, 200, 204]),
    ("proxy_set_buffer_bytes", &[0, 0, 4, 0, 10]),
    ("proxy_get_buffer_bytes", &[1, 0, 100, 200, 204]),
    ("proxy_get_header_map_value", &[0, 4, 7, 200, 204]),
    ("proxy_get_header_map_pairs", &[0, 200, 204]),
    ("proxy_set_header_map_pairs", &[0, 64, 62]),
    ("proxy_add_header_map_value", &[2, 4, 7, 0, 4]),
    ("proxy_get_property", &[26, 12, 200, 204]),
    ("proxy_set_property", &[0, 4, 0, 4]),
    ("proxy_set_shared_data", &[0, 4, 0, 4, 0]),
    ("proxy_get_shared_data", &[0, 4, 200, 204, 208]),
    ("proxy_done", &[]),
];

fn argument() -> impl Strategy<Value = u32> {
    prop_oneof![
        6 => 0u32..9,
        2 => prop::sample::select(vec![4, 7, 11, 16, 24, 64, 66, 160, 200, 403, 1000, 4096]),
        1 => prop::sample::select(vec![65_532, 65_535, 65_536, 65_540, 0x7fff_ffff, 0x8000_0000, 0xffff_fff0, u32::MAX]),
        1 => any::<u32>(),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let any = (0..FUNCTIONS.len(), prop::collection::vec(argument(), 12));
    let any = any.prop_map(|(function, arguments)| Call { function, arguments });
    let sound = prop::sample::select(SOUND).prop_map(|(name, arguments)| Call {
        function: FUNCTIONS.iter().position(|(_, known, _)| *known == name).expect("a function of the list"),
        arguments: arguments.to_vec(),
    });
    prop::collection::vec(prop_oneof![any, sound], 0..6)
}

fn emit(calls: &[Call]) -> String {
    calls.iter().fold(String::new(), |mut text, call| {
        let (_, name, params) = FUNCTIONS[call.function];
        let arguments = params.chars().zip(&call.arguments).fold(String::new(), |mut text, (kind, value)| {
            match kind {
                'l' => write!(text, " (i64.const {value})"),
                _ => write!(text, " (i32.const {})", value.cast_signed()),
            }
            .unwrap();
            text
        });
        write!(text, " (drop (call ${name}{arguments}))").unwrap();
        text
    })
}

fn guest(scripts: &[Vec<Call>; 7], returned: u32) -> String {
    let imports = FUNCTIONS.iter().fold(String::new(), |mut text, (module, name, params)| {
        let params = params.chars().map(|kind| if kind == 'l' { " i64" } else { " i32" }).collect::<String>();
        let params = if params.is_empty() { params } else { format!("(param{params})") };
        write!(text, "(import \"{module}\" \"{name}\" (func ${name} {params} (result i32)))").unwrap();
        text
    });
    let script = |index: usize| emit(&scripts[index]);
    format!(
        r#"(module {imports}
        (memory (export "memory") 1) {DATA}
        (global $next (mut i32) (i32.const 8192))
        (global $busy (mut i32) (i32.const 0))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32)
            (if (i32.eqz (global.get $busy)) (then
                (global.set $busy (i32.const 1)) {allocate} (global.set $busy (i32.const 0))))
            (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 0))))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) {configure} (i32.const 1))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {headers} (i32.const {returned}))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) {body} (i32.const {returned}))
        (func (export "proxy_on_request_trailers") (param i32 i32) (result i32) {body} (i32.const {returned}))
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) {headers} (i32.const {returned}))
        (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) {body} (i32.const {returned}))
        (func (export "proxy_on_tick") (param i32) {tick})
        (func (export "proxy_on_queue_ready") (param i32 i32) {tick})
        (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) {answer})
        (func (export "proxy_on_done") (param i32) (result i32) {done} (i32.const {returned})))"#,
        allocate = script(0),
        configure = script(1),
        headers = script(2),
        body = script(3),
        tick = script(4),
        answer = script(5),
        done = script(6),
    )
}

async fn exchange(worker: &Worker) {
    let Ok(stream) = worker.plugin.open_stream(crate::support::info()) else { return };
    let (mut head, mut trailers) = (request("x"), HeaderMap::new());
    let mut phase = Box::pin(stream.request_headers(&mut head, EndOfStream::No));
    if poll_once(phase.as_mut()).is_pending() {
        settle().await;
        let answered: Vec<_> = worker.host.calls.borrow_mut().drain(..).collect();
        answered.into_iter().for_each(|call| call.answer(Ok(crate::support::answer(200, "x"))));
        settle().await;
        drop(phase.as_mut().now_or_never());
    }
    drop(phase);
    for end in [EndOfStream::No, EndOfStream::Yes] {
        drop(stream.request_body(Bytes::from_static(b"some bytes"), end).now_or_never());
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(stream.response_body(Bytes::from_static(b"others"), end).now_or_never());
    }
    drop(stream.request_trailers(&mut trailers).now_or_never());
    drop(stream.response_headers(&mut response(), EndOfStream::No).now_or_never());
    drop(stream.released(Direction::Response).now_or_never());
    drop(stream.take_held(Direction::Request));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn no_guest_stops_the_worker(
        scripts in prop::array::uniform7(calls()),
        returned in 0u32..4,
    ) {
        let text = guest(&scripts, returned);
        run(async move {
            let limits = Limits {
                headers: PairLimits { count: 16, bytes: 1024 },
                body_buffer: 64,
                instances: 2,
                metrics: 2,
                shared_data: 256,
                queues: 2,
                queue_bytes: 128,
                http_calls: 2,
                ..limits()
            };
            let worker = Worker::new(wat(&text), "{}", limits);
            for _ in 0..3 {
                exchange(&worker).await;
            }
            let host = worker.host.clone();
            drop(worker);
            settle().await;
            assert_eq!(std::rc::Rc::strong_count(&host), 1, "tasks outlive the plugin");
        });
    }
}
