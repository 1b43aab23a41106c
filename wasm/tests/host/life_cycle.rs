//! The order of callbacks, in each version of the ABI, and what an instance is started with.

use crate::assert_matches;
use crate::support::{Worker, info, limits, request, response, run, wat};
use bytes::Bytes;
use portolan_wasm::{AbiVersion, BodyOutcome, EndOfStream, FailureKind, Outcome, RouteChoice};

/// Logs the name of each callback; `$headers` is the signature of the headers callbacks.
fn tracer(version: &str, headers: &str) -> String {
    let callback = |name: &str, params: &str, result: &str, at: usize| {
        format!(
            r#"(func (export "proxy_on_{name}") {params} {result}
                 (drop (call $log (i32.const 2) (i32.const {at}) (i32.const {}))) {})
               (data (i32.const {at}) "{name}")"#,
            name.len(),
            match (name, result) {
                (_, "") => "",
                ("vm_start" | "configure" | "done", _) => "(i32.const 1)",
                _ => "(i32.const 0)",
            },
        )
    };
    let three = "(param i32 i32 i32)";
    let two = "(param i32 i32)";
    let callbacks = [
        callback("context_create", two, "", 0),
        callback("vm_start", two, "(result i32)", 32),
        callback("configure", two, "(result i32)", 64),
        callback("request_headers", headers, "(result i32)", 96),
        callback("request_body", three, "(result i32)", 128),
        callback("response_headers", headers, "(result i32)", 160),
        callback("done", "(param i32)", "(result i32)", 192),
        callback("log", "(param i32)", "", 224),
        callback("delete", "(param i32)", "", 256),
    ];
    format!(
        r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "proxy_abi_version_{version}"))
            {})"#,
        callbacks.concat()
    )
}

async fn exchange(worker: &Worker) {
    let stream = worker.open();
    assert_matches!(stream.request_headers(&mut request(""), EndOfStream::No).await, Outcome::Continue);
    let body = stream.request_body(Bytes::from_static(b"x"), EndOfStream::Yes).await;
    assert_matches!(body, BodyOutcome::Forward(bytes) if bytes == "x");
    assert_matches!(stream.response_headers(&mut response(), EndOfStream::Yes).await, Outcome::Continue);
    stream.finish();
    stream.finish();
}

#[test]
fn callbacks_come_in_order_in_every_version_of_the_abi() {
    run(async {
        for (version, headers, abi) in [
            ("0_1_0", "(param i32 i32)", AbiVersion::V0_1_0),
            ("0_2_0", "(param i32 i32 i32)", AbiVersion::V0_2_0),
            ("0_2_1", "(param i32 i32 i32)", AbiVersion::V0_2_1),
        ] {
            let module = wat(&tracer(version, headers));
            assert_eq!(module.abi(), abi);
            let worker = Worker::new(module, "", limits());
            exchange(&worker).await;
            let expected = [
                "context_create",
                "vm_start",
                "configure",
                "context_create",
                "request_headers",
                "request_body",
                "response_headers",
                "log",
                "done",
                "delete",
            ];
            assert_eq!(worker.logs(), expected, "ABI {version}");
            let host = worker.host.clone();
            drop(worker);
            assert_eq!(host.logs.borrow()[10..], ["done", "delete"], "the root context ends too");
        }
    });
}

#[test]
fn a_dropped_stream_ends_like_a_finished_one() {
    run(async {
        let worker = Worker::wat(&tracer("0_2_1", "(param i32 i32 i32)"));
        drop(worker.open());
        assert_eq!(worker.logs()[3..], ["context_create", "log", "done", "delete"]);
        assert_eq!(worker.plugin.streams(), 0);
    });
}

