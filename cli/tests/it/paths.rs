//! Paths that try to be two things at once: one reading for matcher, filters and backend.

use crate::support::{
    Backend, Dev,
    manifests::*,
    raw::{exchange, statuses},
};

/// A Gateway that keeps `/admin` to itself, and a backend behind everything else.
async fn guarded() -> (Dev, Backend) {
    let backend = Backend::start().await;
    let all = "- matches: [{path: {type: PathPrefix, value: /admin}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: forbidden.test}}]
- backendRefs: [{name: one, port: 8080}]";
    let dev = Dev::start([web(), service_at("one", backend.address, None), rules("r", all)]).await;
    (dev, backend)
}

async fn status(dev: &Dev, path: &str) -> u16 {
    let head = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n");
    let (text, _) = exchange(dev.address(8080).await, head.as_bytes()).await;
    statuses(&text).first().copied().unwrap_or(0)
}

#[tokio::test]
async fn no_way_of_writing_a_path_leads_around_a_rule() {
    let (dev, backend) = guarded().await;
    for path in [
        "/admin",
        "/admin/x",
        "//admin",
        "/./admin/x",
        "/x/../admin",
        "/x//..//admin",
        "/%2e/admin",
        "/x/%2e%2E/admin/y",
        "/x/.%2e/admin",
        "/admin/../admin/./x",
        "http://a.test//admin",
    ] {
        assert_eq!(status(&dev, path).await, 302, "{path}");
    }
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
}

#[tokio::test]
async fn the_backend_is_sent_the_path_that_was_matched() {
    let (dev, backend) = guarded().await;
    for (path, seen) in [
        ("/x//y", "/x/y"),
        ("/admin/../x", "/x"),
        ("/x/%2e%2e/y?q=/../z", "/y?q=/../z"),
        ("/x%2Fadmin", "/x%2Fadmin"),
        ("/x/..%2Fadmin", "/x/..%2Fadmin"),
        ("/%61dmin", "/%61dmin"),
        ("/x/...", "/x/..."),
        ("/.hidden", "/.hidden"),
    ] {
        assert_eq!(status(&dev, path).await, 200, "{path}");
        let last = backend.seen().pop().unwrap();
        assert_eq!(last.target, seen, "{path}");
    }
}

#[tokio::test]
async fn paths_that_lead_above_the_root_are_refused() {
    let (dev, backend) = guarded().await;
    for path in ["/..", "/../x", "/x/../../y", "/%2e%2e/x", "/%2E%2E", "/./../x", "*"] {
        assert_eq!(status(&dev, path).await, 400, "{path}");
    }
    assert!(backend.seen().is_empty(), "{:?}", backend.seen());
}

#[tokio::test]
async fn explain_reads_paths_as_traffic_does() {
    let (dev, _backend) = guarded().await;
    let told = dev.portolan(&["explain", "GET", "http://a.test:8080/x/%2e%2E//admin"]);
    assert!(told.text.contains("rule 0"), "{}", told.text);
}
