//! Guests that mean harm or are broken: none of it stops the worker, and none reaches another instance's streams.

use std::time::Duration;

use crate::assert_matches;
use crate::support::{Worker, info, limits, poll_once, probe, request, response, run, settle, wat};
use portolan_wasm::{EndOfStream, FailureKind, Limits, Outcome};

/// A guest whose `on_request_headers` is `body`, with the host functions that hostile guests misuse.
fn guest(body: &str) -> String {
    with(body, "", "(global.get $next) (global.set $next (i32.add (global.get $next) (local.get 0)))")
}

fn with(body: &str, extra: &str, malloc: &str) -> String {
    format!(
        r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_value" (func $value (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
        (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_send_local_response"
            (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "x-probe:status-1")
        (global $next (mut i32) (i32.const 4096))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) {malloc})
        (func $recurse (call $recurse) (call $recurse))
        {extra}
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {body}))"#
    )
}

/// Ends with the status that `call` gave, as an answer of status 200 + that.
fn status_of(call: &str) -> String {
    guest(&format!(
        "(drop (call $respond (i32.add (i32.const 200) {call})
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
         (i32.const 1)"
    ))
}

async fn outcome(text: &str) -> Outcome {
    let worker = Worker::wat(text);
    let stream = worker.open();
    stream.request_headers(&mut request("tag"), EndOfStream::Yes).await
}

#[test]
fn bad_pointers_and_lengths_are_answered_with_a_status() {
    run(async {
        for (call, status) in [
            ("(call $log (i32.const 2) (i32.const -1) (i32.const 4))", 6),
            ("(call $log (i32.const 2) (i32.const 0) (i32.const -1))", 6),
            ("(call $log (i32.const 9) (i32.const 0) (i32.const 4))", 2),
            ("(call $log (i32.const 2) (i32.const 65534) (i32.const 4))", 6),
            ("(call $value (i32.const 0) (i32.const 70000) (i32.const 4) (i32.const 64) (i32.const 68))", 6),
            ("(call $value (i32.const 0) (i32.const 0) (i32.const 7) (i32.const -2) (i32.const 68))", 6),
            ("(call $value (i32.const 99) (i32.const 0) (i32.const 7) (i32.const 64) (i32.const 68))", 2),
            ("(call $value (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 64) (i32.const 68))", 1),
            ("(call $value (i32.const 2) (i32.const 7) (i32.const 7) (i32.const 64) (i32.const 68))", 1),
            ("(call $pairs (i32.const 2) (i32.const 64) (i32.const 68))", 0),
            ("(call $pairs (i32.const 0) (i32.const -4) (i32.const 68))", 6),
            ("(call $set_pairs (i32.const 0) (i32.const 4096) (i32.const 3))", 4),
            ("(call $set_pairs (i32.const 6) (i32.const 0) (i32.const 0))", 2),
            ("(call $add (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))", 2),
            ("(call $add (i32.const 2) (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 1))", 2),
            ("(call $buffer (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 64) (i32.const 68))", 1),
            ("(call $buffer (i32.const 77) (i32.const 0) (i32.const -1) (i32.const 64) (i32.const 68))", 2),
            ("(call $buffer (i32.const 7) (i32.const -1) (i32.const -1) (i32.const 64) (i32.const 68))", 0),
            ("(call $property (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 68))", 1),
            ("(call $property (i32.const 200) (i32.const 200) (i32.const 64) (i32.const 68))", 1),
            ("(call $random (i32.const 0) (i32.const 65537))", 28),
            ("(call $random (i32.const 65535) (i32.const 2))", 21),
            ("(call $write (i32.const 1) (i32.const 65530) (i32.const 9) (i32.const 0))", 21),
            ("(call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0))", 28),
            ("(call $write (i32.const 7) (i32.const 0) (i32.const 1) (i32.const 0))", 8),
        ] {
            assert_matches!(
                outcome(&status_of(call)).await,
                Outcome::Respond(answer) if answer.status.as_u16() == 200 + status
            );
        }
    });
}

#[test]
fn wasi_functions_without_a_meaning_say_so() {
    run(async {
        let call = "(call $open (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0))";
        assert_matches!(outcome(&status_of(call)).await, Outcome::Respond(answer) if answer.status == 252);
    });
}

