//! What a translation takes over from the one before: never anything that changes the result, and all that a change
//! leaves as it is.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use portolan_translate::{
    Edges, ObjectName, Objects, Translation,
    objects::Store,
    references,
    snapshot::{PortKind, RouteTable},
    translate,
};
use std::{fs, path::Path, sync::Arc};
use support::{dump, input, status};

/// All golden inputs by name.
fn goldens() -> Vec<(String, input::Input)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    let read = |path: &Path| input::read(&fs::read_to_string(path.join("input.yaml")).unwrap());
    folders.iter().map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), read(path))).collect()
}

fn texts(translation: &Translation) -> (String, String) {
    (dump::snapshot(&translation.snapshot), status::statuses(&translation.statuses))
}

/// The same objects without one; one result for each object.
fn each_without_one(objects: &Objects) -> Vec<(String, Objects)> {
    let mut all = Vec::new();
    macro_rules! kinds {
        ($($field:ident),*) => {
            $(for name in objects.$field.keys() {
                let mut fewer = objects.clone();
                fewer.$field.remove(name);
                all.push((format!("{} {name}", stringify!($field)), fewer));
            })*
        };
    }
    kinds!(
        gateway_classes,
        gateways,
        listener_sets,
        http_routes,
        grpc_routes,
        tls_routes,
        tcp_routes,
        udp_routes,
        reference_grants,
        backend_tls_policies,
        wasm_filters,
        gateway_configs,
        services,
        endpoint_slices,
        secrets,
        config_maps,
        namespaces
    );
    all
}

#[test]
fn after_any_other_translation_the_result_is_the_same() {
    let all = goldens();
    let translated: Vec<_> = all.iter().map(|(_, input)| translate(&input.objects, &input.edges, None)).collect();
    let expected: Vec<_> = translated.iter().map(texts).collect();
    for (at, (name, input)) in all.iter().enumerate() {
        for (before, (other, _)) in translated.iter().zip(&all) {
            let now = translate(&input.objects, &input.edges, Some(before));
            assert!(texts(&now) == expected[at], "{name} after {other}");
        }
    }
}

#[test]
fn what_may_be_read_no_longer_is_said_at_once() {
    let mut differ = 0;
    for (name, input) in goldens() {
        let first = translate(&input.objects, &input.edges, None);
        let mut edges = input.edges.clone();
        edges.forbidden.extend(first.references.values().flatten().cloned());
        let filters = input.objects.wasm_filters.iter();
        edges.forbidden.extend(filters.flat_map(|(name, filter)| references::of_filter(name, filter)));
        let expected = texts(&translate(&input.objects, &edges, None));
        differ += usize::from(expected != texts(&first));
        let then = translate(&input.objects, &edges, Some(&first));
        assert!(texts(&then) == expected, "{name}: forbidden");
        let back = translate(&input.objects, &input.edges, Some(&then));
        assert!(texts(&back) == texts(&first), "{name}: allowed again");
    }
    assert!(differ > 2, "{differ} of the goldens refer to what does not exist");
}

#[test]
fn an_object_that_goes_and_comes_back_leaves_no_trace() {
    for (name, input) in goldens() {
        let first = translate(&input.objects, &input.edges, None);
        let expected = texts(&first);
        for (gone, fewer) in each_without_one(&input.objects) {
            let without = translate(&fewer, &input.edges, Some(&first));
            let afresh = translate(&fewer, &input.edges, None);
            assert_eq!(texts(&without), texts(&afresh), "{name}: without {gone}");
            let back = translate(&input.objects, &input.edges, Some(&without));
            assert_eq!(texts(&back), expected, "{name}: {gone} came back");
        }
    }
}

