//! What is admitted, and what a refusal says. Each case is one document.

use super::*;
use crate::yaml::parse_chunk;
use std::sync::Arc;

fn admitted(text: &str) -> Admission {
    let (mut values, fault) = parse_chunk(text);
    assert_eq!(fault, None, "{text}");
    assert_eq!(values.len(), 1, "{text}");
    let (value, places) = values.remove(0);
    admit(value, &places, Path::new("/manifests"))
}

fn good(text: &str) -> Object {
    let mut admission = admitted(text);
    assert!(admission.findings.is_empty(), "{:?}", admission.findings);
    assert_eq!(admission.objects.len(), 1, "{text}");
    admission.objects.remove(0).object.unwrap()
}

/// `line:column field: message` of each finding.
fn faults(text: &str) -> Vec<String> {
    let admission = admitted(text);
    assert!(admission.objects.iter().all(|admitted| admitted.object.is_none()), "{text}");
    let shown = |finding: &Finding| {
        let path = crate::places::FieldPath(&finding.path);
        format!("{}:{} {path}: {}", finding.at.line, finding.at.column, finding.message)
    };
    admission.findings.iter().map(shown).collect()
}

fn fault(text: &str) -> String {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: 80\n";

#[test]
fn objects_live_in_the_namespace_default_unless_they_say() {
    assert_eq!(admitted(SERVICE).objects[0].id.to_string(), "Service default/a");
    let named = SERVICE.replace("name: a", "name: a, namespace: b");
    assert_eq!(admitted(&named).objects[0].id.to_string(), "Service b/a");
    assert_eq!(good(SERVICE).metadata().namespace.as_deref(), Some("default"));
}

#[test]
fn cluster_scoped_objects_have_no_namespace() {
    let class = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\nspec: {controllerName: portolan.dev/gateway}\n";
    assert_eq!(admitted(class).objects[0].id.to_string(), "GatewayClass c");
    let message = fault("apiVersion: v1\nkind: Namespace\nmetadata: {name: m, namespace: x}\n");
    assert_eq!(message, "3:21 metadata.namespace: objects of the kind Namespace have no namespace");
}

#[test]
fn what_the_api_server_writes_is_dropped() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, uid: u, generation: 7, creationTimestamp: 2020-01-01T00:00:00Z, resourceVersion: '1'}\nspec: {ports: [{port: 80}]}\nstatus: {loadBalancer: {}}\n";
    let object = good(text);
    let metadata = object.metadata();
    assert_eq!((metadata.generation, &metadata.uid, &metadata.creation_timestamp), (Some(1), &None, &None));
    let Object::Service(service) = object else { panic!() };
    assert_eq!(service.status, None);
}

#[test]
fn schemas_fill_in_defaults() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{name: g}], rules: [{backendRefs: [{name: s, port: 80}]}]}\n";
    let Object::HTTPRoute(route) = good(route) else { panic!() };
    assert_eq!(route.spec.rules[0].matches.len(), 1);
}

#[test]
fn schemas_refuse_unknown_fields_and_bad_values_at_their_line() {
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n  parentRef: []\n  rules:\n  - timeouts:\n      request: soon\n";
    let found = faults(route);
    assert!(found.iter().any(|fault| fault.starts_with("5:3 spec.parentRef: Unknown field")), "{found:?}");
    assert!(
        found.iter().any(|fault| fault.starts_with("8:7 spec.rules[0].timeouts.request: Invalid value")),
        "{found:?}"
    );
}

#[test]
fn kubernetes_own_kinds_refuse_unknown_fields_and_wrong_types() {
    assert_eq!(fault(&SERVICE.replace("port: 80", "port: 80\n    prot: TCP")), "7:5 spec.ports[0].prot: unknown field");
    assert_eq!(
        fault(&SERVICE.replace("80", "many")),
        "6:5 spec.ports[0].port: invalid type: string \"many\", expected i32"
    );
    assert_eq!(
        fault(&SERVICE.replace("{name: a}", "{name: a, labels: {x: 1}}")),
        "3:30 metadata.labels.x: invalid type: integer `1`, expected a string"
    );
    assert!(fault(&SERVICE.replace("{name: a}", "{name: A}")).starts_with("3:12 metadata.name: \"A\" is no DNS label"));
    assert!(
        fault(&SERVICE.replace("{name: a}", "{name: a, labels: {x: a b}}")).starts_with("3:30 metadata.labels.x: ")
    );
    assert!(
        fault(&SERVICE.replace("{name: a}", "{name: a, annotations: {'a b': x}}"))
            .starts_with("3:35 metadata.annotations[a b]: ")
    );
}

