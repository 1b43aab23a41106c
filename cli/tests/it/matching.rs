//! Which rule takes a request: each kind of match, and precedence among those that match.

use crate::support::{Dev, manifests::*};

/// A rule that names itself in the response header `x-rule`.
fn named(name: &str, matches: &str) -> String {
    format!(
        "- matches: [{matches}]
  filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-rule, value: {name}}}]}}}}]
  backendRefs: [{{name: one, port: 8080}}]\n"
    )
}

async fn serving(all: &[(&str, &str)]) -> Dev {
    let text: String = all.iter().map(|(name, matches)| named(name, matches)).collect();
    Dev::start([web(), echo("one"), rules("route", &text)]).await
}

/// The rule that took the request; its status if none did.
async fn rule(dev: &Dev, request: &str, headers: &[(&str, &str)]) -> String {
    let mut ask = dev.ask(request);
    for (name, value) in headers {
        ask = ask.header(name, value);
    }
    let reply = ask.send().await;
    reply.header("x-rule").map_or_else(|| reply.status().to_string(), str::to_owned)
}

#[tokio::test]
async fn paths_match_exactly_by_whole_segments_or_by_a_whole_expression() {
    let dev = serving(&[
        ("exact", "{path: {type: Exact, value: /exact}}"),
        ("prefix", "{path: {type: PathPrefix, value: /pre/fix}}"),
        ("regex", "{path: {type: RegularExpression, value: '/r[0-9]+'}}"),
    ])
    .await;
    for (path, expected) in [
        ("/exact", "exact"),
        ("/exact/", "404"),
        ("/Exact", "404"),
        ("/pre/fix", "prefix"),
        ("/pre/fix/", "prefix"),
        ("/pre/fix/more?q", "prefix"),
        ("/pre/fixed", "404"),
        ("/r12", "regex"),
        ("/r12/more", "404"),
        ("/more/r12", "404"),
        ("/", "404"),
    ] {
        assert_eq!(rule(&dev, &format!("http://a.test:8080{path}"), &[]).await, expected, "{path}");
    }
}

#[tokio::test]
async fn headers_queries_and_methods_match_together() {
    let dev = serving(&[
        ("header", "{headers: [{name: X-One, value: '1'}, {name: x-two, type: RegularExpression, value: 'a.c'}]}"),
        ("query", "{queryParams: [{name: q, value: good}, {name: r, type: RegularExpression, value: '[0-9]+'}]}"),
        ("method", "{method: DELETE, path: {type: Exact, value: /}}"),
    ])
    .await;
    let url = "http://a.test:8080/";
    assert_eq!(rule(&dev, url, &[("x-one", "1"), ("x-two", "abc")]).await, "header");
    assert_eq!(rule(&dev, url, &[("x-one", "1"), ("x-two", "abcd")]).await, "404");
    assert_eq!(rule(&dev, url, &[("x-one", "1")]).await, "404");
    assert_eq!(rule(&dev, "http://a.test:8080/any?r=12&q=good", &[]).await, "query");
    assert_eq!(rule(&dev, "http://a.test:8080/any?q=good&r=1x", &[]).await, "404");
    assert_eq!(rule(&dev, "http://a.test:8080/any?q=Good&r=1", &[]).await, "404");
    assert_eq!(rule(&dev, "DELETE http://a.test:8080/", &[]).await, "method");
    assert_eq!(rule(&dev, "GET http://a.test:8080/", &[]).await, "404");
}

