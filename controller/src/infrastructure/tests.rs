//! What runs for a Gateway is what its objects say.

use super::*;
use portolan_crds::gateway_config::{Autoscaling, ExternalTrafficPolicy, ServiceConfig, ServiceType};
use portolan_translate::snapshot::Transport;
use serde_json::{Value, json};

fn settings() -> Settings {
    Settings {
        image: "portolan:1".to_owned(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_secrets: vec!["registry".to_owned()],
        cluster_role: "portolan-gateway".to_owned(),
    }
}

fn wanted(spec: &Value) -> Wanted {
    let gateway: Gateway = serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "infra", "uid": "u" }, "spec": spec,
    }))
    .expect("it is a Gateway");
    let port = |port, transport, http3| ListenerPort { port, transport, http3 };
    Wanted {
        name: ObjectName::new("infra", "web"),
        gateway: Arc::new(gateway),
        config: GatewayConfigSpec::default(),
        ports: [port(80, Transport::Tcp, false), port(443, Transport::Tcp, true), port(53, Transport::Udp, false)]
            .into(),
        references: BTreeSet::new(),
    }
}

fn plain() -> Wanted {
    wanted(&json!({ "gatewayClassName": "portolan" }))
}

fn of(wanted: &Wanted, resource: Resource) -> Vec<Value> {
    let all = manifests(wanted, &settings()).into_iter();
    all.filter(|manifest| manifest.resource == resource).map(|manifest| manifest.object).collect()
}

fn deployment(wanted: &Wanted) -> Value {
    of(wanted, Resource::Deployment).remove(0)
}