#[test]
fn booleans_by_accident_are_explained() {
    let message = fault(&SERVICE.replace("{name: a}", "{name: a, labels: {x: no}}"));
    assert!(
        message.ends_with("expected a string (yes, no, on, off, y and n are booleans unless they are quoted)"),
        "{message}"
    );
    let route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{name: on}]}\n";
    let found = faults(route);
    assert!(
        found[0].starts_with("4:22 spec.parentRefs[0].name: Invalid value: true")
            && found[0].contains("unless they are quoted"),
        "{found:?}"
    );
}

#[test]
fn ports_that_are_none_are_refused() {
    assert!(fault(&SERVICE.replace("80", "0")).contains("0 is no port"));
    assert!(fault(&SERVICE.replace("- port: 80", "- name: x")).contains("0 is no port"));
    assert!(
        fault(&SERVICE.replace("- port: 80", "- {port: 80, name: a}\n  - port: 81"))
            .starts_with("7:5 spec.ports[1].name: required")
    );
    assert!(fault(&SERVICE.replace("port: 80", "{port: 80, protocol: QUIC}")).contains("\"QUIC\" is none of TCP"));
    assert!(fault("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n").contains("spec.ports: required"));
}

#[test]
fn endpoint_slices_hold_addresses_of_their_type() {
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: a}\naddressType: IPv4\nendpoints:\n- addresses: [127.0.0.1]\nports: [{port: 80}]\n";
    good(slice);
    assert!(fault(&slice.replace("127.0.0.1", "'::1'")).starts_with("6:3 endpoints[0].addresses: must be addresses"));
    assert!(fault(&slice.replace("IPv4", "IP")).contains("addressType: must be IPv4"));
    assert!(fault(&slice.replace("80", "70000")).starts_with("7:10 ports[0].port: "));
}

#[test]
fn string_data_becomes_data_and_wins() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: YQ==, b: YQ==}\nstringData: {b: plain}\n";
    let Object::Secret(secret) = good(text) else { panic!() };
    let data = secret.data.as_ref().unwrap();
    assert_eq!((&data["a"].0[..], &data["b"].0[..]), (&b"a"[..], &b"plain"[..]));
    assert_eq!(secret.string_data, None);
}

#[test]
fn what_is_no_base64_is_named() {
    let message = fault("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  tls.key: not base64\n");
    assert!(
        message.starts_with("5:3 data[tls.key]: is no base64 (")
            && message.ends_with("plain text goes into stringData"),
        "{message}"
    );
    let message = fault("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\nbinaryData: {m: '*'}\n");
    assert!(message.starts_with("4:14 binaryData.m: is no base64 ("), "{message}");
}

#[test]
fn module_files_are_relative_to_the_manifest() {
    let text = "apiVersion: portolan.dev/v1alpha1\nkind: WasmFilter\nmetadata: {name: f}\nspec: {module: {file: wasm/f.wasm}}\n";
    let Object::WasmFilter(filter) = good(text) else { panic!() };
    assert_eq!(filter.spec.module.file.as_deref(), Some("/manifests/wasm/f.wasm"));
    let Object::WasmFilter(filter) = good(&text.replace("wasm/", "/else/")) else { panic!() };
    assert_eq!(filter.spec.module.file.as_deref(), Some("/else/f.wasm"));
}

#[test]
fn foreign_kinds_are_noted() {
    for text in [
        "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: c}\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\n",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: c}\n",
        "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: c}\n",
    ] {
        let admission = admitted(text);
        assert!(admission.findings.is_empty() && admission.objects.is_empty(), "{admission:?}");
        assert_eq!(admission.notes.len(), 1);
        assert!(admission.notes[0].1.contains("of no kind that Portolan reads"), "{admission:?}");
    }
}

#[test]
fn unknown_kinds_of_known_groups_are_refused_with_those_that_there_are() {
    let message = fault("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoutes\nmetadata: {name: c}\n");
    assert!(
        message.starts_with("2:1 kind: there is no kind HTTPRoutes") && message.contains("did you mean HTTPRoute?"),
        "{message}"
    );
    assert!(message.contains("GRPCRoute, TLSRoute"), "{message}");
    assert!(fault("apiVersion: portolan.dev/v1alpha1\nkind: wasmfilter\n").contains("did you mean WasmFilter?"));
    assert!(fault("apiVersion: v1\nkind: Servce\n").contains("there is no kind Servce in v1"));
    assert!(fault("apiVersion: v1\nkind: HTTPRoute\n").contains("use gateway.networking.k8s.io/v1"));
    assert!(fault("apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackend\n").contains("not supported yet"));
}

