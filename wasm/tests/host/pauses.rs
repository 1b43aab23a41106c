//! Pauses: what ends them, and what ends with them.

use crate::assert_matches;
use crate::support::{Worker, answer, poll_once, request, response, run, settle};
use bytes::Bytes;
use futures_util::future::{Either, select};
use portolan_wasm::{BodyOutcome, CallError, Direction, EndOfStream, FailureKind, Outcome};
use std::pin::pin;
use std::time::Duration;

#[test]
fn a_paused_request_goes_on_with_the_answer_of_a_call() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let mut head = request("call");
        let mut phase = Box::pin(stream.request_headers(&mut head, EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending());
        let call = worker.next_call();
        assert_eq!((call.service.as_str(), &call.request.body[..]), ("auth", &b"question"[..]));
        assert_eq!(call.request.head.path.as_str(), "/check");
        assert_eq!(call.request.timeout, Duration::from_secs(5));
        call.answer(Ok(answer(204, "fine")));
        assert_matches!(phase.await, Outcome::Continue);
        assert_eq!(head.headers["x-answer"], "204 1 fine 1 t");
        assert_eq!(head.path.as_str(), "/cart?x=1", "the head is back with the caller");
    });
}

#[test]
fn a_paused_response_goes_on_with_the_answer_of_a_call() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let mut head = request("response-call");
        assert_matches!(stream.request_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
        let mut head = response();
        let mut phase = Box::pin(stream.response_headers(&mut head, EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending());
        worker.next_call().answer(Ok(answer(200, "")));
        assert_matches!(phase.await, Outcome::Continue);
        assert_eq!(head.headers["x-answer"], "200 1  1 t");
    });
}

#[test]
fn a_paused_request_is_answered_from_a_call() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let mut head = request("call-deny");
        let mut phase = Box::pin(stream.request_headers(&mut head, EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending());
        worker.next_call().answer(Err(CallError::TimedOut));
        assert_matches!(phase.await, Outcome::Respond(answer) if answer.status == 401 && answer.body == " 0  0 ");
    });
}

#[test]
fn a_pause_that_nothing_can_end_fails_instead_of_hanging() {
    run(async {
        let worker = Worker::probe();
        let outcome = worker.open().request_headers(&mut request("stuck"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Stuck);

        let stream = worker.open();
        let mut head = request("call-forget");
        let mut phase = Box::pin(stream.request_headers(&mut head, EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending(), "the call may resume it");
        worker.next_call().answer(Ok(answer(200, "")));
        assert_matches!(phase.await, Outcome::Failed(failure) if failure.kind == FailureKind::Stuck);
    });
}

#[test]
fn another_stream_may_end_a_pause_until_it_is_the_last() {
    run(async {
        let worker = Worker::probe();
        let (stream, other) = (worker.open(), worker.open());
        let mut head = request("stuck");
        let mut phase = Box::pin(stream.request_headers(&mut head, EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending());
        drop(other);
        assert_matches!(phase.await, Outcome::Failed(failure) if failure.kind == FailureKind::Stuck);
    });
}

#[test]
fn a_held_end_of_a_body_waits_and_goes_on_as_the_call_left_it() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request("body-call"), EndOfStream::No).await, Outcome::Continue);
        assert_matches!(stream.request_body(Bytes::from_static(b"ab"), EndOfStream::No).await, BodyOutcome::Hold);
        let mut phase = Box::pin(stream.request_body(Bytes::from_static(b"cd"), EndOfStream::Yes));
        assert!(poll_once(phase.as_mut()).is_pending());
        worker.next_call().answer(Ok(answer(200, "new")));
        assert_matches!(phase.await, BodyOutcome::Forward(bytes) if bytes == "200 1 new 1 t");
    });
}

/// Holds the body, and lets it go with every tick.
const RELEASER: &str = r#"(module
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
    (global $stream (mut i32) (i32.const 0))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (drop (call $tick (i32.const 50))) (i32.const 1))
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
        (global.set $stream (local.get 0)) (i32.const 1))
    (func (export "proxy_on_tick") (param i32)
        (drop (call $effective (global.get $stream))) (drop (call $continue (i32.const 0)))))"#;

#[test]
fn a_held_body_is_released_between_two_pieces() {
    run(async {
        let worker = Worker::wat(RELEASER);
        let stream = worker.open();
        assert_matches!(stream.request_body(Bytes::from_static(b"ab"), EndOfStream::No).await, BodyOutcome::Hold);
        assert_matches!(stream.released(Direction::Request).await, BodyOutcome::Forward(bytes) if bytes == "ab");

        assert_matches!(stream.request_body(Bytes::from_static(b"cd"), EndOfStream::No).await, BodyOutcome::Hold);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let next = stream.request_body(Bytes::from_static(b"ef"), EndOfStream::No).await;
        assert_matches!(next, BodyOutcome::Forward(bytes) if bytes == "cd");
        let last = stream.request_body(Bytes::from_static(b"gh"), EndOfStream::Yes).await;
        assert_matches!(last, BodyOutcome::Forward(bytes) if bytes == "efgh");
    });
}

#[test]
fn both_directions_can_wait_at_once() {
    run(async {
        let worker = Worker::wat(RELEASER);
        let stream = worker.open();
        let upload = pin!(stream.request_body(Bytes::from_static(b"ab"), EndOfStream::Yes));
        let answer = pin!(stream.released(Direction::Response));
        match select(upload, answer).await {
            Either::Left((outcome, _)) => assert_matches!(outcome, BodyOutcome::Forward(bytes) if bytes == "ab"),
            Either::Right((outcome, _)) => panic!("nobody released the response: {outcome:?}"),
        }
    });
}

#[test]
fn a_phase_that_is_dropped_gives_the_head_back_and_ends_the_call_it_waits_for() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let mut head = request("call");
        {
            let mut phase = Box::pin(stream.request_headers(&mut head, EndOfStream::Yes));
            assert!(poll_once(phase.as_mut()).is_pending());
        }
        assert_eq!(head.path.as_str(), "/cart?x=1");
        drop(stream);
        settle().await;
        assert!(worker.next_call().is_ended());
        assert!(worker.logged("done"));
    });
}

#[test]
fn a_call_that_no_stream_waits_for_outlives_its_stream() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let outcome = stream.request_headers(&mut request("call-flood"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Continue);
        drop(stream);
        settle().await;
        let call = worker.next_call();
        assert!(!call.is_ended());
        call.answer(Ok(answer(200, "late")));
        settle().await;
        assert!(worker.open().request_headers(&mut request(""), EndOfStream::Yes).await.is_continue());
    });
}

#[test]
fn a_call_ends_with_its_plugin() {
    run(async {
        let worker = Worker::probe();
        let outcome = worker.open().request_headers(&mut request("call-flood"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Continue);
        let host = worker.host.clone();
        drop(worker);
        settle().await;
        assert!(host.calls.borrow().iter().all(|call| call.is_ended()));
    });
}

trait IsContinue {
    fn is_continue(&self) -> bool;
}

impl IsContinue for Outcome {
    fn is_continue(&self) -> bool {
        matches!(self, Self::Continue)
    }
}
