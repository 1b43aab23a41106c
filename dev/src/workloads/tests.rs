//! Tests of plans and slices, from manifests as users write them.

use super::*;
use crate::echo::EchoProtocol::{Auto, Http, Udp};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

#[derive(Default)]
struct Manifests {
    deployments: Vec<Deployment>,
    stateful_sets: Vec<StatefulSet>,
    daemon_sets: Vec<DaemonSet>,
    pods: Vec<Pod>,
    services: Vec<Service>,
}

impl Manifests {
    fn of(objects: &[Value]) -> Self {
        let mut manifests = Self::default();
        for object in objects {
            let object = object.clone();
            match object["kind"].clone().as_str().unwrap() {
                "Deployment" => manifests.deployments.push(serde_json::from_value(object).unwrap()),
                "StatefulSet" => manifests.stateful_sets.push(serde_json::from_value(object).unwrap()),
                "DaemonSet" => manifests.daemon_sets.push(serde_json::from_value(object).unwrap()),
                "Pod" => manifests.pods.push(serde_json::from_value(object).unwrap()),
                _ => manifests.services.push(serde_json::from_value(object).unwrap()),
            }
        }
        manifests
    }

    fn plan(&self) -> Plan {
        plan(&Workloads {
            deployments: self.deployments.iter().collect(),
            stateful_sets: self.stateful_sets.iter().collect(),
            daemon_sets: self.daemon_sets.iter().collect(),
            pods: self.pods.iter().collect(),
            services: self.services.iter().collect(),
        })
    }
}

fn template(app: &str, ports: Value) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "ports": ports}]}})
}

fn workload(kind: &str, name: &str, template: Value, more: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {}}, "template": template, "serviceName": name});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn service(name: &str, selector: Value, ports: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": selector, "ports": ports}})
}

fn names(plan: &Plan) -> Vec<String> {
    plan.pods.iter().map(|pod| pod.name.to_string()).collect()
}

fn notes(plan: &Plan) -> Vec<String> {
    plan.notes.iter().map(ToString::to_string).collect()
}

#[test]
fn every_kind_of_workload_gives_numbered_pods() {
    let ports = json!([{"containerPort": 80}]);
    let plan = Manifests::of(&[
        workload("Deployment", "web", template("web", ports.clone()), json!({"replicas": 2})),
        workload("Deployment", "none", template("none", ports.clone()), json!({"replicas": 0})),
        workload("StatefulSet", "db", template("db", ports.clone()), json!({"replicas": 2, "ordinals": {"start": 5}})),
        workload("DaemonSet", "agent", template("agent", ports.clone()), json!({})),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": "other"}, "spec": {"containers": []}}),
    ])
    .plan();
    assert_eq!(
        names(&plan),
        ["default/agent-0", "default/db-5", "default/db-6", "default/web-0", "default/web-1", "other/one"]
    );
    assert!(plan.notes.is_empty());
}

#[test]
fn services_unite_their_ports_on_the_pods_that_they_select() {
    let container =
        json!([{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]);
    let plan = Manifests::of(&[
        workload("Deployment", "web", template("web", container), json!({})),
        service(
            "by-name",
            json!({"app": "web"}),
            json!([{"name": "a", "port": 80, "targetPort": "http", "appProtocol": "kubernetes.io/h2c"}]),
        ),
        service("by-number", json!({"app": "web"}), json!([{"port": 80, "targetPort": 9090}])),
        service("dns", json!({"app": "web"}), json!([{"port": 53, "targetPort": "dns", "protocol": "UDP"}])),
        service("same", json!({"app": "web"}), json!([{"port": 8080}])),
    ])
    .plan();
    assert!(plan.notes.is_empty(), "{:?}", notes(&plan));
    let pod = &plan.pods[0];
    assert_eq!(pod.services(), ["by-name", "by-number", "dns", "same"]);
    let ports: Vec<_> = pod.ports.iter().map(|port| (port.key, port.protocol)).collect();
    assert_eq!(ports, [(PortKey::tcp(8080), Http), (PortKey::udp(53), Udp), (PortKey::tcp(9090), Auto)]);
    assert_eq!(pod.memberships[3].ports[0].target, PortKey::tcp(8080));
    assert_eq!(pod.host_names()[..3], ["by-name.default", "by-name.default.svc", "by-name.default.svc.cluster.local"]);
}

#[test]
fn selectors_are_exact_and_keep_to_their_namespace() {
    let mut elsewhere = service("elsewhere", json!({"app": "web"}), json!([{"port": 80}]));
    elsewhere["metadata"]["namespace"] = json!("other");
    let mut external = service("external", json!({"app": "web"}), json!([{"port": 80}]));
    external["spec"]["type"] = json!("ExternalName");
    let plan = Manifests::of(&[
        workload("Deployment", "web", template("web", json!([])), json!({})),
        service("more", json!({"app": "web", "tier": "front"}), json!([{"port": 80}])),
        service("everything", json!({}), json!([{"port": 80}])),
        elsewhere,
        external,
    ])
    .plan();
    assert!(plan.pods[0].memberships.is_empty());
    assert_eq!(
        notes(&plan),
        [
            "Service default/more: spec.selector: selects no pod, so it has no endpoint",
            "Service other/elsewhere: spec.selector: selects no pod, so it has no endpoint",
        ]
    );
}

#[test]
fn what_cannot_be_played_is_noted_with_its_field() {
    let ports = json!([{"containerPort": 70000}, {"containerPort": 80, "protocol": "SCTP"}]);
    let plan = Manifests::of(&[
        workload("Deployment", "web", template("web", ports), json!({"replicas": 101})),
        workload("StatefulSet", "web", template("web", json!([])), json!({})),
        service(
            "web",
            json!({"app": "web"}),
            json!([{"port": 1, "targetPort": "http"}, {"port": 2, "protocol": "SCTP"}]),
        ),
    ])
    .plan();
    assert_eq!(plan.pods.len(), 100);
    let notes = notes(&plan);
    for expected in [
        "Deployment default/web: spec.template.spec.containers[0].ports[0].containerPort: 70000",
        "Deployment default/web: spec.template.spec.containers[0].ports[1].protocol: SCTP",
        "Deployment default/web: spec.replicas: 101 replicas are wanted, 100 are played",
        "StatefulSet default/web: metadata.name: another workload has a pod default/web-0",
        "Service default/web: spec.ports[0].targetPort: 100 of 100 pods have no port http",
        "Service default/web: spec.ports[1].protocol: SCTP",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(expected)), "{expected:?} not in {notes:#?}");
    }
    assert_eq!(notes.len(), 6, "{notes:#?}");
}

