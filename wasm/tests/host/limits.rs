//! Every limit, reached: what the guest sees, and the counter.

use crate::assert_matches;
use crate::support::{Worker, guest, info, limits, poll_once, probe, request, run};
use bytes::Bytes;
use portolan_wasm::{
    BodyOutcome, Direction, EndOfStream, EngineConfig, FailureKind, LimitKind, Limits, Outcome, PairLimits, WasmEngine,
};

fn reached(worker: &Worker, kind: LimitKind) -> u64 {
    let (_, stats) = worker.shared.stats().remove(0);
    stats.limits_reached.into_iter().find(|(reached, _)| *reached == kind).map_or(0, |(_, count)| count)
}

async fn ask(worker: &Worker, action: &str) -> Outcome {
    worker.open().request_headers(&mut request(action), EndOfStream::Yes).await
}

#[test]
fn streams() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { streams: 2, ..limits() });
        let held = (worker.open(), worker.open());
        assert_eq!(worker.plugin.open_stream(info()).unwrap_err().kind, FailureKind::Unavailable);
        assert_eq!(reached(&worker, LimitKind::Streams), 1);
        drop(held);
        drop(worker.open());
    });
}

#[test]
fn held_bodies_in_both_directions() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { body_buffer: 3, ..limits() });
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request("body-hold"), EndOfStream::No).await, Outcome::Continue);
        assert_matches!(stream.request_body(Bytes::from_static(b"ab"), EndOfStream::No).await, BodyOutcome::Hold);
        let kind = FailureKind::BodyTooLarge(Direction::Request);
        let outcome = stream.request_body(Bytes::from_static(b"cd"), EndOfStream::No).await;
        assert_matches!(outcome, BodyOutcome::Failed(failure) if failure.kind == kind);
        assert_eq!(stream.take_held(Direction::Request), "abcd");

        let stream = worker.open();
        let mut head = request("response-body-hold");
        assert_matches!(stream.request_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
        assert_matches!(stream.response_body(Bytes::from_static(b"abc"), EndOfStream::No).await, BodyOutcome::Hold);
        let kind = FailureKind::BodyTooLarge(Direction::Response);
        let outcome = stream.response_body(Bytes::from_static(b"d"), EndOfStream::No).await;
        assert_matches!(outcome, BodyOutcome::Failed(failure) if failure.kind == kind);
        assert_eq!(reached(&worker, LimitKind::BodyBuffer), 2);
    });
}

#[test]
fn a_body_that_is_not_held_may_be_larger_than_what_may_be_held() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { body_buffer: 3, ..limits() });
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request(""), EndOfStream::No).await, Outcome::Continue);
        let outcome = stream.request_body(Bytes::from_static(b"a large piece"), EndOfStream::Yes).await;
        assert_matches!(outcome, BodyOutcome::Forward(bytes) if bytes == "a large piece");
    });
}

#[test]
fn header_pairs() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { headers: PairLimits { count: 5, bytes: 4096 }, ..limits() });
        // The Rust SDK panics where it is not given the pairs.
        assert_matches!(ask(&worker, "headers").await, Outcome::Failed(failure) if failure.kind == FailureKind::Trap);
        assert_eq!(reached(&worker, LimitKind::Headers), 1);
    });
}

#[test]
fn log_lines_and_their_rate() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { logs_per_second: 10, log_line: 101, ..limits() });
        assert_matches!(ask(&worker, "logs").await, Outcome::Continue);
        assert_eq!(worker.logs().len(), 10);
        assert!(reached(&worker, LimitKind::LogRate) >= 990);
        worker.host.clock.set(std::time::Duration::from_secs(1));
        assert_matches!(ask(&worker, "long-log").await, Outcome::Continue);
        assert!(worker.logs()[10].contains("log lines dropped"), "{:?}", worker.logs());
        assert_eq!(worker.logs()[11], "é".repeat(50), "cut at a whole character");
        assert_eq!(reached(&worker, LimitKind::LogLine), 1);
    });
}

#[test]
fn http_calls() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { http_calls: 7, ..limits() });
        assert_matches!(ask(&worker, "call-flood").await, Outcome::Continue);
        assert!(worker.logged("calls sent 7"));
        assert_eq!(worker.host.calls.borrow().len(), 7);
        assert_eq!(reached(&worker, LimitKind::HttpCalls), 1);
    });
}