#[test]
fn versions_that_are_not_served_are_refused_with_those_that_are() {
    let message = fault("apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: HTTPRoute\nmetadata: {name: r}\n");
    assert!(
        message.starts_with("1:1 apiVersion: ") && message.contains("use gateway.networking.k8s.io/v1"),
        "{message}"
    );
    assert!(fault("apiVersion: apps/v1beta1\nkind: Deployment\n").contains("use apps/v1"));
    let route = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: HTTPRoute\nmetadata: {name: r}\nspec: {}\n";
    assert_eq!(good(route).kind(), Kind::HTTPRoute);
}

#[test]
fn documents_that_are_no_objects_are_refused() {
    assert!(fault("- a\n").contains("a Kubernetes object is expected"));
    assert!(fault("just text\n").contains("a Kubernetes object is expected"));
    assert!(fault("kind: Service\n").starts_with("1:1 apiVersion: required"));
    assert!(fault("apiVersion: v1\nkind: [Service]\n").starts_with("2:1 kind: must be a text"));
    assert!(fault("apiVersion: v1\nkind: Service\n").starts_with("1:1 metadata.name: required"));
    assert!(
        fault("apiVersion: v1\nkind: Service\nmetadata: {generateName: a-}\n")
            .contains("generateName serves for creation alone")
    );
    assert!(fault("apiVersion: v1\nkind: Service\nmetadata: x\n").starts_with("3:1 metadata: must be a mapping"));
    assert!(
        fault("apiVersion: v1\nkind: Service\nmetadata: {name: 1}\n").starts_with("3:12 metadata.name: must be a text")
    );
}

#[test]
fn lists_are_expanded() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n- apiVersion: v1\n  kind: List\n  items:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n- nonsense: true\n";
    let admission = admitted(list);
    let names: Vec<String> = admission.objects.iter().map(|admitted| admitted.id.to_string()).collect();
    assert_eq!(names, ["ConfigMap default/a", "ConfigMap default/b"]);
    assert_eq!(admission.objects[1].at.line, 10);
    assert_eq!(admission.findings.len(), 1);
    assert_eq!(admission.findings[0].at.line, 11);
    let typed = "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: a}\n";
    assert_eq!(admitted(typed).objects[0].id.to_string(), "ConfigMap default/a");
    let nested = "{apiVersion: v1, kind: List, items: [".repeat(6) + &"]}".repeat(6);
    assert!(fault(&nested).contains("lists in each other"));
}

#[test]
fn many_faults_of_one_object_are_cut_short() {
    let fields: String = (0..200).map(|n| format!("  f{n}: 1\n")).collect();
    let found = faults(&format!("{SERVICE}{fields}"));
    assert_eq!(found.len(), FAULTS_MAX + 1);
    assert!(found.last().unwrap().contains("150 more problems"), "{found:?}");
}

#[test]
fn many_faults_of_one_document_are_cut_short() {
    let items = "- {}\n".repeat(FINDINGS_MAX + 10);
    let found = faults(&format!("apiVersion: v1\nkind: List\nitems:\n{items}"));
    assert_eq!(found.len(), FINDINGS_MAX + 1);
    assert!(found.last().unwrap().contains("10 more problems and notes"), "{found:?}");
}

#[test]
fn a_good_object_is_shared_and_not_copied() {
    let Object::Service(service) = good(SERVICE) else { panic!() };
    assert_eq!(Arc::strong_count(&service), 1);
}

/// One of each way through admission, to be mutated.
const MANIFESTS: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, labels: {a: b}}\nspec:\n  rules:\n  - matches: [{path: {type: Exact, value: /a}}]\n    backendRefs: [{name: s, port: 80}]\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a: YQ==}, stringData: {b: c}}\n- {apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}\n---\napiVersion: portolan.dev/v1alpha1\nkind: WasmFilter\nmetadata: {name: f}\nspec: {module: {file: f.wasm}}\n";

proptest::proptest! {
    #[test]
    fn mutated_manifests_never_panic(edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), "[-:{}\\[\\], \n\"a0.]", 0..3_u8), 1..6)) {
        let mut text = MANIFESTS.to_owned();
        for (index, inserted, operation) in edits {
            let at = index.index(text.len());
            match operation {
                0 => text.replace_range(at..=at, &inserted),
                1 => text.insert_str(at, &inserted),
                _ => text.replace_range(at..=at, ""),
            }
        }
        for chunk in crate::yaml::split(&text) {
            for (value, places) in parse_chunk(chunk.text).0 {
                let _ = admit(value, &places, Path::new("/manifests"));
            }
        }
    }
}
