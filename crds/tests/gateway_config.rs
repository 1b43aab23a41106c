//! GatewayConfig's CRD, which is written by hand, agrees with its types: what the types can say the CRD takes.
#![allow(clippy::unwrap_used, reason = "a test")]

use portolan_crds::{
    GatewayConfig, ObjectMeta,
    gateway_config::{
        AccessLog, Autoscaling, ExternalTrafficPolicy, GatewayConfigSpec, LogLevel, ServiceConfig, ServiceType,
        Telemetry,
    },
    schema::{Schema, lookup},
};
use serde_json::{Value, json};

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
    let limits = json!({"limits": {"memory": "64Mi"}});
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
                kind: Some(ServiceType::NodePort),
                annotations: [("a".to_owned(), "b".to_owned())].into(),
                load_balancer_class: Some("example.com/lb".to_owned()),
                external_traffic_policy: Some(ExternalTrafficPolicy::Local),
            }),
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
fn each_rule_refuses_what_it_is_there_for() {
    for (spec, at) in [
        (json!({"replicas": -1}), "spec.replicas: "),
        (json!({"autoscaling": {}}), "spec.autoscaling.maxReplicas: "),
        (json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}), "spec.autoscaling: "),
        (json!({"service": {"type": "ExternalName"}}), "spec.service.type: "),
        (json!({"service": {"externalTrafficPolicy": "local"}}), "spec.service.externalTrafficPolicy: "),
        (json!({"logLevel": "info"}), "spec.logLevel: "),
        (json!({"telemetry": {"otlpEndpoint": "collector:4317"}}), "spec.telemetry.otlpEndpoint: "),
        (json!({"telemetry": {"traceSamplingPercentage": 101}}), "spec.telemetry.traceSamplingPercentage: "),
    ] {
        let errors = errors(spec.clone());
        assert!(errors.iter().any(|error| error.starts_with(at)), "{spec}: {errors:#?}");
    }
    assert_eq!(errors(json!({})), Vec::<String>::new());
}