#[test]
fn allocators_that_lie_trap_or_call_back_do_no_harm() {
    run(async {
        let read = "(call $value (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 64) (i32.const 68))";
        for (malloc, expected) in [
            ("(i32.const 0)", Some(10)),
            ("(i32.const -1)", Some(6)),
            ("(i32.const 65535)", Some(6)),
            // Asks for allocated memory itself: refused, so that it is called once.
            (
                "(drop (call $value (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 64) (i32.const 68)))
                 (i32.const 8192)",
                Some(0),
            ),
            ("unreachable", None),
            ("(loop $l (br $l)) (i32.const 1)", None),
        ] {
            let body = format!(
                "(drop (call $respond (i32.add (i32.const 200) {read}) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))) (i32.const 1)"
            );
            let limits = Limits { time_per_call: Duration::from_millis(200), ..limits() };
            let worker = Worker::new(wat(&with(&body, "", malloc)), "", limits);
            let stream = worker.open();
            let outcome = stream.request_headers(&mut request("tag"), EndOfStream::Yes).await;
            match expected {
                Some(status) => assert_matches!(
                    outcome, Outcome::Respond(answer) if answer.status.as_u16() == 200 + status
                ),
                None => assert_matches!(outcome, Outcome::Failed(_)),
            }
        }
    });
}

#[test]
fn a_guest_without_an_allocator_is_told_that_it_cannot_be_given_anything() {
    run(async {
        let text = status_of("(call $value (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 64) (i32.const 68))");
        let text = text.replace("(export \"malloc\")", "$malloc");
        assert_matches!(outcome(&text).await, Outcome::Respond(answer) if answer.status == 210);
    });
}

#[test]
fn traps_of_every_kind_are_failures() {
    run(async {
        for body in [
            "unreachable",
            "(call $recurse) (i32.const 0)",
            "(drop (i32.load (i32.const -8))) (i32.const 0)",
            "(drop (i32.div_u (i32.const 1) (i32.const 0))) (i32.const 0)",
            "(call $exit (i32.const 3)) (i32.const 0)",
        ] {
            assert_matches!(outcome(&guest(body)).await, Outcome::Failed(failure) if failure.kind == FailureKind::Trap);
        }
    });
}

#[test]
fn a_trap_in_any_callback_ends_the_instance_and_not_the_worker() {
    let trap = |name: &str, params: &str, result: &str| {
        format!(
            r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
               (func (export "{name}") {params} {result} unreachable))"#
        )
    };
    let result = "(result i32)";
    run(async {
        for (name, params, result) in [
            ("_initialize", "", ""),
            ("proxy_on_vm_start", "(param i32 i32)", result),
            ("proxy_on_configure", "(param i32 i32)", result),
            ("proxy_on_context_create", "(param i32 i32)", ""),
        ] {
            let failure = Worker::wat(&trap(name, params, result)).plugin.start().unwrap_err();
            assert_eq!(failure.kind, FailureKind::Start, "{name}");
        }
        for (name, params, result) in [
            ("proxy_on_log", "(param i32)", ""),
            ("proxy_on_done", "(param i32)", result),
            ("proxy_on_delete", "(param i32)", ""),
        ] {
            let worker = Worker::wat(&trap(name, params, result));
            worker.open().finish();
            assert_eq!(worker.plugin.streams(), 0, "{name}");
            assert_matches!(worker.open().request_headers(&mut request(""), EndOfStream::Yes).await, Outcome::Continue);
        }
    });
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    run(async {
        let limits = Limits { time_per_call: Duration::from_millis(5), ..limits() };
        let worker = Worker::new(probe(), "", limits);
        let outcome = worker.open().request_headers(&mut request("loop"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Deadline);
    });
}

#[test]
fn an_endless_start_ends_at_its_deadline() {
    run(async {
        let text = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
            (func $start (loop $l (br $l))) (start $start))"#;
        let limits = Limits { time_to_start: Duration::from_millis(5), ..limits() };
        let failure = Worker::new(wat(text), "", limits).plugin.start().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Start);
    });
}

