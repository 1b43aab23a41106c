//! A worker without an engine: a scripted host, guests, and small ways to ask about them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{HeaderMap, Method, Uri};
use portolan_wasm::{
    Attribute, AttributeValue, CallError, CallRequest, CallResponse, EngineConfig, FilterConfig, FilterState, Host,
    Limits, LogLevel, Module, Plugin, RequestHead, ResponseHead, Shared, StreamInfo, WasmEngine,
};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

/// One engine for all tests, as in a process.
pub static ENGINE: LazyLock<WasmEngine> =
    LazyLock::new(|| WasmEngine::new(EngineConfig { instances: 64, ..EngineConfig::default() }).unwrap());

static PROBE: LazyLock<Arc<Module>> = LazyLock::new(|| ENGINE.compile(&guest("test_probe")).unwrap());

/// The host of these tests: what filters log is kept, what they call is answered by the test.
#[derive(Default)]
pub struct TestHost {
    pub logs: RefCell<Vec<String>>,
    pub calls: RefCell<VecDeque<Called>>,
    pub clock: Cell<Duration>,
}

/// A call that waits for the test's answer.
pub struct Called {
    pub service: String,
    pub request: CallRequest,
    answer: oneshot::Sender<Result<CallResponse, CallError>>,
}

impl Called {
    pub fn answer(self, answer: Result<CallResponse, CallError>) {
        // A call that was ended meanwhile takes no answer.
        drop(self.answer.send(answer));
    }

    pub fn is_ended(&self) -> bool {
        self.answer.is_closed()
    }
}

impl Host for TestHost {
    fn http_call(
        &self,
        service: &str,
        request: CallRequest,
    ) -> LocalBoxFuture<'static, Result<CallResponse, CallError>> {
        let (answer, answered) = oneshot::channel();
        self.calls.borrow_mut().push_back(Called { service: service.to_owned(), request, answer });
        Box::pin(async move { answered.await.unwrap_or(Err(CallError::TimedOut)) })
    }

    fn log(&self, _filter: &str, _level: LogLevel, message: &str) {
        self.logs.borrow_mut().push(message.to_owned());
    }

    fn log_level(&self) -> LogLevel {
        LogLevel::Info
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }

    fn monotonic(&self) -> Duration {
        self.clock.get()
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(4);
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        tokio::task::spawn_local(task);
    }
}

/// What the engine of these tests knows about a stream.
#[derive(Default)]
pub struct Info(FilterState);

impl StreamInfo for Info {
    fn attribute(&self, attribute: Attribute) -> Option<AttributeValue> {
        let client: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        match attribute {
            Attribute::SourceAddress => Some(client.into()),
            Attribute::SourcePort => Some(AttributeValue::Int(client.port().into())),
            _ => None,
        }
    }

    fn state(&self) -> &FilterState {
        &self.0
    }
}

/// A filter on this worker, with what it shares and its host.
pub struct Worker {
    pub host: Rc<TestHost>,
    pub shared: Arc<Shared>,
    pub plugin: Plugin,
}

impl Worker {
    pub fn new(module: Arc<Module>, configuration: &str, limits: Limits) -> Self {
        Self::sharing(module, configuration, limits, Arc::default())
    }

    pub fn sharing(module: Arc<Module>, configuration: &str, limits: Limits, shared: Arc<Shared>) -> Self {
        let host = Rc::new(TestHost::default());
        let config = FilterConfig {
            name: "probe".into(),
            module,
            configuration: Bytes::copy_from_slice(configuration.as_bytes()),
            services: vec!["auth".into()],
            limits,
        };
        let plugin = Plugin::new(Arc::new(config), host.clone(), &shared);
        Self { host, shared, plugin }
    }

    /// The probe, with what it needs to be quick on a busy machine.
    pub fn probe() -> Self {
        Self::new(probe(), "", limits())
    }

    pub fn wat(text: &str) -> Self {
        Self::new(wat(text), "", limits())
    }

    pub fn open(&self) -> portolan_wasm::Stream {
        self.plugin.open_stream(info()).unwrap_or_else(|failure| panic!("{failure}; it logged {:#?}", self.logs()))
    }

    pub fn logged(&self, line: &str) -> bool {
        self.host.logs.borrow().iter().any(|logged| logged == line)
    }

    pub fn logs(&self) -> Vec<String> {
        self.host.logs.borrow().clone()
    }

    pub fn next_call(&self) -> Called {
        self.host.calls.borrow_mut().pop_front().expect("the filter called")
    }
}

pub fn info() -> Rc<dyn StreamInfo> {
    Rc::new(Info::default())
}

/// Deadlines that no busy machine reaches by itself; tests of the deadline set their own.
pub fn limits() -> Limits {
    Limits { time_per_call: Duration::from_secs(20), time_to_start: Duration::from_secs(60), ..Limits::default() }
}

pub fn probe() -> Arc<Module> {
    PROBE.clone()
}

/// Where `filters/build.sh` puts guests.
pub fn guest_path(name: &str) -> PathBuf {
    let built = std::env::var_os("PORTOLAN_GUESTS").map(PathBuf::from);
    let built = built
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../filters/target/wasm32-wasip1/release"));
    built.join(name).with_extension("wasm")
}

pub fn guest(name: &str) -> Vec<u8> {
    let path = guest_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run filters/build.sh first", path.display()))
}

/// Compiles a guest that is written as text.
pub fn wat(text: &str) -> Arc<Module> {
    ENGINE.compile(&wat::parse_str(text).unwrap()).unwrap()
}

/// Runs a worker's future: one thread, paused time.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

/// Lets the tasks of the worker run.
pub async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Polls once; whoever awaits the future later is woken.
pub fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

pub fn request(action: &str) -> RequestHead {
    let mut headers = HeaderMap::new();
    headers.insert("x-probe", action.parse().unwrap());
    headers.append("accept", "text/html".parse().unwrap());
    headers.append("accept", "text/plain".parse().unwrap());
    RequestHead::new(Method::GET, Uri::from_static("http://shop.example/cart?x=1"), headers)
}

pub fn response() -> ResponseHead {
    ResponseHead::default()
}

pub fn answer(status: u16, body: &str) -> CallResponse {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", "t".parse().unwrap());
    let head = ResponseHead::new(status.try_into().unwrap(), HeaderMap::new());
    CallResponse { head, body: Bytes::copy_from_slice(body.as_bytes()), trailers }
}

/// As `assert!(matches!(…))`, and says what it was instead.
#[macro_export]
macro_rules! assert_matches {
    ($value:expr, $pattern:pat $(if $guard:expr)?) => {
        match $value {
            $pattern $(if $guard)? => {}
            other => panic!("{other:?} is not {}", stringify!($pattern $(if $guard)?)),
        }
    };
}
