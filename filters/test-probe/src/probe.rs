//! The probe: each action of `x-probe` is one line of a `match`.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}

#[derive(Default)]
struct Root {
    config: String,
    ticks: u32,
}

#[derive(Default)]
struct Probe {
    action: String,
    phase: &'static str,
}

impl Context for Root {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body: usize, _trailers: usize) {
        say(&format!("root call answered headers={headers} body={body}"));
    }
}

impl RootContext for Root {
    fn on_vm_start(&mut self, size: usize) -> bool {
        say(&format!("vm_start {size} {}", self.get_vm_configuration().is_none()));
        true
    }

    fn on_configure(&mut self, size: usize) -> bool {
        self.config = String::from_utf8(self.get_plugin_configuration().unwrap_or_default()).unwrap_or_default();
        say(&format!("configure {size} {}", self.config));
        match self.config.as_str() {
            "refuse" => return false,
            "tick" => self.set_tick_period(Duration::from_millis(20)),
            "queue" => drop(self.register_shared_queue("jobs")),
            "stdout" => println!("printed"),
            "panic" => panic!("on purpose"),
            _ => {}
        }
        true
    }

    fn on_tick(&mut self) {
        self.ticks += 1;
        say(&format!("tick {}", self.ticks));
        if self.ticks == 2 {
            self.set_tick_period(Duration::ZERO);
        }
    }

    fn on_queue_ready(&mut self, queue: u32) {
        let item = self.dequeue_shared_queue(queue).ok().flatten();
        say(&format!("queue {}", item.map_or("empty".into(), |item| String::from_utf8_lossy(&item).into_owned())));
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::<Probe>::default())
    }
}

impl Context for Probe {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body: usize, trailers: usize) {
        let status = self.get_http_call_response_header(":status").unwrap_or_default();
        let text = self.get_http_call_response_body(0, body).unwrap_or_default();
        let trailer = self.get_http_call_response_trailer("x-trailer").unwrap_or_default();
        let answer = format!("{status} {headers} {} {trailers} {trailer}", String::from_utf8_lossy(&text));
        match (self.phase, self.action.as_str()) {
            (_, "call-deny") => self.send_http_response(401, vec![], Some(answer.as_bytes())),
            (_, "call-forget") => {}
            ("request", _) => {
                self.set_http_request_header("x-answer", Some(&answer));
                self.resume_http_request();
            }
            ("request-body", _) => {
                self.set_http_request_body(0, usize::MAX, answer.as_bytes());
                self.resume_http_request();
            }
            _ => {
                self.set_http_response_header("x-answer", Some(&answer));
                self.resume_http_response();
            }
        }
    }

    fn on_done(&mut self) -> bool {
        say("done");
        true
    }
}