#[tokio::test]
async fn the_more_specific_match_wins_whatever_the_order_of_rules() {
    let dev = serving(&[
        ("slash", "{path: {type: PathPrefix, value: /}}"),
        ("queries", "{path: {type: PathPrefix, value: /a}, queryParams: [{name: q, value: '1'}]}"),
        ("headers", "{path: {type: PathPrefix, value: /a}, headers: [{name: h, value: '1'}]}"),
        (
            "two-headers",
            "{path: {type: PathPrefix, value: /a}, headers: [{name: h, value: '1'}, {name: i, value: '1'}]}",
        ),
        ("method", "{path: {type: PathPrefix, value: /a}, method: PUT}"),
        ("prefix", "{path: {type: PathPrefix, value: /a}}"),
        ("longer", "{path: {type: PathPrefix, value: /a/b}}"),
        ("exact", "{path: {type: Exact, value: /a/b}}"),
    ])
    .await;
    let all = [("h", "1"), ("i", "1")];
    assert_eq!(rule(&dev, "PUT http://a.test:8080/a/b?q=1", &all).await, "exact");
    assert_eq!(rule(&dev, "PUT http://a.test:8080/a/b/c?q=1", &all).await, "longer");
    assert_eq!(rule(&dev, "PUT http://a.test:8080/a/c?q=1", &all).await, "method");
    assert_eq!(rule(&dev, "http://a.test:8080/a/c?q=1", &all).await, "two-headers");
    assert_eq!(rule(&dev, "http://a.test:8080/a/c?q=1", &[("h", "1")]).await, "headers");
    assert_eq!(rule(&dev, "http://a.test:8080/a/c?q=1", &[]).await, "queries");
    assert_eq!(rule(&dev, "http://a.test:8080/a/c", &[]).await, "prefix");
    assert_eq!(rule(&dev, "http://a.test:8080/x", &all).await, "slash");
}

#[tokio::test]
async fn a_more_specific_hostname_wins_over_a_more_specific_match() {
    let by_host = |name: &str, hosts: &str, matches: &str| {
        let spec = format!("parentRefs: [{{name: web}}]\n{hosts}rules:\n{}", named(name, matches));
        route("HTTPRoute", name, &spec)
    };
    let dev = Dev::start([
        web(),
        echo("one"),
        by_host("any", "", "{path: {type: Exact, value: /a}}"),
        by_host("wild", "hostnames: ['*.shop.test']\n", "{path: {type: Exact, value: /a}}"),
        by_host("longer-wild", "hostnames: ['*.eu.shop.test']\n", "{path: {type: PathPrefix, value: /}}"),
        by_host("exact", "hostnames: [x.eu.shop.test]\n", "{path: {type: PathPrefix, value: /}}"),
    ])
    .await;
    for (host, expected) in [
        ("x.eu.shop.test", "exact"),
        ("X.EU.shop.TEST", "exact"),
        ("y.eu.shop.test", "longer-wild"),
        ("a.b.eu.shop.test", "longer-wild"),
        ("de.shop.test", "wild"),
        ("shop.test", "any"),
        ("other.test", "any"),
    ] {
        assert_eq!(rule(&dev, "http://gateway.test:8080/a", &[("host", host)]).await, expected, "{host}");
    }
}

#[tokio::test]
async fn among_equals_the_name_of_the_route_decides_and_then_the_order_of_rules() {
    let spec = |first: &str, second: &str| {
        let matches = "{path: {type: PathPrefix, value: /same}}";
        format!("parentRefs: [{{name: web}}]\nrules:\n{}{}", named(first, matches), named(second, matches))
    };
    let dev = Dev::start([
        web(),
        echo("one"),
        route("HTTPRoute", "b", &spec("b0", "b1")),
        route("HTTPRoute", "a", &spec("a0", "a1")),
    ])
    .await;
    assert_eq!(rule(&dev, "http://a.test:8080/same", &[]).await, "a0");
}

#[tokio::test]
async fn explain_names_the_winner_and_why_the_others_lost() {
    let dev = serving(&[
        ("prefix", "{path: {type: PathPrefix, value: /a}}"),
        ("header", "{path: {type: PathPrefix, value: /a}, headers: [{name: v, value: '2'}]}"),
    ])
    .await;
    let told = dev.portolan(&["explain", "GET", "http://a.test:8080/a/b"]);
    assert_eq!(told.code, 0, "{}", told.text);
    assert!(told.text.contains("HTTPRoute default/route rule 0"), "{}", told.text);
    assert!(told.text.contains("header v does not match"), "{}", told.text);
    let told = dev.portolan(&["explain", "-o", "json", "-H", "v: 2", "GET", "http://a.test:8080/a/b"]);
    let json: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(json["winner"]["rule"], "HTTPRoute default/route rule 1");
    let told = dev.portolan(&["explain", "GET", "http://a.test:8080/x"]);
    assert_eq!(told.code, 1, "{}", told.text);
}
