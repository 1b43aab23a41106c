//! What one request costs in a filter that reads a request header and adds a response header, all of it included:
//! context, both headers phases, log, done, delete.

#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, HeaderValue, Method, Uri};
use portolan_wasm::{
    Attribute, AttributeValue, CallError, CallRequest, CallResponse, EndOfStream, EngineConfig, FilterConfig,
    FilterState, Host, Limits, LogLevel, Outcome, Plugin, RequestHead, ResponseHead, StreamInfo, WasmEngine,
};

/// The least filter: no SDK, no allocation beyond what the host gives.
const LEAST: &str = r#"(module
    (import "env" "proxy_get_header_map_value" (func $value (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1) (data (i32.const 0) "x-whox-wasm")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (drop (call $value (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 64) (i32.const 68))) (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (drop (call $add (i32.const 2) (i32.const 5) (i32.const 6) (i32.const 1024) (i32.const 5))) (i32.const 0))
    (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
    (func (export "proxy_on_log") (param i32))
    (func (export "proxy_on_delete") (param i32)))"#;

/// A host that nothing is asked of.
#[derive(Default)]
struct Idle {
    lines: Cell<u64>,
}

impl Host for Idle {
    fn http_call(&self, _: &str, _: CallRequest) -> LocalBoxFuture<'static, Result<CallResponse, CallError>> {
        Box::pin(std::future::ready(Err(CallError::TimedOut)))
    }
    fn log(&self, _: &str, _: LogLevel, _: &str) {
        self.lines.set(self.lines.get() + 1);
    }
    fn log_level(&self) -> LogLevel {
        LogLevel::Warn
    }
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
    fn sleep(&self, _: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
    fn spawn(&self, _: LocalBoxFuture<'static, ()>) {}
}

#[derive(Default)]
struct Info(FilterState);

impl StreamInfo for Info {
    fn attribute(&self, _: Attribute) -> Option<AttributeValue> {
        None
    }
    fn state(&self) -> &FilterState {
        &self.0
    }
}

fn plugin(engine: &WasmEngine, wasm: &[u8], configuration: &'static str) -> Plugin {
    let config = FilterConfig {
        name: "bench".into(),
        module: engine.compile(wasm).expect("the guest compiles"),
        configuration: Bytes::from_static(configuration.as_bytes()),
        services: Vec::new(),
        limits: Limits::default(),
    };
    let plugin = Plugin::new(Arc::new(config), Rc::new(Idle::default()), &Arc::default());
    plugin.start().expect("the guest starts");
    plugin
}

fn request() -> RequestHead {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-who", "alice"),
        ("accept", "*/*"),
        ("user-agent", "bench/1"),
        ("x-request-id", "0123456789abcdef"),
        ("x-forwarded-for", "192.0.2.7"),
        ("accept-encoding", "gzip"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    RequestHead::new(Method::GET, Uri::from_static("http://shop.example/cart"), headers)
}

fn exchange(plugin: &Plugin, info: &Rc<Info>, request: &mut RequestHead, response: &mut ResponseHead) {
    let stream = plugin.open_stream(info.clone()).expect("an instance serves");
    let outcome = stream.request_headers(request, EndOfStream::Yes).now_or_never();
    assert!(matches!(outcome, Some(Outcome::Continue)));
    let outcome = stream.response_headers(response, EndOfStream::No).now_or_never();
    assert!(matches!(outcome, Some(Outcome::Continue)));
    stream.finish();
}

fn bench(criterion: &mut Criterion) {
    let engine = WasmEngine::new(EngineConfig { instances: 8, ..EngineConfig::default() }).expect("an engine");
    let least = wat::parse_str(LEAST).expect("valid text");
    let mut guests = vec![("least", least, "")];
    let guard = concat!(env!("CARGO_MANIFEST_DIR"), "/../filters/target/wasm32-wasip1/release/guard.wasm");
    match std::fs::read(guard) {
        Ok(wasm) => guests.push(("guard", wasm, r#"{"responseHeaders": {"x-wasm": "on"}}"#)),
        Err(_) => println!("guard is left out: run filters/build.sh first"),
    }
    for (name, wasm, configuration) in guests {
        let plugin = plugin(&engine, &wasm, configuration);
        let (info, mut request) = (Rc::new(Info::default()), request());
        criterion.bench_function(&format!("request through {name}"), |bencher| {
            bencher.iter(|| {
                let mut response = ResponseHead::default();
                exchange(&plugin, &info, &mut request, &mut response);
                black_box(response);
            });
        });
    }
    criterion.bench_function("no filter: the heads alone", |bencher| {
        let mut request = request();
        bencher.iter(|| {
            black_box(&mut request);
            black_box(ResponseHead::default());
        });
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
