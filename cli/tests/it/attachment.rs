//! Which routes belong to which listener: isolation, allowedRoutes, ListenerSets, ReferenceGrants.

use crate::support::{Dev, certificates::Authority, certificates::secret, manifests::*};

/// An HTTPRoute that names itself in the response header `x-route`.
fn named(name: &str, parent: &str, more: &str) -> String {
    let short = name.rsplit('/').next().unwrap();
    let spec = format!(
        "parentRefs: [{parent}]\n{more}rules:
- filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-route, value: {short}}}]}}}}]
  backendRefs: [{{name: one, namespace: default, port: 8080}}]"
    );
    route("HTTPRoute", name, &spec)
}

/// The route that takes a request for a host; the status if none does.
async fn taken(dev: &Dev, host: &str) -> String {
    let reply = dev.ask("http://gateway.test:8080/").header("host", host).send().await;
    reply.header("x-route").map_or_else(|| reply.status().to_string(), str::to_owned)
}

#[tokio::test]
async fn a_request_belongs_to_the_most_specific_listener_and_to_no_other() {
    let listeners = "- {name: any, port: 8080, protocol: HTTP}
- {name: wild, port: 8080, protocol: HTTP, hostname: '*.shop.test'}
- {name: exact, port: 8080, protocol: HTTP, hostname: a.shop.test}";
    let dev = Dev::start([
        gateway("web", listeners),
        echo("one"),
        named("for-any", "{name: web, sectionName: any}", ""),
        named("for-wild", "{name: web, sectionName: wild}", "hostnames: [b.shop.test]\n"),
    ])
    .await;
    assert_eq!(taken(&dev, "other.test").await, "for-any");
    assert_eq!(taken(&dev, "b.shop.test").await, "for-wild");
    assert_eq!(taken(&dev, "c.shop.test").await, "404", "it belongs to the listener `wild`, which has no route for it");
    assert_eq!(taken(&dev, "a.shop.test").await, "404", "it belongs to the listener `exact`, which has no route");
}

#[tokio::test]
async fn hostnames_of_route_and_listener_intersect() {
    let dev = Dev::start([
        gateway("web", "- {name: x, port: 8080, protocol: HTTP, hostname: '*.shop.test'}"),
        echo("one"),
        named("both", "{name: web}", "hostnames: [a.shop.test, a.other.test, '*.eu.shop.test']\n"),
        named("neither", "{name: web}", "hostnames: [b.other.test]\n"),
    ])
    .await;
    for (host, expected) in
        [("a.shop.test", "both"), ("x.eu.shop.test", "both"), ("b.shop.test", "404"), ("a.other.test", "404")]
    {
        assert_eq!(taken(&dev, host).await, expected, "{host}");
    }
    let status = dev.status_of("HTTPRoute", "neither").await.to_string();
    assert!(status.contains("NoMatchingListenerHostname"), "{status}");
}

#[tokio::test]
async fn a_listener_takes_routes_of_the_namespaces_that_it_allows() {
    let listener = |port: u16, from: &str| {
        format!("- {{name: p{port}, port: {port}, protocol: HTTP, allowedRoutes: {{namespaces: {from}}}}}\n")
    };
    let listeners = listener(8080, "{from: Same}")
        + &listener(8081, "{from: All}")
        + &listener(8082, "{from: Selector, selector: {matchLabels: {team: blue}}}");
    let parent = "{name: web, namespace: default}";
    let dev = Dev::start([
        gateway("web", &listeners),
        echo("one"),
        grant("routes", "HTTPRoute", "blue", "Service"),
        grant("more-routes", "HTTPRoute", "red", "Service"),
        namespace("blue", "{team: blue}"),
        namespace("red", "{team: red}"),
        named("same", parent, "hostnames: [same.test]\n"),
        named("blue/blue", parent, "hostnames: [blue.test]\n"),
        named("red/red", parent, "hostnames: [red.test]\n"),
    ])
    .await;
    for (port, served) in [(8080, [true, false, false]), (8081, [true; 3]), (8082, [false, true, false])] {
        for (name, served) in ["same", "blue", "red"].into_iter().zip(served) {
            let reply = dev.ask(&format!("http://gateway.test:{port}/")).header("host", &format!("{name}.test")).send();
            assert_eq!(reply.await.header("x-route"), served.then_some(name), "{name} on {port}");
        }
    }
}