#[test]
fn everything_is_the_gateways_own_and_goes_with_it() {
    let all = manifests(&plain(), &settings());
    let kinds: Vec<_> = all.iter().map(|manifest| manifest.resource).collect();
    use Resource::*;
    assert_eq!(kinds, [ServiceAccount, Service, Deployment, PodDisruptionBudget]);
    for manifest in &all {
        assert_eq!((manifest.namespace.as_str(), manifest.name.as_str()), ("infra", "web-portolan"));
        assert_eq!(manifest.object["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(manifest.object["metadata"]["labels"][GATEWAY_LABEL], "web");
    }
}

#[test]
fn the_image_is_pulled_by_the_secrets_that_the_controller_is_told() {
    let pod = deployment(&plain())["spec"]["template"]["spec"].clone();
    assert_eq!(pod["imagePullSecrets"], json!([{ "name": "registry" }]));
}

#[test]
fn the_service_maps_ports_that_need_a_privilege_and_has_udp_beside_https() {
    let service = of(&plain(), Resource::Service).remove(0);
    let ports = service["spec"]["ports"].as_array().expect("it has ports");
    let shown: Vec<String> =
        ports.iter().map(|port| format!("{} {}->{}", port["protocol"], port["port"], port["targetPort"])).collect();
    let expected = ["\"UDP\" 53->64053", "\"TCP\" 80->64080", "\"TCP\" 443->64443", "\"UDP\" 443->64443"];
    assert_eq!(shown, expected);
    assert_eq!(service["spec"]["type"], "LoadBalancer");
    assert_eq!(service["spec"]["ipFamilyPolicy"], "PreferDualStack");
}

#[test]
fn each_address_that_is_asked_for_has_a_service_of_its_own() {
    let addresses = json!([{ "value": "10.0.0.9" }, { "value": "fd00::9" }, { "value": "" }]);
    let services = of(&wanted(&json!({ "gatewayClassName": "portolan", "addresses": addresses })), Resource::Service);
    let shown: Vec<(Option<&str>, Option<&str>)> = services
        .iter()
        .map(|service| (service["metadata"]["name"].as_str(), service["spec"]["loadBalancerIP"].as_str()))
        .collect();
    let expected = [
        (Some("web-portolan"), None),
        (Some("web-portolan-10-0-0-9"), Some("10.0.0.9")),
        (Some("web-portolan-fd00--9"), Some("fd00::9")),
    ];
    assert_eq!(shown, expected);
    assert_eq!(services[2]["spec"]["ipFamilies"], json!(["IPv6"]));
}

#[test]
fn a_gateway_may_read_what_it_refers_to_by_name_and_nothing_else() {
    let mut wanted = plain();
    wanted.references =
        [Reference::Secret(ObjectName::new("infra", "tls")), Reference::ConfigMap(ObjectName::new("shop", "roots"))]
            .into();
    let roles = of(&wanted, Resource::Role);
    let rule = |resource: &str, name: &str| {
        json!([{ "apiGroups": [""], "resources": [resource], "resourceNames": [name],
                 "verbs": ["get", "list", "watch"] }])
    };
    assert_eq!((&roles[0]["rules"], &roles[1]["rules"]), (&rule("secrets", "tls"), &rule("configmaps", "roots")));
    let elsewhere = &roles[1]["metadata"];
    assert_eq!(
        (&elsewhere["namespace"], &elsewhere["name"]),
        (&json!("shop"), &json!(Names::of(&wanted.name, "portolan").elsewhere))
    );
    assert!(elsewhere["ownerReferences"].is_null(), "no owner can be of another namespace");
    assert_eq!(elsewhere["labels"][NAMESPACE_LABEL], "infra");
    let bindings = of(&wanted, Resource::RoleBinding);
    let account = json!([{ "kind": "ServiceAccount", "name": "web-portolan", "namespace": "infra" }]);
    assert!(bindings.iter().all(|binding| binding["subjects"] == account));
}

#[test]
fn pods_are_restricted_and_keep_full_capacity_while_they_are_replaced() {
    let spec = &deployment(&plain())["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["strategy"]["rollingUpdate"]["maxUnavailable"], 0);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(
        (&container["readOnlyRootFilesystem"], &container["allowPrivilegeEscalation"]),
        (&json!(true), &json!(false))
    );
}

#[test]
fn a_configuration_is_followed_field_by_field() {
    let mut wanted = plain();
    wanted.config = serde_json::from_value(json!({
        "replicas": 5, "resources": { "limits": { "memory": "1Gi" } }, "nodeSelector": { "pool": "edge" },
        "tolerations": [{ "key": "edge" }], "affinity": { "nodeAffinity": {} }, "logLevel": "Debug",
        "service": { "externalTrafficPolicy": "Local", "loadBalancerClass": "a/b", "annotations": { "x": "y" } },
        "telemetry": { "otlpEndpoint": "http://c:4317", "traceSamplingPercentage": 25, "accessLog": "Stdout" },
    }))
    .expect("it is a configuration");
    let spec = &deployment(&wanted)["spec"];
    let pod = &spec["template"]["spec"];
    assert_eq!(spec["replicas"], 5);
    assert_eq!(pod["nodeSelector"]["pool"], "edge");
    assert_eq!((&pod["tolerations"], &pod["affinity"]), (&json!([{ "key": "edge" }]), &json!({ "nodeAffinity": {} })));
    let container = &pod["containers"][0];
    assert_eq!(container["resources"], json!({ "limits": { "memory": "1Gi" } }));
    assert_eq!(container["env"], json!([{ "name": "PORTOLAN_LOG", "value": "debug" }]));
    let arguments = container["args"].to_string();
    for option in [r#""--otlp","http://c:4317""#, r#""--trace-ratio","0.25""#, r#""--access-log","stdout""#] {
        assert!(arguments.contains(option), "{option} in {arguments}");
    }
    let service = of(&wanted, Resource::Service).remove(0);
    assert_eq!(service["metadata"]["annotations"]["x"], "y");
    assert_eq!(
        (&service["spec"]["externalTrafficPolicy"], &service["spec"]["loadBalancerClass"]),
        (&json!("Local"), &json!("a/b"))
    );
}

#[test]
fn an_autoscaler_counts_the_pods_in_place_of_the_deployment() {
    let mut wanted = plain();
    let autoscaling = Autoscaling { min_replicas: None, max_replicas: 9, target_cpu_utilization_percentage: None };
    wanted.config.autoscaling = Some(autoscaling);
    assert!(deployment(&wanted)["spec"]["replicas"].is_null());
    let scaler = of(&wanted, Resource::HorizontalPodAutoscaler).remove(0);
    assert_eq!((&scaler["spec"]["minReplicas"], &scaler["spec"]["maxReplicas"]), (&json!(2), &json!(9)));
}

#[test]
fn behind_a_load_balancer_that_looks_for_nodes_with_a_pod_a_gateway_leaves_slowly() {
    let arguments = |wanted: &Wanted| {
        deployment(wanted)["spec"]["template"]["spec"]["containers"][0]["args"].to_string().contains("--leaving")
    };
    let mut wanted = plain();
    assert!(!arguments(&wanted));
    let policy = Some(ExternalTrafficPolicy::Local);
    wanted.config.service = Some(ServiceConfig { external_traffic_policy: policy, ..Default::default() });
    assert!(arguments(&wanted));
}

#[test]
fn no_label_of_the_users_says_that_a_part_is_another_gateways() {
    let labels = json!({ NAMESPACE_LABEL: "victim", GATEWAY_LABEL: "victim", "team": "web" });
    let wanted = wanted(&json!({ "gatewayClassName": "portolan", "infrastructure": { "labels": labels } }));
    for manifest in manifests(&wanted, &settings()) {
        assert_eq!(manifest.gateway(), ("infra".to_owned(), "web".to_owned()));
        assert_eq!(manifest.object["metadata"]["labels"]["team"], "web");
    }
}

#[test]
fn a_service_of_another_type_asks_for_no_load_balancer() {
    let mut wanted = plain();
    wanted.config.service = Some(ServiceConfig { kind: Some(ServiceType::ClusterIP), ..Default::default() });
    let service = of(&wanted, Resource::Service).remove(0);
    assert_eq!(service["spec"]["type"], "ClusterIP");
    assert!(service["spec"]["externalTrafficPolicy"].is_null());
}

#[test]
fn what_every_gateway_watches_is_granted_to_all_by_one_binding() {
    let accounts = [("infra".to_owned(), "web-portolan".to_owned())];
    let binding = cluster_binding(&accounts, &settings()).object;
    assert_eq!(binding["subjects"][0]["name"], "web-portolan");
    assert_eq!(binding["roleRef"]["name"], "portolan-gateway");
}