impl HttpContext for Probe {
    fn on_http_request_headers(&mut self, count: usize, end: bool) -> Action {
        self.action = self.get_http_request_header("x-probe").unwrap_or_default();
        self.phase = "request";
        match self.action.as_str() {
            "headers" => self.headers(count, end),
            "call" | "call-deny" | "call-forget" => return self.call("auth"),
            "call-unknown" => say(&format!("unknown service: {:?}", self.try_call("elsewhere"))),
            "call-flood" => self.flood(),
            "deny" => {
                self.send_http_response(403, vec![("x-why", "probe")], Some(b"no"));
                return Action::Pause;
            }
            "grpc-deny" => {
                self.send_grpc_response(proxy_wasm::types::GrpcStatusCode::PermissionDenied, Some("no"), vec![])
            }
            "grpc-call" => {
                let called = hostcalls::dispatch_grpc_call("auth", "s", "m", vec![], None, Duration::from_secs(1));
                say(&format!("grpc {called:?}"));
            }
            "reset" => {
                self.reset_http_request();
                return Action::Pause;
            }
            "stuck" => return Action::Pause,
            "panic" => panic!("on purpose"),
            "loop" => loop {
                std::hint::black_box(());
            },
            "grow" => self.grow(),
            "shared" => self.shared(),
            "metrics" => metrics(),
            "properties" => self.properties(),
            "enqueue" => {
                let queue = self.resolve_shared_queue("", "jobs").unwrap_or_default();
                say(&format!("enqueue {:?}", self.enqueue_shared_queue(queue, Some(b"job"))));
            }
            "logs" => (0..1000).for_each(|n| say(&format!("line {n}"))),
            "long-log" => say(&"é".repeat(5000)),
            "clear-route" => drop(hostcalls::call_foreign_function("nothing", None)),
            _ => {}
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end: bool) -> Action {
        self.phase = "request-body";
        match self.action.as_str() {
            "body-hold" if !end => Action::Pause,
            "body-hold" => {
                let body = self.get_http_request_body(0, size).unwrap_or_default();
                self.set_http_request_body(0, size, &[b"[", &body[..], b"]"].concat());
                Action::Continue
            }
            "body-hold-for-trailers" => Action::Pause,
            "body-edit" => {
                self.set_http_request_body(0, 0, b"<");
                self.set_http_request_body(usize::MAX, 0, b">");
                Action::Continue
            }
            "body-call" if end => self.call("auth"),
            "body-call" => Action::Pause,
            "body-deny" => {
                self.send_http_response(413, vec![], None);
                Action::Pause
            }
            _ => Action::Continue,
        }
    }

    fn on_http_request_trailers(&mut self, count: usize) -> Action {
        let value = self.get_http_request_trailer("x-sum").unwrap_or_default();
        say(&format!("request trailers {count} {value}"));
        self.add_http_request_trailer("x-seen", "yes");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, _end: bool) -> Action {
        self.phase = "response";
        match self.action.as_str() {
            "response-call" => return self.call("auth"),
            "response-deny" => self.send_http_response(502, vec![], Some(b"replaced")),
            "response-panic" => panic!("on purpose"),
            "headers" => {
                let status = self.get_http_response_header(":status").unwrap_or_default();
                let path = self.get_http_request_header(":path").unwrap_or_default();
                say(&format!("response headers {count} {status} for {path}"));
                self.set_http_response_header(":status", Some("418"));
                self.add_http_response_header("x-added", "1");
            }
            _ => {}
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end: bool) -> Action {
        match self.action.as_str() {
            "response-body-hold" if !end => Action::Pause,
            "response-body-hold" => {
                self.set_http_response_body(0, size, b"replaced");
                Action::Continue
            }
            _ => Action::Continue,
        }
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        self.set_http_response_trailer("x-status", Some("changed"));
        Action::Continue
    }

    fn on_log(&mut self) {
        let status = self.get_http_response_header(":status").unwrap_or_default();
        say(&format!("log {status}"));
    }
}

impl Probe {
    fn headers(&mut self, count: usize, end: bool) {
        let pairs = self.get_http_request_headers();
        say(&format!("request headers {count} {} {end}", pairs.len()));
        say(&format!("accept: {}", self.get_http_request_header("accept").unwrap_or_default()));
        self.set_http_request_header(":path", Some("/changed"));
        self.set_http_request_header("x-set", Some("a"));
        self.add_http_request_header("x-set", "b");
        self.set_http_request_header("accept", None);
    }

    fn try_call(&self, service: &str) -> Result<u32, proxy_wasm::types::Status> {
        let headers = vec![(":method", "POST"), (":path", "/check"), (":authority", "auth.example")];
        self.dispatch_http_call(service, headers, Some(b"question"), vec![], Duration::from_secs(5))
    }

    fn call(&self, service: &str) -> Action {
        match self.try_call(service) {
            Ok(_) => Action::Pause,
            Err(_) => Action::Continue,
        }
    }

    fn flood(&self) {
        let sent = (0..10_000).take_while(|_| self.try_call("auth").is_ok()).count();
        say(&format!("calls sent {sent}"));
    }

    fn grow(&self) {
        let mut held: Vec<Vec<u8>> = Vec::new();
        loop {
            held.push(vec![1; 1 << 20]);
            std::hint::black_box(&held);
        }
    }

    fn shared(&self) {
        let (value, cas) = self.get_shared_data("n");
        let count = value.and_then(|value| value.first().copied()).unwrap_or(0) + 1;
        let set = self.set_shared_data("n", Some(&[count]), cas);
        let stale = self.set_shared_data("n", Some(&[0]), Some(u32::MAX));
        say(&format!("shared {count} {set:?} stale {stale:?}"));
    }

    fn properties(&self) {
        let text = |path: Vec<&str>| {
            self.get_property(path).map_or("-".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let port = self.get_property(vec!["source", "port"]).unwrap_or_default();
        say(&format!("path {} query {}", text(vec!["request", "path"]), text(vec!["request", "query"])));
        say(&format!(
            "probe {} method {}",
            text(vec!["request", "headers", "x-probe"]),
            text(vec!["request", "method"])
        ));
        say(&format!("source {} {port:?}", text(vec!["source", "address"])));
        say(&format!("plugin {} absent {}", text(vec!["plugin_name"]), text(vec!["no", "such"])));
        say(&format!("before {}", text(vec!["my", "state"])));
        self.set_property(vec!["my", "state"], Some(b"kept"));
        say(&format!("after {}", text(vec!["my", "state"])));
    }
}

fn metrics() {
    let counter = hostcalls::define_metric(MetricType::Counter, "probe_total").unwrap_or_default();
    let gauge = hostcalls::define_metric(MetricType::Gauge, "probe_level").unwrap_or_default();
    let histogram = hostcalls::define_metric(MetricType::Histogram, "probe_sizes").unwrap_or_default();
    let results = [
        hostcalls::increment_metric(counter, 2),
        hostcalls::record_metric(counter, 3),
        hostcalls::record_metric(gauge, 7),
        hostcalls::increment_metric(gauge, -3),
        hostcalls::record_metric(histogram, 100),
    ];
    let values = (hostcalls::get_metric(counter), hostcalls::get_metric(gauge), hostcalls::get_metric(histogram));
    say(&format!("metrics {} {values:?}", results.iter().all(Result::is_ok)));
}

fn say(message: &str) {
    let _logged = hostcalls::log(LogLevel::Info, message);
}