#[tokio::test]
async fn a_listener_takes_the_kinds_that_it_allows() {
    let listener = "- {name: x, port: 8080, protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}}";
    let dev = Dev::start([gateway("web", listener), echo("one"), named("http", "{name: web}", "")]).await;
    assert_eq!(taken(&dev, "a.test").await, "404");
    assert!(dev.status_of("HTTPRoute", "http").await.to_string().contains("NotAllowedByListeners"));
}

#[tokio::test]
async fn a_listener_set_adds_listeners_that_routes_name() {
    let set =
        route("ListenerSet", "more", "parentRef: {name: web}\nlisteners: [{name: extra, port: 8090, protocol: HTTP}]");
    let documents = |allowed: &str| {
        [
            gateway_with("web", HTTP, allowed),
            echo("one"),
            set.clone(),
            named("of-set", "{kind: ListenerSet, name: more}", ""),
        ]
    };
    let dev = Dev::start(documents("allowedListeners: {namespaces: {from: Same}}")).await;
    assert_eq!(dev.ask("http://a.test:8090/").send().await.header("x-route"), Some("of-set"));
    assert_eq!(taken(&dev, "a.test").await, "404", "the Gateway's own listener is not the set's");
    let dev = Dev::start(documents("")).await;
    dev.ask("http://a.test:8090/").fail().await;
    assert!(dev.status_of("ListenerSet", "more").await.to_string().contains("NotAllowed"));
}

#[tokio::test]
async fn a_backend_of_another_namespace_needs_a_grant() {
    let rule = "backendRefs: [{name: far, namespace: elsewhere, port: 8080}]";
    let documents = |grant: String| [web(), echo("elsewhere/far"), one_rule("route", rule), grant];
    let dev = Dev::start(documents(grant("elsewhere/ok", "HTTPRoute", "default", "Service"))).await;
    assert_eq!(dev.ask("http://a.test:8080/").send().await.pod(), "far-0");
    for wrong in [
        grant("elsewhere/kind", "GRPCRoute", "default", "Service"),
        grant("elsewhere/namespace", "HTTPRoute", "other", "Service"),
        grant("elsewhere/target", "HTTPRoute", "default", "Secret"),
        grant("default/place", "HTTPRoute", "default", "Service"),
    ] {
        let dev = Dev::start(documents(wrong.clone())).await;
        assert_eq!(dev.ask("http://a.test:8080/").status().await, 500, "{wrong}");
        assert!(dev.output().contains("RefNotPermitted"), "{}", dev.output());
    }
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_takes_effect() {
    let rule = "backendRefs: [{name: far, namespace: elsewhere, port: 8080}]";
    let mut documents = vec![web(), echo("elsewhere/far"), one_rule("route", rule)];
    documents.push(grant("elsewhere/ok", "HTTPRoute", "default", "Service"));
    let dev = Dev::start(&documents).await;
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 200);
    documents.pop();
    dev.save(&documents).await;
    assert_eq!(dev.ask("http://a.test:8080/").status().await, 500);
}

#[tokio::test]
async fn a_certificate_of_another_namespace_needs_a_grant() {
    let ca = Authority::new();
    let listener = "- {name: x, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert, namespace: certs}]}}";
    let mut documents = vec![
        gateway("web", listener),
        echo("one"),
        one_rule("route", "backendRefs: [{name: one, port: 8080}]"),
        secret("certs/cert", &ca.server(&["a.test"])),
        grant("certs/ok", "Gateway", "default", "Secret"),
    ];
    let dev = Dev::start(&documents).await;
    assert_eq!(dev.ask("https://a.test:8443/").trust(ca.pem()).status().await, 200);
    documents.pop();
    let dev = Dev::start(&documents).await;
    dev.ask("https://a.test:8443/").insecure().fail().await;
    assert!(dev.output().contains("RefNotPermitted"), "{}", dev.output());
}