#[test]
fn timeouts_of_http_calls_and_periods_of_ticks() {
    run(async {
        let second = std::time::Duration::from_secs(1);
        let worker =
            Worker::new(probe(), "tick", Limits { http_call_timeout: second, tick_period: second, ..limits() });
        assert_matches!(ask(&worker, "call-flood").await, Outcome::Continue);
        assert_eq!(worker.next_call().request.timeout, second);
        tokio::time::sleep(second / 2).await;
        assert!(!worker.logged("tick 1"), "a period of 20 ms was asked for");
        tokio::time::sleep(second).await;
        assert!(worker.logged("tick 1"));
    });
}

#[test]
fn answers_of_http_calls_that_are_too_large_are_none() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { body_buffer: 10, ..limits() });
        let stream = worker.open();
        let mut head = request("call");
        let mut phase = Box::pin(stream.request_headers(&mut head, EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending());
        let call = worker.next_call();
        assert_eq!(call.request.response_bytes_max, 10);
        call.answer(Ok(crate::support::answer(200, "more than ten")));
        assert_matches!(phase.await, Outcome::Continue);
        assert_eq!(head.headers["x-answer"], " 0  0 ");
    });
}

#[test]
fn metrics_shared_data_and_queues() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { metrics: 2, ..limits() });
        assert_matches!(ask(&worker, "metrics").await, Outcome::Failed(_));
        assert_eq!(reached(&worker, LimitKind::Metrics), 1);

        let worker = Worker::new(probe(), "", Limits { metric_name: 5, ..limits() });
        assert_matches!(ask(&worker, "metrics").await, Outcome::Failed(_));
        assert_eq!(reached(&worker, LimitKind::Metrics), 1);

        let worker = Worker::new(probe(), "", Limits { shared_data: 3, ..limits() });
        assert_matches!(ask(&worker, "shared").await, Outcome::Failed(_));
        assert_eq!(reached(&worker, LimitKind::SharedData), 1);

        let worker = Worker::new(probe(), "queue", Limits { queues: 0, ..limits() });
        assert_eq!(worker.plugin.start().unwrap_err().kind, FailureKind::Start);
        assert_eq!(reached(&worker, LimitKind::Queues), 1);

        let worker = Worker::new(probe(), "queue", Limits { queue_bytes: 3, ..limits() });
        assert_matches!(ask(&worker, "enqueue").await, Outcome::Failed(_));
        assert_eq!(reached(&worker, LimitKind::Queues), 1);
    });
}

#[test]
fn memory_and_time_are_counted() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { memory: 8 << 20, ..limits() });
        assert_matches!(ask(&worker, "grow").await, Outcome::Failed(_));
        assert!(reached(&worker, LimitKind::Memory) > 0);

        let time_per_call = std::time::Duration::from_millis(5);
        let worker = Worker::new(probe(), "", Limits { time_per_call, ..limits() });
        assert_matches!(ask(&worker, "loop").await, Outcome::Failed(_));
        assert_eq!(reached(&worker, LimitKind::Time), 1);
    });
}

#[test]
fn memory_that_the_module_begins_with() {
    run(async {
        let worker = Worker::new(probe(), "", Limits { memory: 64 << 10, ..limits() });
        let failure = worker.plugin.start().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Start);
        assert!(failure.message.contains("memory"), "{failure}");
        assert!(reached(&worker, LimitKind::Memory) > 0);

        let worker = Worker::new(probe(), "", Limits { memory: usize::MAX, ..limits() });
        let failure = worker.plugin.start().unwrap_err();
        assert!(failure.message.contains("limits.memory"), "{failure}");
    });
}

#[test]
fn instances_of_the_process() {
    run(async {
        let engine = WasmEngine::new(EngineConfig { instances: 1, ..EngineConfig::default() }).unwrap();
        let module = engine.compile(&guest("test_probe")).unwrap();
        let worker = Worker::new(module, "", Limits { instances: 2, ..limits() });
        let failure = worker.plugin.start().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Start);
        assert_matches!(ask(&worker, "").await, Outcome::Continue);
    });
}

#[test]
fn state_of_a_stream() {
    let text = r#"(module
        (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_send_local_response"
            (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 4) (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $respond
                (i32.add (i32.const 200) (call $set (i32.const 0) (i32.const 3) (i32.const 0) (i32.const 65536)))
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
            (i32.const 1)))"#;
    run(async {
        let worker = Worker::wat(text);
        assert_matches!(ask(&worker, "").await, Outcome::Respond(answer) if answer.status == 210);
        assert_eq!(reached(&worker, LimitKind::StreamState), 1);
    });
}
