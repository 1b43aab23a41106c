//! Changes under load: configuration, listeners and endpoints come and go, and no request is lost.

use crate::support::{
    Backend, Dev,
    certificates::{Authority, secret},
    manifests::*,
};
use portolan_client::{Client, HttpVersion, Load, Tally, run_load};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Requests between two changes; however slow a change is, load goes on around it.
const FURTHER: u64 = 500;

/// A load that runs beside the test.
struct Running {
    progress: Arc<portolan_client::Progress>,
    tally: JoinHandle<Tally>,
}

impl Running {
    fn start(client: Client, load: Load) -> Self {
        let progress = load.progress.clone();
        Self { progress, tally: tokio::spawn(async move { run_load(&client, &load).await }) }
    }

    /// Waits until so many more requests are done.
    async fn further(&self, requests: u64) {
        self.progress.reached(self.progress.finished() + requests).await;
    }

    /// Ends the load once it has done so many requests in all, and some more since the last change.
    async fn end(self, at_least: u64) -> Tally {
        self.further(FURTHER).await;
        self.progress.reached(at_least).await;
        self.progress.stop();
        self.tally.await.unwrap()
    }
}

fn versioned(version: u32, backend: &str) -> String {
    let rule = format!(
        "filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-config, value: v{version}}}]}}}}]
backendRefs: [{{name: {backend}, port: 8080}}]"
    );
    one_rule("route", &rule)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloading_under_load_loses_no_request_and_both_configurations_answer() {
    let gateway = web();
    let documents = |version: u32| [gateway.clone(), echo("one"), versioned(version, "one")];
    let dev = Dev::start(documents(0)).await;
    let (client, load) = dev.ask("http://a.test:8080/?echo-body-size=10").load(u64::MAX, 16).await;
    let running = Running::start(client, load.by_header("x-config".parse().unwrap()));
    for version in 1..=4 {
        running.further(4_000).await;
        dev.save(documents(version)).await;
    }
    let tally = running.end(20_000).await;
    assert!(tally.requests >= 20_000 && tally.failed() == 0, "{tally:?}");
    assert_eq!(tally.status(200), tally.requests, "{tally:?}");
    for version in 0..=4 {
        assert!(tally.header(&format!("v{version}")) > 0, "v{version} never answered: {:?}", tally.headers);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloading_under_http2_load_loses_no_request() {
    let gateway = web();
    let documents = |version: u32| [gateway.clone(), echo("one"), versioned(version, "one")];
    let dev = Dev::start(documents(0)).await;
    let (client, load) = dev.ask("http://a.test:8080/?echo-body-size=10").http2().load(u64::MAX, 8).await;
    let running = Running::start(client, load);
    for version in 1..=3 {
        running.further(FURTHER).await;
        dev.save(documents(version)).await;
    }
    let tally = running.end(0).await;
    assert_eq!((tally.failed(), tally.status(200)), (0, tally.requests), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_that_come_and_go_disturb_no_other() {
    let address = unused_address();
    let extra = format!("{HTTP}\n- {{name: extra, port: 8090, protocol: HTTP}}");
    let documents =
        |with: bool| [gateway_at(address, "web", if with { &extra } else { HTTP }), echo("one"), versioned(0, "one")];
    let dev = Dev::start(documents(true)).await;
    let (client, load) = dev.ask("http://a.test:8080/?echo-body-size=10").load(u64::MAX, 8).await;
    let running = Running::start(client, load);
    for with in [false, true, false, true] {
        running.further(FURTHER).await;
        dev.save(documents(with)).await;
        let extra = dev.ask("http://a.test:8090/").try_send().await;
        assert_eq!(extra.is_ok(), with, "{extra:?}");
    }
    let tally = running.end(0).await;
    assert_eq!((tally.failed(), tally.status(200)), (0, tally.requests), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_removed_under_load_answers_what_it_accepted() {
    let address = unused_address();
    let gateway = |port: u16| gateway_at(address, "web", &format!("- {{name: http, port: {port}, protocol: HTTP}}"));
    let dev = Dev::start([gateway(8080), echo("one"), versioned(0, "one")]).await;
    let (client, load) = dev.ask("http://a.test:8080/?echo-body-size=10").load(u64::MAX, 8).await;
    let running = Running::start(client, load);
    running.further(FURTHER).await;
    dev.save([gateway(8090), echo("one"), versioned(0, "one")]).await;
    let tally = running.end(0).await;
    let refused = tally.failed_by(portolan_client::FailureKind::Refused);
    assert_eq!(tally.failed() - refused, 0, "none is reset or cut off: {tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backends_swapped_under_load_lose_no_request() {
    let gateway = web();
    let documents = |old: u32, new: u32| {
        // The Service selects both; one Deployment takes the place of the other.
        let labelled =
            |name: &str, replicas: u32| deployment(name, replicas).replace(&format!("app: {name}"), "app: shop");
        [
            gateway.clone(),
            service("one", "shop", "- {port: 8080}"),
            labelled("old", old),
            labelled("new", new),
            versioned(0, "one"),
        ]
    };
    let dev = Dev::start(documents(2, 0)).await;
    let (client, load) = dev.ask("http://a.test:8080/").load(u64::MAX, 16).await;
    let running = Running::start(client, load);
    for (old, new) in [(2, 2), (0, 2), (2, 0), (0, 2)] {
        running.further(FURTHER).await;
        dev.save(documents(old, new)).await;
    }
    let tally = running.end(0).await;
    assert_eq!((tally.failed(), tally.status(200)), (0, tally.requests), "{tally:?}");
    assert!(tally.pod("old-0") > 0 && tally.pod("new-0") > 0, "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_swapped_under_load_lose_no_request() {
    let (old, new) = (Backend::start().await, Backend::start().await);
    let gateway = web();
    let documents =
        |backend: &Backend| [gateway.clone(), service_at("one", backend.address, None), versioned(0, "one")];
    let dev = Dev::start(documents(&old)).await;
    let (client, load) = dev.ask("http://a.test:8080/").load(u64::MAX, 8).await;
    let running = Running::start(client, load);
    for backend in [&new, &old, &new] {
        running.further(FURTHER).await;
        dev.save(documents(backend)).await;
        let seen = backend.seen().len();
        backend.received(seen + 10).await;
    }
    let tally = running.end(0).await;
    assert_eq!((tally.failed(), tally.status(200)), (0, tally.requests), "{tally:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_replaced_under_load_lose_no_request() {
    let ca = Authority::new();
    let listener = "- {name: x, port: 8443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: cert}]}}";
    let gateway = gateway("web", listener);
    let documents = |at: u32| {
        let issued = ca.server(&["a.test", &format!("v{at}.test")]);
        [gateway.clone(), secret("cert", &issued), echo("one"), versioned(at, "one")]
    };
    for version in [HttpVersion::Http1, HttpVersion::Http2, HttpVersion::Http3] {
        let dev = Dev::start(documents(0)).await;
        let ask = dev.ask("https://a.test:8443/?echo-body-size=10").trust(ca.pem()).version(version);
        let (client, load) = ask.load(u64::MAX, 6).await;
        let running = Running::start(client, load.by_header("x-config".parse().unwrap()));
        for at in 1..=2 {
            running.further(FURTHER).await;
            dev.save(documents(at)).await;
        }
        let tally = running.end(0).await;
        assert_eq!((tally.failed(), tally.status(200)), (0, tally.requests), "{version:?}: {tally:?}");
        assert!(tally.header("v2") > 0, "{version:?}: {tally:?}");
    }
}