#[test]
fn services_that_contradict_each_other_are_noted_and_the_first_wins() {
    let ports = |protocol: &str| json!([{"port": 80, "appProtocol": protocol}]);
    let plan = Manifests::of(&[
        workload("Deployment", "web", template("web", json!([])), json!({})),
        service("a", json!({"app": "web"}), json!([{"port": 80}])),
        service("b", json!({"app": "web"}), ports("http")),
        service("c", json!({"app": "web"}), ports("tcp")),
        service("d", json!({"app": "web"}), ports("https")),
    ])
    .plan();
    assert_eq!(plan.pods[0].ports[0].protocol, Http);
    let expected = "Service default/c: spec.ports: pod default/web-0 speaks what Service b says on port 80/TCP";
    assert_eq!(notes(&plan), [expected]);
}

#[test]
fn a_dev_command_comes_with_the_variables_that_have_values() {
    let mut pod = template("web", json!([{"containerPort": 80}]));
    pod["metadata"]["annotations"] = json!({DEV_COMMAND: "npm start"});
    pod["spec"]["containers"][0]["env"] = json!([
        {"name": "A", "value": "1"}, {"name": "B"},
        {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]);
    pod["spec"]["containers"][0]["envFrom"] = json!([{"configMapRef": {"name": "x"}}]);
    let plan = Manifests::of(&[workload("Deployment", "web", pod, json!({}))]).plan();
    let env = vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), String::new())];
    assert_eq!(plan.pods[0].player, Player::Command { command: "npm start".into(), env });
    let notes = notes(&plan);
    assert!(notes[0].contains("env[2].valueFrom: C is not set") && notes[1].contains("envFrom"), "{notes:?}");
}

#[test]
fn slices_carry_real_ports_names_and_conditions() {
    let mut early = service("early", json!({"app": "web"}), json!([{"port": 80, "targetPort": 8080}]));
    early["spec"]["publishNotReadyAddresses"] = json!(true);
    let ports = json!([
        {"name": "http", "port": 80, "targetPort": 8080, "appProtocol": "http"},
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "later", "port": 81},
    ]);
    let plan = Manifests::of(&[
        workload("Deployment", "web", template("web", json!([])), json!({})),
        early,
        service("web", json!({"app": "web"}), ports),
    ])
    .plan();
    let ports = BTreeMap::from([(PortKey::tcp(8080), 40001), (PortKey::udp(53), 40002)]);
    let made = |condition| {
        let played = PlayedPod { address: Ipv4Addr::new(127, 9, 9, 9).into(), ports: ports.clone(), condition };
        serde_json::to_value(slices(&plan.pods[0], &played)).unwrap()
    };
    let ready = made(PodCondition::Ready);
    assert_eq!(ready[1]["metadata"]["name"], "web.web-0");
    assert_eq!(ready[1]["metadata"]["labels"]["kubernetes.io/service-name"], "web");
    assert_eq!(ready[1]["addressType"], "IPv4");
    assert_eq!(
        ready[1]["ports"],
        json!([
            {"appProtocol": "http", "name": "http", "port": 40001, "protocol": "TCP"},
            {"name": "dns", "port": 40002, "protocol": "UDP"},
        ])
    );
    assert_eq!(ready[1]["endpoints"][0]["addresses"], json!(["127.9.9.9"]));
    assert_eq!(ready[1]["endpoints"][0]["targetRef"]["name"], "web-0");
    assert_eq!(ready[0]["ports"][0]["name"], "");
    let conditions = |slices: &Value, index: usize| {
        let c = &slices[index]["endpoints"][0]["conditions"];
        ["ready", "serving", "terminating"].map(|name| c[name].as_bool().unwrap())
    };
    assert_eq!(conditions(&ready, 1), [true, true, false]);
    let starting = made(PodCondition::Starting);
    assert_eq!(conditions(&starting, 0), [true, true, false]);
    assert_eq!(conditions(&starting, 1), [false, false, false]);
    let terminating = made(PodCondition::Terminating);
    assert_eq!(conditions(&terminating, 1), [false, true, true]);
}

#[test]
fn the_order_of_objects_does_not_matter() {
    let mut objects = vec![
        workload("Deployment", "b", template("x", json!([{"containerPort": 1}])), json!({"replicas": 2})),
        workload("Deployment", "a", template("x", json!([{"containerPort": 2}])), json!({})),
        service("s2", json!({"app": "x"}), json!([{"port": 1}])),
        service("s1", json!({"app": "x"}), json!([{"port": 2, "appProtocol": "http"}])),
    ];
    let plan = Manifests::of(&objects).plan();
    objects.reverse();
    assert_eq!(Manifests::of(&objects).plan(), plan);
}
