//! What a filter reads and writes in each phase, and how it answers.

use crate::assert_matches;
use crate::support::{Worker, request, response, run};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portolan_wasm::{
    BodyOutcome, Direction, EndOfStream, FailureKind, Latent, Outcome, RequestHead, RouteChoice, TrailersOutcome,
};
use std::rc::Rc;

#[test]
fn headers_are_read_and_written_in_both_directions() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let mut head = request("headers");
        assert_matches!(stream.request_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
        assert!(worker.logged("request headers 7 7 true"), "{:?}", worker.logs());
        assert!(worker.logged("accept: text/html, text/plain"));
        assert_eq!(head.path.as_str(), "/changed");
        assert_eq!(head.headers.get_all("x-set").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(!head.headers.contains_key("accept"));
        assert_eq!(stream.take_route_choice(), RouteChoice::Kept);

        let mut head = response();
        assert_matches!(stream.response_headers(&mut head, EndOfStream::No).await, Outcome::Continue);
        assert_eq!(head.status, StatusCode::IM_A_TEAPOT);
        assert_eq!(head.headers["x-added"], "1");
        assert!(worker.logged("response headers 1 200 for /changed"), "request headers stay readable");
        stream.finish();
        assert!(worker.logged("log 418"));
        assert!(worker.logged("done"));
    });
}

#[test]
fn a_body_that_nobody_touches_is_passed_without_a_copy() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request(""), EndOfStream::No).await, Outcome::Continue);
        let piece = Bytes::from(vec![1; 1000]);
        let at = piece.as_ptr();
        let outcome = stream.request_body(piece, EndOfStream::No).await;
        assert_matches!(outcome, BodyOutcome::Forward(bytes) if bytes.as_ptr() == at);
    });
}

#[test]
fn a_held_body_is_seen_whole_and_goes_on_as_the_filter_left_it() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request("body-hold"), EndOfStream::No).await, Outcome::Continue);
        assert_matches!(stream.request_body(Bytes::from_static(b"ab"), EndOfStream::No).await, BodyOutcome::Hold);
        assert_matches!(stream.request_body(Bytes::from_static(b"cd"), EndOfStream::No).await, BodyOutcome::Hold);
        let last = stream.request_body(Bytes::from_static(b"ef"), EndOfStream::Yes).await;
        assert_matches!(last, BodyOutcome::Forward(bytes) if bytes == "[abcdef]");
    });
}

#[test]
fn a_body_is_edited_in_place() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request("body-edit"), EndOfStream::No).await, Outcome::Continue);
        let outcome = stream.request_body(Bytes::from_static(b"ab"), EndOfStream::Yes).await;
        assert_matches!(outcome, BodyOutcome::Forward(bytes) if bytes == "<ab>");
    });
}

#[test]
fn a_response_body_is_held_and_replaced() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let mut head = request("response-body-hold");
        assert_matches!(stream.request_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
        assert_matches!(stream.response_headers(&mut response(), EndOfStream::No).await, Outcome::Continue);
        assert_matches!(stream.response_body(Bytes::from_static(b"ab"), EndOfStream::No).await, BodyOutcome::Hold);
        let last = stream.response_body(Bytes::new(), EndOfStream::Yes).await;
        assert_matches!(last, BodyOutcome::Forward(bytes) if bytes == "replaced");
    });
}

#[test]
fn trailers_are_changed_and_let_a_held_body_go() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let mut head = request("body-hold-for-trailers");
        assert_matches!(stream.request_headers(&mut head, EndOfStream::No).await, Outcome::Continue);
        assert_matches!(stream.request_body(Bytes::from_static(b"ab"), EndOfStream::No).await, BodyOutcome::Hold);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "12".parse().unwrap());
        let outcome = stream.request_trailers(&mut trailers).await;
        assert_matches!(outcome, TrailersOutcome::Continue(held) if held == "ab");
        assert_eq!(trailers["x-seen"], "yes");
        assert!(worker.logged("request trailers 1 12"));
        let mut trailers = HeaderMap::new();
        assert_matches!(stream.response_trailers(&mut trailers).await, TrailersOutcome::Continue(_));
        assert_eq!(trailers["x-status"], "changed");
    });
}

#[test]
fn a_filter_answers_from_request_headers() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let outcome = stream.request_headers(&mut request("deny"), EndOfStream::Yes).await;
        assert_matches!(&outcome, Outcome::Respond(answer) if answer.status == 403 && answer.body == "no");
        assert_matches!(outcome, Outcome::Respond(answer) if answer.headers["x-why"] == "probe");
    });
}

#[test]
fn a_filter_answers_a_grpc_request() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let outcome = stream.request_headers(&mut request("grpc-deny"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Respond(answer) if answer.grpc_status == Some(7) && answer.status == 200);
    });
}

