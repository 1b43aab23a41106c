//! Filters that ship, and one in another language.

use std::time::Duration;

use crate::assert_matches;
use crate::support::{ENGINE, Worker, guest, guest_path, limits, request, response, run};
use http::{Method, Uri};
use portolan_wasm::{EndOfStream, FailureKind, Limits, MetricValue, Outcome, RequestHead};

const GUARD: &str = r#"{
    "rules": [{"name": "no-admin", "action": "Deny", "path": {"prefix": "/admin"}}],
    "requestHeaders": {"x-tag": "demo"},
    "responseHeaders": {"x-guarded-by": "portolan"}
}"#;

#[test]
fn guard_tags_what_passes_and_denies_what_a_rule_names() {
    run(async {
        let worker = Worker::new(ENGINE.compile(&guest("guard")).unwrap(), GUARD, limits());
        let stream = worker.open();
        let mut head = request("");
        assert_matches!(stream.request_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
        assert_eq!(head.headers["x-tag"], "demo");
        let mut head = response();
        assert_matches!(stream.response_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
        assert_eq!(head.headers["x-guarded-by"], "portolan");

        let mut head = RequestHead::new(Method::GET, Uri::from_static("http://shop/admin/users"), Default::default());
        let outcome = worker.open().request_headers(&mut head, EndOfStream::Yes).await;
        let Outcome::Respond(answer) = outcome else { panic!("{outcome:?}") };
        assert_eq!(answer.status, 403);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(answer.body, r#"{"error":"denied","rule":"no-admin"}"#);
        let metric = worker.shared.metrics().remove(0);
        assert_eq!((metric.name.as_str(), metric.value), ("guard_denied_total", MetricValue::Counter(1)));
    });
}

#[test]
fn guard_says_what_is_wrong_with_its_configuration() {
    run(async {
        let worker = Worker::new(ENGINE.compile(&guest("guard")).unwrap(), r#"{"rule": []}"#, limits());
        assert_eq!(worker.plugin.start().unwrap_err().kind, FailureKind::Start);
        assert!(worker.logs().iter().any(|line| line.contains("unknown field `rule`")), "{:?}", worker.logs());
    });
}

#[test]
fn a_filter_in_go_runs() {
    if !guest_path("go_hello").exists() {
        println!("skipped: filters/build.sh found no Go to build it with");
        return;
    }
    run(async {
        let module = ENGINE.compile(&guest("go_hello")).unwrap();
        let worker =
            Worker::new(module, "", Limits { instances: 2, time_to_start: Duration::from_secs(60), ..limits() });
        for _ in 0..100 {
            let stream = worker.open();
            let mut head = request("");
            head.headers.insert("x-who", "gopher".parse().unwrap());
            assert_matches!(stream.request_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
            let mut head = response();
            assert_matches!(stream.response_headers(&mut head, EndOfStream::Yes).await, Outcome::Continue);
            assert_eq!(head.headers["x-go"], "hello gopher");
        }
        assert!(worker.logged("hello from Go"));
        let mut head = request("");
        head.headers.insert("x-go-deny", "1".parse().unwrap());
        let outcome = worker.open().request_headers(&mut head, EndOfStream::Yes).await;
        assert_matches!(outcome, Outcome::Respond(answer) if answer.status == 403 && answer.body == "denied by Go");
    });
}
