//! GatewayConfig's CRD, which is written by hand, agrees with its types: what the types can say the CRD takes.
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use portolan_crds::{
    GatewayConfig, ObjectMeta,
    gateway_config::{
        AccessLog, Autoscaling, ExternalTrafficPolicy, GatewayConfigSpec, Http3, LogLevel, ServiceConfig, ServiceType,
        Telemetry,
    },
    schema::{Schema, lookup},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn schema() -> &'static Schema {
    lookup("portolan.dev/v1alpha1", "GatewayConfig").unwrap()
}

fn errors(spec: Value) -> Vec<String> {
    let mut object = json!({"apiVersion": "portolan.dev/v1alpha1", "kind": "GatewayConfig", "metadata": {"name": "c"}});
    object["spec"] = spec;
    schema().admit(&mut object).iter().map(ToString::to_string).collect()
}

/// Every field of every type, without `..`: a new field does not compile until it is here, and in the CRD.
#[test]
fn the_crd_has_every_field_of_the_types() {
    let limits = json!({"limits": {"cpu": 1, "memory": "64Mi"}});
    let full = GatewayConfig {
        metadata: ObjectMeta { name: Some("c".into()), ..ObjectMeta::default() },
        spec: GatewayConfigSpec {
            replicas: Some(3),
            autoscaling: Some(Autoscaling {
                min_replicas: Some(1),
                max_replicas: 2,
                target_cpu_utilization_percentage: Some(50),
            }),
            resources: Some(limits),
            node_selector: Some([("kubernetes.io/arch".to_owned(), "arm64".to_owned())].into()),
            tolerations: Some(vec![json!({"key": "edge"})]),
            affinity: Some(json!({"nodeAffinity": {}})),
            service: Some(ServiceConfig {
                kind: Some(ServiceType::LoadBalancer),
                annotations: [("a".to_owned(), "b".to_owned())].into(),
                load_balancer_class: Some("example.com/lb".to_owned()),
                external_traffic_policy: Some(ExternalTrafficPolicy::Local),
            }),
            http3: Some(Http3::Disabled),
            log_level: Some(LogLevel::Debug),
            telemetry: Some(Telemetry {
                otlp_endpoint: Some("http://collector:4317".to_owned()),
                trace_sampling_percentage: Some(10),
                access_log: Some(AccessLog::Stdout),
            }),
        },
        status: None,
    };
    let mut object = serde_json::to_value(full).unwrap();
    let errors: Vec<String> = schema().admit(&mut object).iter().map(ToString::to_string).collect();
    let both = "spec: Invalid value: \"object\": replicas and autoscaling are given, but only one may be";
    assert_eq!(errors, [both], "both at once are one too many, which is all that may be wrong");
}

#[test]
fn each_field_refuses_what_it_does_not_take() {
    for (spec, at) in [
        (json!({"replicas": -1}), "spec.replicas: "),
        (json!({"autoscaling": {}}), "spec.autoscaling.maxReplicas: "),
        (json!({"autoscaling": {"minReplicas": 0, "maxReplicas": 2}}), "spec.autoscaling.minReplicas: "),
        (json!({"autoscaling": {"maxReplicas": 0}}), "spec.autoscaling.maxReplicas: "),
        (json!({"resources": {"requests": {"cpu": "much"}}}), "spec.resources.requests.cpu: "),
        (json!({"resources": {"requests": {"cpu": -1}}}), "spec.resources.requests.cpu: "),
        (json!({"resources": {"requests": {"cpu": 0.5}}}), "spec.resources.requests.cpu: "),
        (json!({"resources": {"limits": {"memory": "-64Mi"}}}), "spec.resources.limits.memory: "),
        (json!({"service": {"type": "ExternalName"}}), "spec.service.type: "),
        (json!({"service": {"externalTrafficPolicy": "local"}}), "spec.service.externalTrafficPolicy: "),
        (json!({"service": {"loadBalancerClass": "a b"}}), "spec.service.loadBalancerClass: "),
        (json!({"nodeSelector": {"pool": "edge!"}}), "spec.nodeSelector"),
        (json!({"logLevel": "info"}), "spec.logLevel: "),
        (json!({"telemetry": {"accessLog": "stdout"}}), "spec.telemetry.accessLog: "),
        (json!({"telemetry": {"traceSamplingPercentage": 101}}), "spec.telemetry.traceSamplingPercentage: "),
    ] {
        let errors = errors(spec.clone());
        assert!(errors.iter().any(|error| error.starts_with(at)), "{spec}: {errors:#?}");
    }
    assert_eq!(errors(json!({})), Vec::<String>::new());
}

