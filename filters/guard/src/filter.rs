//! The rules as a Proxy-Wasm filter.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType};

use crate::rules::{Config, Verdict};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}

#[derive(Default)]
struct Root {
    config: Rc<Config>,
    denied: Option<u32>,
}

struct Guard {
    config: Rc<Config>,
    denied: Option<u32>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match Config::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => self.config = Rc::new(config),
            Err(error) => {
                log(LogLevel::Error, &format!("the configuration is not valid: {error}"));
                return false;
            }
        }
        self.denied = hostcalls::define_metric(MetricType::Counter, "guard_denied_total").ok();
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Guard { config: Rc::clone(&self.config), denied: self.denied }))
    }
}

impl Context for Guard {}

impl HttpContext for Guard {
    fn on_http_request_headers(&mut self, _count: usize, _end: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let verdict = self.config.verdict(&path, |name| self.get_http_request_header(name));
        match verdict {
            Verdict::Allow => {
                for (name, value) in &self.config.request_headers {
                    self.set_http_request_header(name, Some(value));
                }
                Action::Continue
            }
            Verdict::Deny(rule) => {
                self.deny(&path, rule.unwrap_or("default"));
                Action::Pause
            }
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end: bool) -> Action {
        for (name, value) in &self.config.response_headers {
            self.set_http_response_header(name, Some(value));
        }
        Action::Continue
    }
}

impl Guard {
    fn deny(&self, path: &str, rule: &str) {
        if let Some(metric) = self.denied {
            // A metric that cannot be counted must not let a request through.
            let _counted = hostcalls::increment_metric(metric, 1);
        }
        log(LogLevel::Info, &format!("denied {path} by rule {rule}"));
        let body = serde_json::json!({ "error": "denied", "rule": rule }).to_string();
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(self.config.response_headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        self.send_http_response(403, headers, Some(body.as_bytes()));
    }
}

fn log(level: LogLevel, message: &str) {
    // A line that cannot be logged must not let a request through.
    let _logged = hostcalls::log(level, message);
}
