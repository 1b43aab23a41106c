//! Wasm filters in the path of a running process, each written on the spot: what they may do, and what becomes of
//! requests when they fail.

use crate::support::{Dev, DevBuilder, manifests::*};

/// A Proxy-Wasm module whose `on_request_headers` and `on_response_headers` are these.
fn module(request: &str, response: &str) -> Vec<u8> {
    wat::parse_str(module_text(request, response)).unwrap()
}

fn module_text(request: &str, response: &str) -> String {
    format!(
        r#"(module
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_send_local_response"
            (func $respond (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "x-wasm") (data (i32.const 16) "seen")
        (global $next (mut i32) (i32.const 4096))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32)
            (global.get $next) (global.set $next (i32.add (global.get $next) (local.get 0))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {request})
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) {response}))"#
    )
}

/// Adds `x-wasm: seen` to the headers of a map and goes on.
fn add(map: u8) -> String {
    format!(
        "(drop (call $add (i32.const {map}) (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 4))) (i32.const 0)"
    )
}

const GO_ON: &str = "(i32.const 0)";
const TRAP: &str = "unreachable";
const SPIN: &str = "(loop $on (br $on)) (i32.const 0)";
const DENY: &str = "(drop (call $respond (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 4)
    (i32.const 0) (i32.const 0) (i32.const -1))) (i32.const 1)";

/// A Gateway whose path `/filtered` runs the module, and whose other paths do not.
async fn filtering(module: &[u8], more: &str) -> Dev {
    let filters = format!("filters: [{}]", wasm("f"));
    let all = format!(
        "- matches: [{{path: {{type: PathPrefix, value: /filtered}}}}]\n  {filters}\n  backendRefs: [{{name: one, port: 8080}}]
- backendRefs: [{{name: one, port: 8080}}]"
    );
    let documents = [web(), echo("one"), rules("r", &all), wasm_filter("f", "f.wasm", more)];
    DevBuilder::default().manifests(documents).bytes("f.wasm", module).start().await
}

const FILTERED: &str = "http://a.test:8080/filtered";

#[tokio::test]
async fn a_filter_changes_requests_and_responses() {
    let dev = filtering(&module(&add(0), &add(2)), "").await;
    for http2 in [false, true] {
        let ask = dev.ask(FILTERED);
        let reply = if http2 { ask.http2() } else { ask }.send().await;
        assert_eq!((reply.received("x-wasm"), reply.header("x-wasm")), (vec!["seen".to_owned()], Some("seen")));
    }
    let other = dev.ask("http://a.test:8080/").send().await;
    assert_eq!((other.received("x-wasm").len(), other.header("x-wasm")), (0, None), "a rule without it");
}

#[tokio::test]
async fn a_filter_answers_in_place_of_the_backend() {
    let dev = filtering(&module(DENY, GO_ON), "").await;
    let reply = dev.ask(FILTERED).send().await;
    assert_eq!((reply.status(), reply.text().as_str()), (403, "seen"));
}

#[tokio::test]
async fn a_filter_that_sees_a_whole_body_may_answer_in_its_place() {
    let body = format!(r#"(func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) {DENY})"#);
    let mut text = module_text(GO_ON, GO_ON);
    text.insert_str(text.len() - 1, &body);
    let dev = filtering(&wat::parse_str(text).unwrap(), "").await;
    for http2 in [false, true] {
        let ask = dev.ask(FILTERED);
        let reply = if http2 { ask.http2() } else { ask }.send().await;
        assert_eq!((reply.status(), reply.text().as_str()), (403, "seen"), "http2 {http2}");
    }
}

#[tokio::test]
async fn a_filter_that_traps_or_never_ends_answers_503_and_harms_no_other_request() {
    for (what, body) in [("trap", TRAP), ("spin", SPIN)] {
        let mut dev = filtering(&module(body, GO_ON), "").await;
        for _ in 0..20 {
            assert_eq!(dev.ask(FILTERED).status().await, 503, "{what}");
            assert_eq!(dev.ask("http://a.test:8080/").send().await.pod(), "one-0", "{what}");
        }
        assert!(dev.metric("portolan_filter_failures", "f").await > 0, "{what}");
        dev.assert_alive();
    }
}

#[tokio::test]
async fn a_filter_that_may_be_left_out_is_left_out_when_it_fails() {
    for (what, body) in [("trap", TRAP), ("spin", SPIN)] {
        let dev = filtering(&module(body, GO_ON), "failureMode: Open").await;
        assert_eq!(dev.ask(FILTERED).send().await.pod(), "one-0", "{what}");
    }
}

#[tokio::test]
async fn a_module_that_does_not_load_answers_by_its_failure_mode() {
    let dev = filtering(b"this is no module", "").await;
    assert_eq!(dev.ask(FILTERED).status().await, 503);
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 200);
    let dev = filtering(b"this is no module", "failureMode: Open").await;
    assert_eq!(dev.ask(FILTERED).status().await, 200);
}

#[tokio::test]
async fn a_module_that_is_spoilt_leaves_the_one_before_running() {
    let dev = filtering(&module(&add(0), GO_ON), "").await;
    assert_eq!(dev.ask(FILTERED).send().await.received("x-wasm"), ["seen"]);
    std::fs::write(dev.manifests().join("f.wasm"), &module(DENY, GO_ON)[..40]).unwrap();
    dev.save_file("more.yaml", &one_rule("more", "backendRefs: [{name: one, port: 8080}]")).await;
    let told = || async { dev.output().contains("the version before is run on").then_some(()) };
    crate::support::eventually("said to be spoilt", told).await;
    assert_eq!(dev.ask(FILTERED).send().await.received("x-wasm"), ["seen"]);
    std::fs::write(dev.manifests().join("f.wasm"), module(DENY, GO_ON)).unwrap();
    dev.save_file("more.yaml", &one_rule("most", "backendRefs: [{name: one, port: 8080}]")).await;
    let mended = || async { (dev.ask(FILTERED).status().await == 403).then_some(()) };
    crate::support::eventually("mended", mended).await;
}

#[tokio::test]
async fn a_module_of_another_digest_is_not_run() {
    let digest = "0".repeat(64);
    let documents = |digest: &str| {
        let filter = object(
            "portolan.dev/v1alpha1",
            "WasmFilter",
            "f",
            &format!("spec: {{module: {{file: f.wasm, sha256: '{digest}'}}}}"),
        );
        let rule = format!("filters: [{}]\nbackendRefs: [{{name: one, port: 8080}}]", wasm("f"));
        [web(), echo("one"), one_rule("r", &rule), filter]
    };
    let module = module(&add(0), GO_ON);
    let dev = DevBuilder::default().manifests(documents(&digest)).bytes("f.wasm", &module).start().await;
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 503);
    assert!(dev.output().contains("SHA-256"), "{}", dev.output());
}

#[tokio::test]
async fn a_filter_that_is_mended_is_taken_up_on_save() {
    let documents = [
        web(),
        echo("one"),
        one_rule("r", &format!("filters: [{}]\nbackendRefs: [{{name: one, port: 8080}}]", wasm("f"))),
    ];
    let dev = Dev::start(&documents).await;
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 500, "a reference to nothing");
    std::fs::write(dev.manifests().join("f.wasm"), module(&add(0), GO_ON)).unwrap();
    dev.save_file("filter.yaml", &wasm_filter("f", "f.wasm", "")).await;
    assert_eq!(dev.ask("http://a.test:8080/").send().await.received("x-wasm"), ["seen"]);
}