/// Two Gateways with a route for each of many hosts, and Services with endpoints.
fn world(hosts: usize) -> (Objects, Edges) {
    let mut text = String::new();
    for gateway in ["a", "b"] {
        text.push_str(&format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {gateway}}}\nspec: {{gatewayClassName: \
             portolan, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}\n---\n"
        ));
    }
    for at in 0..hosts {
        let gateway = if at % 2 == 0 { "a" } else { "b" };
        text.push_str(&route(at, gateway, "/"));
        text.push_str(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s{at}}}\nspec: {{ports: [{{port: 80}}]}}\n---\n{}",
            slice(at, "10.0.0.1")
        ));
    }
    let input = input::read(&text);
    (input.objects, input.edges)
}

fn route(at: usize, gateway: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r{at}}}\nspec: {{parentRefs: [{{name: \
         {gateway}}}], hostnames: [h{at}.example.com], rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: \
         s{at}, port: 80}}]}}]}}\n---\n"
    )
}

fn slice(at: usize, address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{at}, labels: {{kubernetes.io/service-name: \
         s{at}}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{{addresses: [{address}]}}]\n---\n"
    )
}

fn merge<T>(into: &mut Store<T>, from: &Store<T>) {
    into.extend(from.iter().map(|(name, object)| (name.clone(), object.clone())));
}

/// Puts the objects of a text in the place of those that have their names.
fn replace(objects: &mut Objects, text: &str) {
    let new = input::read(text).objects;
    merge(&mut objects.http_routes, &new.http_routes);
    merge(&mut objects.endpoint_slices, &new.endpoint_slices);
    merge(&mut objects.services, &new.services);
}