/// Each rule between fields, what is just right for it, and what breaks it and nothing else.
fn rules() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let service = |fields: Value| json!({ "service": fields });
    let endpoint = |url: &str| json!({"telemetry": {"otlpEndpoint": url}});
    let autoscaling = |min: u32, max: u32| json!({"autoscaling": {"minReplicas": min, "maxReplicas": max}});
    let scaled = |resources: Value| json!({"autoscaling": {"maxReplicas": 3}, "resources": resources});
    vec![
        (
            "spec: replicas and autoscaling are given, but only one may be",
            vec![json!({"replicas": 3}), json!({"autoscaling": {"maxReplicas": 3}})],
            vec![json!({"replicas": 3, "autoscaling": {"maxReplicas": 3}})],
        ),
        (
            "spec: autoscaling goes by the use of cpu, but resources ask for none",
            vec![
                scaled(json!({"requests": {"cpu": 1, "memory": "1e8"}})),
                scaled(json!({"limits": {"cpu": "1.5"}, "claims": [{"name": "nic"}]})),
                json!({"resources": {"requests": {"memory": "128Mi"}}}),
                json!({"autoscaling": {"maxReplicas": 3}}),
            ],
            vec![
                scaled(json!({"requests": {"memory": "128Mi"}, "limits": {"memory": "1Gi"}})),
                scaled(json!({"requests": {}})),
                scaled(json!({})),
            ],
        ),
        (
            "spec.autoscaling: minReplicas is more than maxReplicas",
            vec![autoscaling(2, 3), autoscaling(3, 3), json!({"autoscaling": {"maxReplicas": 1}})],
            vec![autoscaling(4, 3)],
        ),
        (
            "spec.service: externalTrafficPolicy is given, but nothing from outside comes to the type ClusterIP",
            vec![
                service(json!({"externalTrafficPolicy": "Local"})),
                service(json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"})),
                service(json!({"type": "NodePort", "externalTrafficPolicy": "Cluster"})),
                service(json!({"type": "ClusterIP"})),
            ],
            vec![
                service(json!({"type": "ClusterIP", "externalTrafficPolicy": "Local"})),
                service(json!({"type": "ClusterIP", "externalTrafficPolicy": "Cluster"})),
            ],
        ),
        (
            "spec.service: loadBalancerClass is given, but the type is not LoadBalancer",
            vec![
                service(json!({"loadBalancerClass": "lb"})),
                service(json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/lb"})),
                service(json!({"type": "NodePort"})),
            ],
            vec![
                service(json!({"type": "NodePort", "loadBalancerClass": "example.com/lb"})),
                service(json!({"type": "ClusterIP", "loadBalancerClass": "lb"})),
            ],
        ),
        (
            "spec.telemetry.otlpEndpoint: must be the URL of a receiver, http or https, as \
             http://collector.observability:4317",
            [
                "http://collector.observability:4317",
                "https://otlp.example.com",
                "https://otlp.example.com/",
                "http://10.0.0.1:4317",
                "http://[2001:db8::1]:4317",
            ]
            .map(endpoint)
            .into(),
            [
                "collector:4317",
                "grpc://collector:4317",
                "http://",
                "http://:4317",
                "http://a b",
                "http://user:word@collector",
                "http://collector:port",
                "see http://collector:4317",
            ]
            .map(endpoint)
            .into(),
        ),
    ]
}

#[test]
fn each_rule_takes_what_is_right_and_refuses_what_is_not() {
    common::assert_rules(rules(), errors);
}

#[test]
fn every_rule_of_the_crd_is_tried() {
    let tried: BTreeSet<String> = rules().into_iter().map(|(message, _, _)| message.to_owned()).collect();
    assert_eq!(tried, common::rules("portolan.dev_gatewayconfigs.yaml"));
}