#[test]
fn a_filter_answers_from_a_body_and_from_response_headers() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request("body-deny"), EndOfStream::No).await, Outcome::Continue);
        let outcome = stream.request_body(Bytes::from_static(b"x"), EndOfStream::No).await;
        assert_matches!(outcome, BodyOutcome::Respond(answer) if answer.status == 413);

        let stream = worker.open();
        let mut head = request("response-deny");
        assert_matches!(stream.request_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
        let outcome = stream.response_headers(&mut response(), EndOfStream::No).await;
        assert_matches!(outcome, Outcome::Respond(answer) if answer.status == 502 && answer.body == "replaced");
    });
}

#[test]
fn a_filter_resets_a_stream() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        assert_matches!(stream.request_headers(&mut request("reset"), EndOfStream::Yes).await, Outcome::Reset);
    });
}

#[test]
fn properties_come_from_the_head_the_engine_and_the_filter_itself() {
    run(async {
        let worker = Worker::probe();
        let stream = worker.open();
        let outcome = stream.request_headers(&mut request("properties"), EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Continue);
        for line in [
            "path /cart?x=1 query x=1",
            "probe properties method GET",
            "source 192.0.2.7:4711 [103, 18, 0, 0, 0, 0, 0, 0]",
            "plugin probe absent -",
            "before -",
            "after kept",
        ] {
            assert!(worker.logged(line), "{line}: {:?}", worker.logs());
        }
    });
}

#[test]
fn what_is_not_supported_fails_without_a_trap() {
    run(async {
        let worker = Worker::probe();
        for action in ["grpc-call", "call-unknown", "clear-route"] {
            let outcome = worker.open().request_headers(&mut request(action), EndOfStream::Yes).await;
            assert_matches!(outcome, Outcome::Continue);
        }
        assert!(worker.logged("grpc Err(InternalFailure)"), "{:?}", worker.logs());
        assert!(worker.logged("unknown service: Err(BadArgument)"));
    });
}

#[test]
fn a_trap_in_a_body_gives_back_what_was_held() {
    let text = r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
            (if (local.get 2) (then unreachable)) (i32.const 1)))"#;
    run(async {
        let worker = Worker::wat(text);
        let stream = worker.open();
        assert_matches!(stream.request_body(Bytes::from_static(b"ab"), EndOfStream::No).await, BodyOutcome::Hold);
        let outcome = stream.request_body(Bytes::from_static(b"cd"), EndOfStream::Yes).await;
        assert_matches!(outcome, BodyOutcome::Failed(failure) if failure.kind == FailureKind::Trap);
        assert_eq!(stream.take_held(Direction::Request), "abcd");
    });
}

/// `x-told`, which says what the authority was when it was put among the others.
struct Told;

impl Latent for Told {
    fn count(&self, _: &RequestHead) -> usize {
        1
    }

    fn may_be(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(b"x-told")
    }

    fn add(&self, head: &mut RequestHead) {
        let authority = head.authority().unwrap().parse().unwrap();
        head.headers.insert("x-told", authority);
    }
}

/// What becomes of a latent header under a guest whose `on_request_headers` calls `call` on map 0.
async fn told(import: &str, call: &str) -> RequestHead {
    let worker = Worker::wat(&format!(
        r#"(module (import "env" "{import}" (func $call (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) ":authority") (data (i32.const 16) "X-Told") (data (i32.const 32) "x-other")
        (data (i32.const 48) "new.example")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_request_headers") (param $id i32) (param $count i32) (param $end i32) (result i32)
            (if (i32.ne (local.get $count) (i32.const 8)) (then unreachable))
            (drop (call $call {call}))
            (i32.const 0)))"#
    ));
    let mut head = request("none");
    head.latent = Some(Rc::new(Told));
    let outcome = worker.open().request_headers(&mut head, EndOfStream::Yes).await;
    assert!(matches!(outcome, Outcome::Continue), "{outcome:?}");
    head
}

#[test]
fn latent_headers_are_put_among_the_others_once_they_matter() {
    let (read, write) = ("proxy_get_header_map_value", "proxy_replace_header_map_value");
    let at = |offset: u32, len: u32, rest: &str| format!("(i32.const 0) (i32.const {offset}) (i32.const {len}) {rest}");
    let (out, value) = ("(i32.const 64) (i32.const 68)", "(i32.const 48) (i32.const 11)");
    run(async {
        for (import, call) in [(read, at(32, 7, out)), (read, at(0, 10, out)), (write, at(32, 7, value))] {
            let head = told(import, &call).await;
            assert!(head.latent.is_some() && !head.headers.contains_key("x-told"), "{import} {call}");
        }
        let head = told(read, &at(16, 6, out)).await;
        assert!(head.latent.is_none());
        assert_eq!(head.headers["x-told"], "shop.example");
        let head = told(write, &at(0, 10, value)).await;
        assert_eq!(
            (head.authority(), head.headers["x-told"].to_str().ok()),
            (Some("new.example"), Some("shop.example"))
        );
        let head = told(write, &at(16, 6, value)).await;
        assert!(head.latent.is_none());
        assert_eq!(head.headers["x-told"], "new.example");
    });
}