fn table(translation: &Translation, port: usize) -> &Arc<RouteTable> {
    match &translation.snapshot.ports[port].kind {
        PortKind::Http(http) => &http.listeners.get("anything").unwrap().routes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_endpoint_that_changes_rebuilds_no_route_table() {
    let (mut objects, edges) = world(6);
    let before = translate(&objects, &edges, None);
    replace(&mut objects, &slice(3, "10.0.0.9"));
    let after = translate(&objects, &edges, Some(&before));
    for (a, b) in before.snapshot.ports.iter().zip(&after.snapshot.ports) {
        assert!(Arc::ptr_eq(a, b), "a port was rebuilt: {}", a.bind);
    }
    assert!(Arc::ptr_eq(&before.snapshot.backends, &after.snapshot.backends));
    assert!(Arc::ptr_eq(&before.statuses, &after.statuses));
    let pairs = before.snapshot.endpoints.iter().zip(&*after.snapshot.endpoints);
    let changed = pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
    assert_eq!(changed, 1, "only the endpoints of the one Service change");
}

#[test]
fn a_route_that_changes_rebuilds_its_own_table_alone() {
    let (mut objects, edges) = world(6);
    let before = translate(&objects, &edges, None);
    replace(&mut objects, &route(2, "a", "/new"));
    let after = translate(&objects, &edges, Some(&before));
    assert!(!Arc::ptr_eq(table(&before, 0), table(&after, 0)));
    assert!(Arc::ptr_eq(table(&before, 1), table(&after, 1)));
    assert!(Arc::ptr_eq(&before.snapshot.ports[1], &after.snapshot.ports[1]));
    let rules = |translation: &Translation| -> Vec<_> {
        table(translation, 0).iter().map(|(_, candidate)| candidate.rule.clone()).collect()
    };
    let same = rules(&before).iter().zip(&rules(&after)).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!(same, 2, "the rules of the other routes at the Gateway are kept");
    for (a, b) in before.snapshot.endpoints.iter().zip(&*after.snapshot.endpoints) {
        assert!(Arc::ptr_eq(a, b), "endpoints do not depend on routes");
    }
}

#[test]
fn a_service_that_comes_is_seen_by_the_route_that_waits_for_it() {
    let (mut objects, edges) = world(4);
    let service = ObjectName::new("default", "s1");
    let object = objects.services.remove(&service).unwrap();
    let without = translate(&objects, &edges, None);
    assert_eq!(without.statuses.problems().count(), 1);
    objects.services.insert(service, object);
    let with = translate(&objects, &edges, Some(&without));
    assert_eq!(with.statuses.problems().count(), 0);
    assert!(Arc::ptr_eq(table(&without, 0), table(&with, 0)), "the other Gateway has no route to it");
}

#[test]
fn backends_keep_their_slots_when_others_go() {
    let (mut objects, edges) = world(6);
    let before = translate(&objects, &edges, None);
    objects.http_routes.remove(&ObjectName::new("default", "r0"));
    let after = translate(&objects, &edges, Some(&before));
    for (at, backend) in after.snapshot.backends.iter().enumerate() {
        if let Some(backend) = backend {
            assert!(Arc::ptr_eq(backend, before.snapshot.backends[at].as_ref().unwrap()));
        }
    }
    assert_eq!(after.snapshot.backends.iter().filter(|slot| slot.is_none()).count(), 1);
}

#[test]
fn a_client_that_comes_touches_no_port() {
    let (objects, mut edges) = world(4);
    let before = translate(&objects, &edges, None);
    edges.clients.insert("10.9.9.9".parse().unwrap(), "shop".into());
    let after = translate(&objects, &edges, Some(&before));
    assert_eq!(after.snapshot.namespace_of("10.9.9.9".parse().unwrap()), "shop");
    assert!(before.snapshot.ports.iter().zip(&after.snapshot.ports).all(|(a, b)| Arc::ptr_eq(a, b)));
    let again = translate(&objects, &edges, Some(&after));
    assert!(Arc::ptr_eq(&after.snapshot, &again.snapshot));
}

#[test]
fn nothing_that_changed_gives_the_very_same_snapshot() {
    let (objects, edges) = world(4);
    let before = translate(&objects, &edges, None);
    let after = translate(&objects.clone(), &edges.clone(), Some(&before));
    assert!(Arc::ptr_eq(&before.snapshot, &after.snapshot));
}

#[test]
fn a_route_of_one_service_leaves_the_ports_of_others() {
    let service = |name: &str, ip: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: {ip}, ports: [{{port: 80}}]}}\n---\n"
        )
    };
    let route = |path: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{parentRefs: [{{group: \
             '', kind: Service, name: a}}], rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: b, port: \
             80}}]}}]}}\n---\n"
        )
    };
    let input = input::read(&(service("a", "127.0.1.1") + &service("b", "127.0.1.2") + &route("/one")));
    let (mut objects, edges) = (input.objects, input.edges);
    let before = translate(&objects, &edges, None);
    replace(&mut objects, &route("/two"));
    let after = translate(&objects, &edges, Some(&before));
    assert!(!Arc::ptr_eq(&before.snapshot.ports[0], &after.snapshot.ports[0]));
    assert!(Arc::ptr_eq(&before.snapshot.ports[1], &after.snapshot.ports[1]));
}

#[test]
fn a_secret_that_changes_leaves_the_listeners_of_others() {
    let secret = |name: &str, host: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: kubernetes.io/tls\nstringData: {{tls.crt: \
             'fixture:certificate {host}', tls.key: 'fixture:key {host}'}}\n---\n"
        )
    };
    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {gatewayClassName: \
                   portolan, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a}]}}, {name: b, \
                   port: 444, protocol: HTTPS, tls: {certificateRefs: [{name: b}]}}]}\n---\n";
    let input = input::read(&(secret("a", "a.example.com") + &secret("b", "b.example.com") + gateway));
    let (mut objects, edges) = (input.objects, input.edges);
    let before = translate(&objects, &edges, None);
    merge(&mut objects.secrets, &input::read(&secret("b", "c.example.com")).objects.secrets);
    let after = translate(&objects, &edges, Some(&before));
    assert!(Arc::ptr_eq(&before.snapshot.ports[0], &after.snapshot.ports[0]), "its sessions live on");
    assert!(!Arc::ptr_eq(&before.snapshot.ports[1], &after.snapshot.ports[1]));
}
