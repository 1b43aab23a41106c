//! Filters of HTTPRoutes: header modifiers at each place, redirects, rewrites, CORS, mirrors, references that do not
//! resolve.

use crate::support::{Backend, Dev, manifests::*};

const BACKEND: &str = "backendRefs: [{name: one, port: 8080}]";

async fn one_rule_dev(rule: &str) -> Dev {
    Dev::start([web(), echo("one"), one_rule("route", rule)]).await
}

#[tokio::test]
async fn request_headers_are_set_added_and_removed() {
    let rule = format!(
        "filters:
- type: RequestHeaderModifier
  requestHeaderModifier:
    set: [{{name: X-Set, value: new}}]
    add: [{{name: X-Add, value: more}}]
    remove: [X-Gone]
{BACKEND}"
    );
    let dev = one_rule_dev(&rule).await;
    let ask = dev.ask("http://a.test:8080/").header("x-set", "old").header("x-set", "older");
    let reply = ask.header("x-add", "first").header("x-gone", "1").header("x-kept", "k").send().await;
    assert_eq!(reply.received("x-set"), ["new"]);
    assert_eq!(reply.received("x-add").join(","), "first,more");
    assert_eq!(reply.received("x-gone"), [""; 0]);
    assert_eq!(reply.received("x-kept"), ["k"]);
}

#[tokio::test]
async fn response_headers_are_set_added_and_removed() {
    let rule = format!(
        "filters:
- type: ResponseHeaderModifier
  responseHeaderModifier:
    set: [{{name: X-Set, value: new}}]
    add: [{{name: X-Add, value: more}}]
    remove: [X-Gone]
{BACKEND}"
    );
    let dev = one_rule_dev(&rule).await;
    let ask = dev.ask("http://a.test:8080/").header("echo-header", "x-set:old").header("echo-header", "x-add:first");
    let reply = ask.header("echo-header", "x-gone:1").header("echo-header", "x-kept:k").send().await;
    assert_eq!(reply.headers("x-set"), ["new"]);
    assert_eq!(reply.headers("x-add").join(","), "first,more");
    assert_eq!(reply.header("x-gone"), None);
    assert_eq!(reply.header("x-kept"), Some("k"));
}

#[tokio::test]
async fn header_modifiers_of_a_backend_touch_its_requests_alone() {
    let rule = "backendRefs:
- name: one
  port: 8080
  filters:
  - type: RequestHeaderModifier
    requestHeaderModifier: {set: [{name: x-for, value: one}]}
  - type: ResponseHeaderModifier
    responseHeaderModifier: {set: [{name: x-from, value: one}]}
- {name: two, port: 8080}";
    let dev = Dev::start([web(), echo("one"), echo("two"), one_rule("route", rule)]).await;
    let mut seen = [false; 2];
    for _ in 0..8 {
        let reply = dev.ask("http://a.test:8080/").send().await;
        let one = reply.pod() == "one-0";
        seen[usize::from(one)] = true;
        assert_eq!(reply.received("x-for").len(), usize::from(one));
        assert_eq!(reply.header("x-from"), one.then_some("one"));
    }
    assert_eq!(seen, [true; 2]);
}

