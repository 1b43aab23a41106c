"""What runs for a Gateway stands: a wrong object, one that is missing for a while or one of somebody else's takes
nothing away from it."""

import json
import ssl
import threading

from harness.kube import Kube, until
from harness.load import Load
from harness.world import World, gateway, gateway_config, route, status_of
from test_objects import certificate, secret

CLASS = """\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: standing}
spec: {controllerName: portolan.dev/gateway-controller}
"""


class Standing(World):
    namespace = "faults-standing"

    def deployment(self, name: str) -> dict | None:
        return self.kube.get("deployment", f"{name}-portolan")

    def test_a_class_that_is_deleted_by_mistake_ends_nothing(self):
        self.kube.apply(CLASS + gateway("classy", gateway_class="standing") + route("classy", "classy", "echo"))
        self.addCleanup(self.kube.delete, "gateway/classy", "httproute/classy", "gatewayclass/standing")
        address = self.kube.address("classy", 60)
        until("the first answer", lambda: status_of(address) == 200)
        uid = self.kube.get("deployment", "classy-standing")["metadata"]["uid"]
        with Load(address, per_second=100, clients=4) as load:
            self.kube.delete("gatewayclass/standing")
            # Another Gateway that comes and goes meanwhile shows that the controller has seen it.
            self.kube.apply(gateway("after"))
            self.kube.address("after", 60)
            self.kube.delete("gateway/after")
            self.kube.apply(route("late", "classy", "echo", path="/late"))
            self.addCleanup(self.kube.delete, "httproute/late")
            self.kube.apply(CLASS)
            self.kube.wait_for_condition("httproute", "late", "Accepted", "True")
        self.assert_all_answered(load)
        self.assertEqual(self.kube.get("deployment", "classy-standing")["metadata"]["uid"], uid)

    def test_a_configuration_that_goes_missing_ends_nothing(self):
        self.kube.apply(gateway_config("lost", "{replicas: 1}") + gateway("lost", configured_by="lost") + route("lost", "lost", "echo"))
        self.addCleanup(self.kube.delete, "gateway/lost", "httproute/lost", "gatewayconfig/lost")
        address = self.kube.address("lost", 60)
        until("the first answer", lambda: status_of(address) == 200)
        with Load(address, per_second=100, clients=4) as load:
            self.kube.delete("gatewayconfig/lost")
            self.kube.wait_for_condition("gateway", "lost", "Accepted", "False")
            self.assertEqual(self.kube.get("gateway", "lost")["status"]["addresses"][0]["value"], address)
            # What its pods watch, they may watch on.
            binding = Kube(self.cluster).get("clusterrolebinding", "portolan-gateway")
            accounts = [(one["namespace"], one["name"]) for one in binding["subjects"]]
            self.assertIn((self.namespace, "lost-portolan"), accounts)
        self.assert_all_answered(load)

    def test_another_secret_is_served_without_a_gap(self):
        pairs = {name: certificate("gap.example") for name in ("gap-a", "gap-b", "gap-c")}
        self.kube.apply("".join(secret(name, *pair) for name, pair in pairs.items()))

        def refer(to: str) -> None:
            tls = f"{{certificateRefs: [{{name: {to}}}]}}"
            self.kube.apply(gateway("gap", f"[{{name: https, port: 443, protocol: HTTPS, tls: {tls}}}]"))

        refer("gap-a")
        self.addCleanup(self.kube.delete, "gateway/gap")
        address = self.kube.address("gap", 60)
        served = lambda: ssl.get_server_certificate((address, 443), timeout=5)
        until("the first certificate", lambda: served().strip() == pairs["gap-a"][0].strip())
        failures, ended = [], threading.Event()

        def ask() -> None:
            while not ended.wait(0.02):
                try:
                    served()
                except OSError as error:
                    failures.append(str(error))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            for name in ("gap-b", "gap-c", "gap-a"):
                refer(name)
                until(f"the certificate of {name}", lambda: served().strip() == pairs[name][0].strip())
        finally:
            ended.set()
            asking.join()
        self.assertEqual(failures, [])

    def test_a_name_that_no_secret_can_have_stops_nobody(self):
        listeners = '[{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: "a,b"}]}}]'
        self.kube.apply(gateway("odd", listeners))
        self.addCleanup(self.kube.delete, "gateway/odd")

        def said() -> str:
            of_listeners = self.kube.get("gateway", "odd")["status"].get("listeners", [])
            conditions = [one for listener in of_listeners for one in listener["conditions"]]
            return "; ".join(one["message"] for one in conditions if one["type"] == "ResolvedRefs")

        until("the condition", lambda: f"Secret {self.namespace}/a,b does not exist" in said(), tell=said)
        self.kube.apply(gateway("next"))
        self.addCleanup(self.kube.delete, "gateway/next")
        self.kube.address("next", 60)

    def test_an_object_of_somebody_else_is_neither_taken_nor_deleted(self):
        self.kube.apply("""\
apiVersion: v1
kind: Service
metadata: {name: theirs-portolan}
spec: {selector: {app: theirs}, ports: [{port: 5432}]}
""")
        self.addCleanup(self.kube.delete, "service/theirs-portolan")
        self.kube.apply(gateway("theirs"))
        self.addCleanup(self.kube.delete, "gateway/theirs")
        said = lambda: str(self.kube.condition("gateway", "theirs", "Programmed"))
        until("the condition", lambda: "is not this Gateway's" in said(), tell=said)
        service = self.kube.get("service", "theirs-portolan")
        self.assertEqual([one["port"] for one in service["spec"]["ports"]], [5432])
        self.assertNotIn("ownerReferences", service["metadata"])
        self.kube.delete("service/theirs-portolan")
        self.kube.address("theirs", 60)
        # kubectl gives the Service that it makes the labels of what it is made for.
        self.kube.run("expose", "deployment/web-portolan", "--name=debug", "--port=15020", "--type=ClusterIP")
        self.addCleanup(self.kube.delete, "service/debug")
        self.kube.apply(gateway("after"))
        self.kube.address("after", 60)
        self.kube.delete("gateway/after")
        self.assertIsNotNone(self.kube.get("service", "debug"))

    def test_gateways_whose_parts_would_have_the_same_names_do_not_fight(self):
        other = CLASS.replace("standing", "standing-portolan")
        self.kube.apply(other + gateway("pair-standing") + route("pair", "pair-standing", "echo"))
        self.addCleanup(self.kube.delete, "gateway/pair-standing", "gateway/pair", "httproute/pair",
                        "gatewayclass/standing-portolan")
        address = self.kube.address("pair-standing", 60)
        self.kube.apply(gateway("pair", gateway_class="standing-portolan"))
        said = lambda: str(self.kube.condition("gateway", "pair", "Programmed"))
        until("the condition", lambda: f"the Gateway {self.namespace}/pair-standing" in said(), tell=said)
        version = self.deployment("pair-standing")["metadata"]["generation"]
        until("it answers", lambda: status_of(address) == 200)
        self.assertEqual(self.deployment("pair-standing")["metadata"]["generation"], version, "nobody changed it")

    def test_autoscaling_begins_with_the_pods_that_there_are(self):
        self.kube.apply(gateway_config("scaled", "{replicas: 3}") + gateway("scaled", configured_by="scaled"))
        self.addCleanup(self.kube.delete, "gateway/scaled", "gatewayconfig/scaled")
        self.kube.address("scaled", 60)
        replicas = lambda: self.deployment("scaled")["spec"]["replicas"]
        self.assertEqual(replicas(), 3)
        self.kube.apply(gateway_config("scaled", "{autoscaling: {minReplicas: 2, maxReplicas: 5}}"))
        until("the autoscaler", lambda: self.kube.get("hpa", "scaled-portolan"))
        until("the Deployment is applied", lambda: not self.counted_by_the_controller("scaled"))
        self.assertEqual(replicas(), 3)
        self.kube.apply(gateway_config("scaled", "{replicas: 2}"))
        until("two pods", lambda: replicas() == 2)
        until("no autoscaler", lambda: not self.kube.get("hpa", "scaled-portolan"))

    def counted_by_the_controller(self, name: str) -> bool:
        shown = self.kube.run("get", "deployment", f"{name}-portolan", "--output", "json", "--show-managed-fields")
        return any(one["manager"] == "portolan-controller" and "f:replicas" in one["fieldsV1"].get("f:spec", {})
                   for one in json.loads(shown)["metadata"]["managedFields"])

    def test_without_http3_a_service_has_no_udp_port(self):
        self.kube.apply(gateway_config("plain", "{http3: Disabled}") + gateway("plain", configured_by="plain"))
        self.addCleanup(self.kube.delete, "gateway/plain", "gatewayconfig/plain")
        self.kube.address("plain", 60)
        https = ("[{name: http, port: 80, protocol: HTTP},"
                 " {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: none}]}}]")
        self.kube.apply(gateway("plain", https, configured_by="plain"))

        def ports() -> list[tuple[int, str]]:
            service = self.kube.get("service", "plain-portolan")
            return sorted((one["port"], one["protocol"]) for one in service["spec"]["ports"])

        until("the port of HTTPS", lambda: (443, "TCP") in ports(), tell=lambda: str(ports()))
        self.assertEqual(ports(), [(80, "TCP"), (443, "TCP")])
        self.kube.apply(gateway_config("plain", "{http3: Enabled}"))
        until("the port of HTTP/3", lambda: (443, "UDP") in ports(), tell=lambda: str(ports()))
