//! Routes whose parent is a Service (GAMMA): by its address and port, for clients of its namespace or of their own.

use crate::support::{Dev, manifests::*};

/// An HTTPRoute of the Service `shop` that sends everything to `backend`, and says so in `x-route`.
fn of_service(name: &str, parent: &str, backend: &str) -> String {
    let short = name.replace('/', "-");
    let spec = format!(
        "parentRefs: [{{group: \"\", kind: Service, name: shop, namespace: default{parent}}}]
rules:
- filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-route, value: {short}}}]}}}}]
  matches: [{{path: {{type: PathPrefix, value: /ok}}}}]
  backendRefs: [{{name: {backend}, namespace: default, port: 8080}}]"
    );
    route("HTTPRoute", name, &spec)
}

fn shop_and_other() -> Vec<String> {
    vec![echo("shop"), echo("other")]
}

#[tokio::test]
async fn a_service_without_routes_forwards_to_its_pods() {
    let dev = Dev::start(shop_and_other()).await;
    assert_eq!(dev.ask("http://shop:8080/any").send().await.pod(), "shop-0");
    let tcp = dev.ask("tcp://shop:8080").body("WHO\n").send().await;
    assert_eq!(tcp.pod(), "shop-0", "bytes of any kind pass");
}

#[tokio::test]
async fn a_route_replaces_the_forwarding_of_its_service() {
    let mut documents = shop_and_other();
    documents.push(of_service("producer", "", "other"));
    let dev = Dev::start(documents).await;
    let reply = dev.ask("http://shop:8080/ok").send().await;
    assert_eq!((reply.pod().as_str(), reply.header("x-route")), ("other-0", Some("producer")));
    assert_eq!(dev.ask("http://shop:8080/elsewhere").status().await, 404, "no rule matches");
    let named_otherwise = dev.ask("http://shop:8080/ok").header("host", "other").send().await;
    assert_eq!(named_otherwise.header("x-route"), Some("producer"), "the address decides, not the Host");
    assert_eq!(dev.ask("http://other:8080/ok").send().await.header("x-route"), None, "one level of routes, not two");
}

#[tokio::test]
async fn a_route_of_one_port_leaves_the_others_alone() {
    let ports = "- {name: first, port: 8080}\n- {name: second, port: 8081, targetPort: 8080}";
    for parent in [", port: 8080", ", sectionName: first", ", port: 8080, sectionName: first"] {
        let documents = [echo_with("shop", 1, ports), echo("other"), of_service("producer", parent, "other")];
        let dev = Dev::start(documents).await;
        assert_eq!(dev.ask("http://shop:8080/ok").send().await.pod(), "other-0", "{parent}");
        assert_eq!(dev.ask("http://shop:8081/ok").send().await.pod(), "shop-0", "{parent}");
    }
}

#[tokio::test]
async fn a_consumer_route_is_for_clients_of_its_own_namespace_alone() {
    let mut documents = shop_and_other();
    documents.push(echo("third"));
    documents.push(of_service("producer", "", "other"));
    documents.push(of_service("buyer/consumer", "", "third"));
    let dev = Dev::start(documents).await;
    let seen = async |namespace: &str| {
        let reply = dev.ask("http://shop.default:8080/ok").from(namespace).send().await;
        (reply.header("x-route").map(str::to_owned), reply.pod())
    };
    assert_eq!(seen("buyer").await, (Some("buyer-consumer".to_owned()), "third-0".to_owned()));
    assert_eq!(seen("default").await, (Some("producer".to_owned()), "other-0".to_owned()));
    let unknown = dev.ask("http://shop.default:8080/ok").send().await;
    assert_eq!(unknown.header("x-route"), Some("producer"), "any other address counts as namespace default");
}

#[tokio::test]
async fn grpc_and_tcp_routes_attach_to_services() {
    let parent = |name: &str| format!("parentRefs: [{{group: \"\", kind: Service, name: {name}}}]\n");
    let rule = "rules: [{backendRefs: [{name: other, port: 8080}]}]";
    let dev = Dev::start([
        echo("calls"),
        echo("bytes"),
        echo("other"),
        route("GRPCRoute", "calls", &(parent("calls") + rule)),
        route("TCPRoute", "bytes", &(parent("bytes") + rule)),
    ])
    .await;
    let call = dev.ask("http://calls:8080/").grpc("portolan.echo.v1.Echo/Echo").body("x").send().await;
    assert_eq!(call.pod(), "other-0");
    assert_eq!(dev.ask("tcp://bytes:8080").body("WHO\n").send().await.pod(), "other-0");
}

#[tokio::test]
async fn a_gateway_uses_its_own_routes_and_not_those_of_the_service() {
    let mut documents = shop_and_other();
    documents.push(web());
    documents.push(one_rule("north", "backendRefs: [{name: shop, port: 8080}]"));
    documents.push(of_service("producer", "", "other"));
    let dev = Dev::start(documents).await;
    assert_eq!(dev.ask("http://a.test:8080/ok").send().await.pod(), "shop-0");
}

#[tokio::test]
async fn a_cluster_ip_on_loopback_is_the_services_address() {
    let address = unused_address();
    let service = object(
        "v1",
        "Service",
        "shop",
        &format!("spec: {{clusterIP: {address}, selector: {{app: shop}}, ports: [{{port: 8080}}]}}"),
    );
    let dev = Dev::start([deployment("shop", 1), service]).await;
    let reply = dev.ask("http://shop:8080/").send().await;
    assert_eq!((reply.pod().as_str(), reply.0.link.peer.ip().to_string()), ("shop-0", address.to_string()));
}