/// The status and location of a redirect for a request of `path`.
async fn redirected(filter: &str, path: &str) -> (u16, String) {
    let rule = format!(
        "matches: [{{path: {{type: PathPrefix, value: /old}}}}]
filters: [{{type: RequestRedirect, requestRedirect: {filter}}}]"
    );
    let dev = Dev::start([web(), one_rule("route", &rule)]).await;
    let reply = dev.ask(&format!("http://a.test:8080{path}")).send().await;
    (reply.status(), reply.header("location").unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_redirect_has_the_code_asked_for_and_302_by_default() {
    for code in [301, 302, 303, 307, 308] {
        let (status, location) = redirected(&format!("{{hostname: b.test, statusCode: {code}}}"), "/old?q=1").await;
        assert_eq!((status, location.as_str()), (code, "http://b.test:8080/old?q=1"));
    }
    assert_eq!(redirected("{hostname: b.test}", "/old").await.0, 302);
}

#[tokio::test]
async fn a_redirect_to_a_scheme_takes_its_well_known_port_unless_one_is_given() {
    assert_eq!(redirected("{scheme: https}", "/old").await.1, "https://a.test/old");
    assert_eq!(redirected("{scheme: https, port: 8443}", "/old").await.1, "https://a.test:8443/old");
    assert_eq!(redirected("{scheme: http}", "/old").await.1, "http://a.test/old");
    assert_eq!(redirected("{port: 80}", "/old").await.1, "http://a.test/old");
}

#[tokio::test]
async fn a_redirect_replaces_the_whole_path_or_the_prefix_that_matched() {
    let full = "{path: {type: ReplaceFullPath, replaceFullPath: /new/place}}";
    assert_eq!(redirected(full, "/old/a?q").await.1, "http://a.test:8080/new/place?q");
    let prefix = "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}";
    assert_eq!(redirected(prefix, "/old/a/b?q=1").await.1, "http://a.test:8080/new/a/b?q=1");
    assert_eq!(redirected(prefix, "/old").await.1, "http://a.test:8080/new");
    let root = "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}";
    assert_eq!(redirected(root, "/old/a").await.1, "http://a.test:8080/a");
    assert_eq!(redirected(root, "/old").await.1, "http://a.test:8080/");
}

/// Path and host that the backend receives.
async fn rewritten(filter: &str, path: &str) -> (String, String) {
    let rule = format!(
        "matches: [{{path: {{type: PathPrefix, value: /old}}}}]
filters: [{{type: URLRewrite, urlRewrite: {filter}}}]
{BACKEND}"
    );
    let dev = one_rule_dev(&rule).await;
    let echo = dev.ask(&format!("http://a.test:8080{path}")).send().await.echo();
    (echo.path, echo.host)
}

#[tokio::test]
async fn a_rewrite_changes_path_or_host_and_keeps_the_query() {
    let full = "{path: {type: ReplaceFullPath, replaceFullPath: /new}}";
    assert_eq!(rewritten(full, "/old/a?q=1").await.0, "/new?q=1");
    let prefix = "{hostname: inner.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new/}}";
    assert_eq!(rewritten(prefix, "/old/a?q=1").await, ("/new/a?q=1".to_owned(), "inner.test".to_owned()));
    assert_eq!(rewritten("{hostname: inner.test}", "/old/a").await, ("/old/a".to_owned(), "inner.test".to_owned()));
    let root = "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}";
    assert_eq!(rewritten(root, "/old").await.0, "/");
}

const CORS: &str = "filters:
- type: CORS
  cors:
    allowOrigins: ['https://shop.test', 'https://*.shop.test']
    allowCredentials: true
    allowMethods: [GET, PUT]
    allowHeaders: [x-one, x-two]
    exposeHeaders: [x-out]
    maxAge: 60";

#[tokio::test]
async fn a_cors_preflight_of_an_allowed_origin_is_answered_by_the_gateway() {
    let dev = one_rule_dev(&format!("{CORS}\n{BACKEND}")).await;
    let preflight = |origin: &str| {
        let ask = dev.ask("OPTIONS http://a.test:8080/").header("origin", origin);
        ask.header("access-control-request-method", "PUT").header("access-control-request-headers", "x-one")
    };
    for origin in ["https://shop.test", "https://eu.shop.test"] {
        let reply = preflight(origin).send().await;
        assert!((200..300).contains(&reply.status()), "{reply:?}");
        assert_eq!(reply.text(), "", "the backend is not asked");
        assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
        assert_eq!(reply.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(reply.header("access-control-allow-methods"), Some("GET, PUT"));
        assert_eq!(reply.header("access-control-allow-headers"), Some("x-one, x-two"));
        assert_eq!(reply.header("access-control-max-age"), Some("60"));
    }
    for origin in ["https://other.test", "http://shop.test", "https://shop.test.evil.test"] {
        let reply = preflight(origin).send().await;
        assert_eq!(reply.header("access-control-allow-origin"), None, "{origin}");
    }
}

#[tokio::test]
async fn a_cors_request_reaches_the_backend_and_its_answer_names_the_origin() {
    let dev = one_rule_dev(&format!("{CORS}\n{BACKEND}")).await;
    let reply = dev.ask("http://a.test:8080/").header("origin", "https://shop.test").send().await;
    assert_eq!(reply.pod(), "one-0");
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://shop.test"));
    assert_eq!(reply.header("access-control-expose-headers"), Some("x-out"));
    assert!(reply.headers("vary").iter().any(|vary| vary.eq_ignore_ascii_case("origin")), "{reply:?}");
    let other = dev.ask("http://a.test:8080/").header("origin", "https://other.test").send().await;
    assert_eq!((other.pod().as_str(), other.header("access-control-allow-origin")), ("one-0", None));
}

/// A rule with these filters, and a Service of each backend beside `one`.
async fn mirroring(filters: &[String], mirrors: &[&Backend]) -> Dev {
    let rule = format!("filters:\n{}\n{BACKEND}", filters.join("\n"));
    let mut documents = vec![web(), echo("one"), one_rule("route", &rule)];
    for (at, mirror) in mirrors.iter().enumerate() {
        documents.push(service_at(&format!("mirror-{at}"), mirror.address, None));
    }
    Dev::start(documents).await
}

fn mirror(at: usize, share: &str) -> String {
    format!("- {{type: RequestMirror, requestMirror: {{backendRef: {{name: mirror-{at}, port: 8080}}{share}}}}}")
}

#[tokio::test]
async fn a_mirror_gets_its_share_of_the_requests_and_answers_nobody() {
    for (share, expected) in [("", 20), (", percent: 25", 5), (", fraction: {numerator: 1, denominator: 4}", 5)] {
        let copied = Backend::start().await;
        let dev = mirroring(&[mirror(0, share)], &[&copied]).await;
        let tally = dev.ask("POST http://a.test:8080/path?q").header("x-h", "1").body("text").many(20, 1).await;
        assert_eq!((tally.pod("one-0"), tally.failed()), (20, 0), "{tally:?}");
        copied.received(expected).await;
        let seen = copied.seen();
        assert_eq!(seen.len(), expected, "{share}");
        for one in seen {
            assert_eq!((one.method.as_str(), one.target.as_str(), one.body.as_str()), ("POST", "/path?q", "text"));
            assert_eq!(one.headers["x-h"], "1");
        }
    }
}

#[tokio::test]
async fn several_mirrors_all_get_the_request_and_a_slow_one_delays_nobody() {
    let (quick, slow) = (Backend::start().await, Backend::silent().await);
    let dev = mirroring(&[mirror(0, ""), mirror(1, "")], &[&quick, &slow]).await;
    assert_eq!(dev.ask("http://a.test:8080/").many(10, 1).await.pod("one-0"), 10);
    quick.received(10).await;
    slow.received(10).await;
}

#[tokio::test]
async fn a_filter_that_does_not_resolve_answers_500_and_other_rules_serve() {
    let all = format!(
        "- matches: [{{path: {{type: Exact, value: /broken}}}}]
  filters: [{{type: ExtensionRef, extensionRef: {{group: portolan.dev, kind: WasmFilter, name: absent}}}}]
  {BACKEND}
- {BACKEND}"
    );
    let dev = Dev::start([web(), echo("one"), rules("route", &all)]).await;
    assert_eq!(dev.ask("http://a.test:8080/broken").status().await, 500);
    assert_eq!(dev.ask("http://a.test:8080/fine").send().await.pod(), "one-0");
}