#[test]
fn memory_ends_at_its_limit() {
    run(async {
        let limits = Limits { memory: 8 << 20, ..limits() };
        let worker = Worker::new(probe(), "", limits);
        let outcome = worker.open().request_headers(&mut request("grow"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Memory);
    });
}

#[test]
fn a_trap_ends_the_streams_of_its_instance_alone_and_the_instance_is_replaced() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { instances: 2, ..limits() });
        let streams: Vec<_> = (0..4).map(|_| worker.open()).collect();
        for stream in &streams {
            assert_matches!(stream.request_headers(&mut request(""), EndOfStream::Yes).await, Outcome::Continue);
        }
        let outcome = streams[0].request_headers(&mut request("panic"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Trap);
        let mut lost = 0;
        for stream in &streams[1..] {
            match stream.response_headers(&mut response(), EndOfStream::Yes).await {
                Outcome::Continue => {}
                Outcome::Failed(failure) if failure.kind == FailureKind::InstanceLost => lost += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lost, 1, "streams are spread evenly, and the other instance's go on");
        for _ in 0..4 {
            assert_matches!(worker.open().request_headers(&mut request(""), EndOfStream::Yes).await, Outcome::Continue);
        }
        let (_, stats) = worker.shared.stats().remove(0);
        assert_eq!(stats.instances_started, 3);
        assert!(stats.failures.contains(&(FailureKind::Trap, 1)), "{stats:?}");
    });
}

#[test]
fn a_stream_that_waits_is_told_when_its_instance_ends() {
    run(async {
        let worker = Worker::probe();
        let (waiting, other) = (worker.open(), worker.open());
        let mut head = request("call");
        let mut phase = Box::pin(waiting.request_headers(&mut head, EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending());
        assert_matches!(
            other.request_headers(&mut request("panic"), EndOfStream::Yes).await,
            Outcome::Failed(failure) if failure.kind == FailureKind::Trap
        );
        assert_matches!(phase.await, Outcome::Failed(failure) if failure.kind == FailureKind::InstanceLost);
        assert_eq!(head.path.as_str(), "/cart?x=1", "the head survives the instance");
        settle().await;
        assert!(worker.next_call().is_ended());
    });
}

#[test]
fn instances_that_keep_failing_rest_and_are_tried_again() {
    run(async {
        let worker = Worker::probe();
        let fail = async || {
            let outcome = worker.open().request_headers(&mut request("panic"), EndOfStream::Yes).await;
            assert_matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Trap);
        };
        fail().await;
        fail().await;
        assert_eq!(worker.plugin.open_stream(info()).unwrap_err().kind, FailureKind::Unavailable);
        worker.host.clock.set(Duration::from_millis(150));
        let probe = worker.open();
        assert_eq!(worker.plugin.open_stream(info()).unwrap_err().kind, FailureKind::Unavailable, "one at a time");
        assert_matches!(probe.request_headers(&mut request(""), EndOfStream::Yes).await, Outcome::Continue);
        drop(probe);
        let (first, second) = (worker.open(), worker.open());
        drop((first, second));
    });
}

#[test]
fn a_guest_that_says_done_in_every_callback_ends_once() {
    // Lingers, and says done when it is told of its end, of its deletion, and twice.
    let text = r#"(module
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_done" (func $done (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "delete")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_done") (param i32) (result i32)
            (drop (call $done)) (drop (call $done)) (i32.const 0))
        (func (export "proxy_on_delete") (param i32)
            (drop (call $done)) (drop (call $log (i32.const 2) (i32.const 0) (i32.const 6)))))"#;
    run(async {
        let worker = Worker::wat(text);
        drop(worker.open());
        assert_eq!((worker.plugin.streams(), worker.logs()), (0, vec!["delete".to_owned()]));
    });
}

#[test]
fn a_guest_that_feeds_its_own_queue_leaves_the_worker_to_others() {
    let text = r#"(module
        (import "env" "proxy_register_shared_queue" (func $register (param i32 i32 i32) (result i32)))
        (import "env" "proxy_enqueue_shared_queue" (func $enqueue (param i32 i32 i32) (result i32)))
        (import "env" "proxy_dequeue_shared_queue" (func $dequeue (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $register (i32.const 0) (i32.const 1) (i32.const 64)))
            (drop (call $enqueue (i32.const 1) (i32.const 0) (i32.const 1))) (i32.const 1))
        (func (export "proxy_on_queue_ready") (param i32 i32)
            (drop (call $dequeue (i32.const 1) (i32.const 64) (i32.const 68)))
            (drop (call $enqueue (i32.const 1) (i32.const 0) (i32.const 1)))))"#;
    run(async {
        let worker = Worker::wat(text);
        worker.plugin.start().unwrap();
        // Paused time moves on only when no task has anything to do.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_matches!(worker.open().request_headers(&mut request(""), EndOfStream::Yes).await, Outcome::Continue);
    });
}