#[test]
fn the_newest_of_several_markers_counts() {
    let module = wat(r#"(module (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_1_0")) (func (export "proxy_abi_version_0_2_0")))"#);
    assert_eq!(module.abi(), AbiVersion::V0_2_0);
}

#[test]
fn absent_callbacks_are_not_missed() {
    run(async {
        let worker = Worker::wat(r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0")))"#);
        exchange(&worker).await;
    });
}

#[test]
fn the_configuration_and_the_guests_output_arrive() {
    run(async {
        let worker = Worker::new(crate::support::probe(), "stdout", limits());
        worker.plugin.start().unwrap();
        assert!(worker.logged("vm_start 0 true"), "{:?}", worker.logs());
        assert!(worker.logged("configure 6 stdout"));
        assert!(worker.logged("printed"));
    });
}

#[test]
fn a_filter_that_refuses_its_configuration_does_not_start() {
    run(async {
        let worker = Worker::new(crate::support::probe(), "refuse", limits());
        let failure = worker.plugin.start().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Start);
        assert!(failure.message.contains("proxy_on_configure"), "{failure}");
        let failure = worker.plugin.open_stream(info()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Start, "the second try is made at once");
        let failure = worker.plugin.open_stream(info()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unavailable, "then it rests");
    });
}

#[test]
fn a_stream_that_asks_for_time_is_deleted_when_it_says_done() {
    // `proxy_on_done` returns false; a tick of the root then says done on the stream's behalf.
    let text = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_done" (func $done (result i32)))
        (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
        (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "delete")
        (global $stream (mut i32) (i32.const 0))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $tick (i32.const 50))) (i32.const 1))
        (func (export "proxy_on_done") (param i32) (result i32) (global.set $stream (local.get 0)) (i32.const 0))
        (func (export "proxy_on_tick") (param i32)
            (drop (call $effective (global.get $stream))) (drop (call $done)))
        (func (export "proxy_on_delete") (param i32) (drop (call $log (i32.const 2) (i32.const 0) (i32.const 6)))))"#;
    run(async {
        let worker = Worker::wat(text);
        drop(worker.open());
        assert_eq!((worker.plugin.streams(), worker.logs().len()), (1, 0), "it lingers");
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        assert_eq!((worker.plugin.streams(), worker.logs().len()), (0, 1));
    });
}

#[test]
fn functions_that_only_the_first_abi_has_work() {
    // Logs its configuration, clears the route, and continues by the old names before it pauses.
    let text = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))
        (import "env" "proxy_clear_route_cache" (func $clear (result i32)))
        (import "env" "proxy_continue_request" (func $request (result i32)))
        (import "env" "proxy_continue_response" (func $response (result i32)))
        (memory (export "memory") 1) (func (export "proxy_abi_version_0_1_0"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
            (drop (call $configuration (i32.const 0) (i32.const 4)))
            (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4))))
            (drop (call $clear)) (drop (call $request)) (i32.const 1))
        (func (export "proxy_on_response_headers") (param i32 i32) (result i32)
            (drop (call $response)) (i32.const 1)))"#;
    run(async {
        let worker = Worker::new(wat(text), "{}", limits());
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request(""), EndOfStream::Yes).await, Outcome::Continue);
        assert_eq!(stream.take_route_choice(), RouteChoice::Cleared);
        assert_eq!(stream.take_route_choice(), RouteChoice::Kept, "it is asked for once");
        assert_matches!(stream.response_headers(&mut response(), EndOfStream::Yes).await, Outcome::Continue);
        assert!(worker.logged("{}"));
    });
}

#[test]
fn an_unusual_headers_status_stops_or_goes_on_as_in_envoy() {
    run(async {
        for (status, goes_on) in [(0, true), (1, false), (2, true), (3, false), (4, false), (77, false)] {
            let worker = Worker::wat(&format!(
                r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0"))
                   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const {status})))"#
            ));
            let outcome = worker.open().request_headers(&mut request(""), EndOfStream::Yes).await;
            match outcome {
                Outcome::Continue => assert!(goes_on, "{status}"),
                Outcome::Failed(failure) => assert!(!goes_on && failure.kind == FailureKind::Stuck, "{status}"),
                other => panic!("{other:?}"),
            }
        }
    });
}
