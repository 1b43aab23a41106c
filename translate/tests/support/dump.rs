//! A snapshot as text, the same for the same content whatever the slots of its backends.

use super::certificates::names;
use portolan_translate::{Snapshot, snapshot::*};
use std::fmt::Write;

/// A snapshot as text.
pub fn snapshot(snapshot: &Snapshot) -> String {
    let mut dump = Dump { snapshot, out: String::new(), depth: 0 };
    snapshot.ports.iter().for_each(|port| dump.port(port));
    dump.backends();
    for filter in &snapshot.wasm_filters {
        dump.wasm(filter);
    }
    for (address, namespace) in &*snapshot.clients {
        dump.line(format!("client {address} namespace {namespace}"));
    }
    dump.out
}

struct Dump<'a> {
    snapshot: &'a Snapshot,
    out: String,
    depth: usize,
}

impl Dump<'_> {
    fn line(&mut self, text: impl AsRef<str>) {
        writeln!(self.out, "{:width$}{}", "", text.as_ref(), width = 2 * self.depth).unwrap();
    }

    fn block(&mut self, title: impl AsRef<str>, inner: impl FnOnce(&mut Self)) {
        self.line(title);
        self.depth += 1;
        inner(self);
        self.depth -= 1;
    }

    fn port(&mut self, port: &Port) {
        let mut title = format!("port {} {:?} of {}", port.declared, port.transport, port.parent);
        if port.bind != port.declared {
            write!(title, ", bound {}", port.bind).unwrap();
        }
        if port.http3 && matches!(port.kind, PortKind::Tls(_)) {
            title.push_str(", HTTP/3");
        }
        if port.client_port != port.declared.port() {
            write!(title, ", clients use {}", port.client_port).unwrap();
        }
        self.block(title, |dump| match &port.kind {
            PortKind::Http(http) => http.listeners.iter().for_each(|(_, listener)| dump.http(listener)),
            PortKind::Tls(tls) => tls.listeners.iter().for_each(|(_, listener)| dump.tls(listener)),
            PortKind::Tcp(id, rule) | PortKind::Udp(id, rule) => {
                dump.block(format!("listener {id}"), |dump| match rule {
                    Some(rule) => dump.l4(rule),
                    None => dump.line("no route"),
                });
            }
            PortKind::Frontend(frontend) => dump.frontend(frontend),
        });
    }

    fn frontend(&mut self, frontend: &Frontend) {
        self.block(format!("frontend {}", frontend.id), |dump| {
            for (namespace, routes) in &frontend.consumer {
                dump.block(format!("clients of namespace {namespace}"), |dump| dump.frontend_routes(routes));
            }
            dump.block("clients", |dump| dump.frontend_routes(&frontend.producer));
        });
    }

    fn frontend_routes(&mut self, routes: &FrontendRoutes) {
        match routes {
            FrontendRoutes::Http(listener) => self.table(&listener.routes),
            FrontendRoutes::Tls(routes) => self.tls_routes(routes),
            FrontendRoutes::L4(rule) => self.l4(rule),
        }
    }

    fn http(&mut self, listener: &HttpListener) {
        let title = format!("listener {} host {}", listener.id, host(listener.hostname.as_ref()));
        self.block(title, |dump| dump.table(&listener.routes));
    }

    fn tls(&mut self, listener: &TlsListener) {
        let title = format!("listener {} server name {}", listener.id, host(listener.hostname.as_ref()));
        self.block(title, |dump| match &listener.action {
            TlsAction::Http(server, http) => {
                dump.server(server);
                dump.table(&http.routes);
            }
            TlsAction::Terminate(server, routes) => {
                dump.server(server);
                dump.tls_routes(routes);
            }
            TlsAction::Passthrough(routes) => {
                dump.line("passthrough");
                dump.tls_routes(routes);
            }
        });
    }

    fn server(&mut self, server: &TlsServer) {
        let certificates: Vec<_> = server.certificates.iter().map(|key| names(&key.cert[0])).collect();
        let mut text = format!("tls with [{}]", certificates.join(", "));
        if server.http {
            text.push_str(", ALPN");
        }
        if let Some(auth) = &server.client_auth {
            let roots: Vec<_> = auth.roots.iter().map(|der| names(der)).collect();
            write!(text, ", clients {:?} by [{}]", auth.mode, roots.join(", ")).unwrap();
        }
        self.line(text);
    }

    fn tls_routes(&mut self, routes: &TlsRoutes) {
        for (name, rule) in routes.iter() {
            self.block(format!("server name {}", host(name.as_ref())), |dump| dump.l4(rule));
        }
    }

    fn table(&mut self, table: &RouteTable) {
        let mut current = None;
        for (hostname, candidate) in table.iter() {
            if current.as_ref() != Some(&hostname) {
                self.line(format!("host {}", host(hostname.as_ref())));
                current = Some(hostname);
            }
            self.depth += 1;
            self.candidate(candidate);
            self.depth -= 1;
        }
        if current.is_none() {
            self.line("no routes");
        }
    }

    fn candidate(&mut self, candidate: &Candidate) {
        let Matcher { path, method, headers, query } = &candidate.matcher;
        let mut title = format!("{path}");
        method.iter().for_each(|method| write!(title, " method {method}").unwrap());
        headers.iter().for_each(|one| write!(title, " header {} {}", one.name, one.value).unwrap());
        query.iter().for_each(|one| write!(title, " query {} {}", one.name, one.value).unwrap());
        self.block(format!("{title} -> {}", candidate.rule.id), |dump| dump.rule(&candidate.rule));
    }

    fn rule(&mut self, rule: &Rule) {
        rule.filters.iter().for_each(|filter| self.filter(filter));
        for (weight, backend) in rule.backends.iter() {
            let title = format!("{weight} {}", self.target(&backend.target));
            self.block(title, |dump| backend.filters.iter().for_each(|filter| dump.filter(filter)));
        }
        let Timeouts { request, backend_request } = rule.timeouts;
        request.iter().for_each(|time| self.line(format!("timeout {time:?}")));
        backend_request.iter().for_each(|time| self.line(format!("timeout of one try {time:?}")));
        if let Some(Retry { codes, attempts, backoff }) = &rule.retry {
            self.line(format!("retry {attempts} times on {codes:?} after {backoff:?}"));
        }
        if let Some(SessionPersistence { name, carrier, absolute_timeout }) = &rule.session {
            self.line(format!("session {name} {carrier:?} for {absolute_timeout:?}"));
        }
    }

    fn l4(&mut self, rule: &L4Rule) {
        self.block(format!("-> {}", rule.id), |dump| {
            for (weight, target) in rule.backends.iter() {
                let text = format!("{weight} {}", dump.target(target));
                dump.line(text);
            }
        });
    }

    fn target(&self, target: &Target) -> String {
        match target {
            Target::Backend(index) => match self.snapshot.backend(*index) {
                Some(backend) => key(&backend.key),
                None => panic!("{index:?} is a hole"),
            },
            Target::Invalid { reference, reason } => format!("invalid {reference}: {reason}"),
        }
    }

    fn filter(&mut self, filter: &Filter) {
        let text = match filter {
            Filter::RequestHeaders(edits) => format!("request headers {}", self::edits(edits)),
            Filter::ResponseHeaders(edits) => format!("response headers {}", self::edits(edits)),
            Filter::Redirect(redirect) => format!("{redirect:?}"),
            Filter::Rewrite(rewrite) => format!("{rewrite:?}"),
            Filter::Mirror(mirror) => {
                format!("mirror {}/{} to {}", mirror.numerator, mirror.denominator, self.target(&mirror.target))
            }
            Filter::Cors(cors) => format!("{cors:?}"),
            Filter::ExternalAuth(auth) => {
                let ExternalAuth { target, protocol, body_bytes_max } = &**auth;
                format!("external auth {} {protocol:?} body {body_bytes_max}", self.target(target))
            }
            Filter::Wasm(filter) => format!("wasm {}", filter.name),
            Filter::Unresolved { reference, reason } => format!("unresolved {reference}: {reason}"),
        };
        self.line(text);
    }

    fn backends(&mut self) {
        let mut all: Vec<_> = self.snapshot.backends.iter().zip(&*self.snapshot.endpoints).collect();
        all.retain(|(backend, _)| backend.is_some());
        all.sort_by_key(|(backend, _)| backend.as_ref().map(|backend| backend.key.clone()));
        for (backend, endpoints) in all {
            let backend = backend.as_ref().unwrap();
            self.block(format!("backend {}", key(&backend.key)), |dump| {
                backend.tls.iter().for_each(|tls| dump.backend_tls(tls));
                for Endpoint { address, pod, zone, .. } in &endpoints.list {
                    let pod = pod.as_ref().map(|pod| format!(" pod {pod}")).unwrap_or_default();
                    let zone = zone.as_ref().map(|zone| format!(" zone {zone}")).unwrap_or_default();
                    dump.line(format!("{address}{pod}{zone}"));
                }
            });
        }
    }

    fn backend_tls(&mut self, tls: &BackendTls) {
        let roots = match &tls.roots {
            Roots::System => "system".to_owned(),
            Roots::Certificates(all) => all.iter().map(|der| names(der)).collect::<Vec<_>>().join(", "),
        };
        let mut text = format!("tls {:?} roots [{roots}]", tls.server_name);
        if !tls.subject_alt_names.is_empty() {
            write!(text, " names {:?}", tls.subject_alt_names).unwrap();
        }
        if let Some(certificate) = &tls.client_certificate {
            write!(text, " as {}", names(&certificate.cert[0])).unwrap();
        }
        self.line(text);
    }

    fn wasm(&mut self, filter: &WasmFilter) {
        let module = match &filter.module {
            Ok(digest) => format!("module {:02x}..", digest[0]),
            Err(why) => format!("no module: {why}"),
        };
        let WasmFilter { name, failure_mode, time_per_call, memory_bytes_max, instances, .. } = filter;
        self.block(format!("wasm filter {name}"), |dump| {
            dump.line(module);
            dump.line(format!("{failure_mode:?}, {time_per_call:?}, {memory_bytes_max} bytes, {instances} instances"));
            dump.line(format!("configuration {:?}", filter.configuration));
            for (name, target) in &filter.services {
                let text = format!("service {name} {}", dump.target(target));
                dump.line(text);
            }
        });
    }
}

fn host(hostname: Option<&Hostname>) -> String {
    hostname.map_or_else(|| "any".to_owned(), Hostname::to_string)
}

fn key(key: &BackendKey) -> String {
    let client = key.client.as_ref().map(|client| format!(" for Gateway {client}")).unwrap_or_default();
    format!("{}:{} {:?}{client}", key.service, key.port, key.protocol)
}

fn edits(edits: &HeaderEdits) -> String {
    let pairs = |list: &[(http::HeaderName, http::HeaderValue)]| {
        let pair =
            |(name, value): &(http::HeaderName, http::HeaderValue)| format!("{name}={}", value.to_str().unwrap());
        list.iter().map(pair).collect::<Vec<_>>().join(" ")
    };
    let remove: Vec<_> = edits.remove.iter().map(|name| name.as_str()).collect();
    format!("set [{}] add [{}] remove [{}]", pairs(&edits.set), pairs(&edits.add), remove.join(" "))
}
