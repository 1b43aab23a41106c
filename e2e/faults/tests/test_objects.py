"""Objects that are wrong, changed by others, or gone."""

import base64
import ssl
import subprocess
import tempfile
from pathlib import Path

from harness.kube import Kube, until
from harness.world import World, gateway, gateway_config, route, status_of

OWN = "app.kubernetes.io/managed-by=portolan"


def certificate(name: str) -> tuple[str, str]:
    """A self-signed certificate and its key, in PEM."""
    with tempfile.TemporaryDirectory() as scratch:
        cert, key = Path(scratch) / "crt", Path(scratch) / "key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-days", "30", "-keyout", key,
                        "-out", cert], check=True, capture_output=True)
        return cert.read_text(), key.read_text()


def secret(name: str, cert: str, key: str) -> str:
    def data(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    return f"""\
---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
type: kubernetes.io/tls
data: {{tls.crt: {data(cert)}, tls.key: {data(key)}}}
"""


def grant(namespace: str) -> str:
    """Lets Gateways of a namespace refer to the Secrets of the one that it is applied to."""
    return f"""\
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: far}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: Gateway, namespace: {namespace}}}]
  to: [{{group: "", kind: Secret}}]
"""


class Objects(World):
    namespace = "faults-objects"

    def test_a_class_of_somebody_else_is_left_alone(self):
        self.kube.apply("""\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: faults-foreign}
spec: {controllerName: example.com/other}
""" + gateway("foreign", gateway_class="faults-foreign"))
        self.addCleanup(self.kube.delete, "gatewayclass/faults-foreign")
        self.kube.apply(gateway("after"))
        self.kube.wait_for_condition("gateway", "after", "Accepted", "True")
        self.assertEqual(self.kube.condition("gateway", "foreign", "Accepted")[1], "Pending", "nobody wrote its status")
        self.assertIsNone(self.kube.get("deployment", "foreign-faults-foreign"))
        self.kube.delete("gateway/foreign", "gateway/after")

    def test_parameters_that_do_not_exist_are_refused_and_what_runs_goes_on(self):
        self.kube.apply(gateway("web", configured_by="nothing"))
        self.addCleanup(self.kube.apply, gateway("web"))
        reason, message = self.kube.wait_for_condition("gateway", "web", "Accepted", "False")
        self.assertEqual(reason, "InvalidParameters")
        self.assertIn("GatewayConfig faults-objects/nothing does not exist", message)
        self.assertIsNotNone(self.kube.get("deployment", "web-portolan"), "what runs is left as it is")
        self.kube.apply(gateway_config("nothing", "{replicas: 1, logLevel: Debug}"))
        self.kube.wait_for_condition("gateway", "web", "Accepted", "True")
        until("one replica", lambda: self.kube.get("deployment", "web-portolan")["spec"]["replicas"] == 1)

    def test_what_the_api_server_refuses_is_said_of_the_gateway_and_told_as_an_event(self):
        too_much = "{resources: {requests: {cpu: 20m}, limits: {cpu: 10m}}}"
        self.kube.apply(gateway_config("wrong", too_much) + gateway("wrong", configured_by="wrong"))
        self.addCleanup(self.kube.delete, "gateway/wrong")
        refused = lambda: self.kube.condition("gateway", "wrong", "Programmed")[1] == "Invalid"
        until("the condition", refused, tell=lambda: str(self.kube.condition("gateway", "wrong", "Programmed")))
        self.assertIn("Deployment faults-objects/wrong-portolan is not applied",
                      self.kube.condition("gateway", "wrong", "Programmed")[2])

        def told() -> list[dict]:
            return [one for one in self.kube.list("events.events.k8s.io")
                    if one["regarding"]["name"] == "wrong" and one["reason"] == "Invalid" and one["type"] == "Warning"]

        event = until("the event", told)[0]
        self.assertIn("is not applied", event["note"])
        self.kube.apply(gateway_config("wrong", "{resources: {requests: {cpu: 10m}}}"))
        self.kube.wait_for_condition("gateway", "wrong", "Programmed", "True", 60)

    def test_a_gateway_without_a_load_balancer_is_at_its_services_addresses(self):
        for kind in ("ClusterIP", "NodePort"):
            with self.subTest(kind):
                name = kind.lower()
                config = f"{{replicas: 1, resources: {{requests: {{cpu: 10m}}}}, service: {{type: {kind}}}}}"
                self.kube.apply(gateway_config(name, config) + gateway(name, configured_by=name))
                self.addCleanup(self.kube.delete, f"gateway/{name}")
                self.kube.address(name, 60)
                own = self.kube.get("service", f"{name}-portolan")["spec"]["clusterIPs"]
                told = [one["value"] for one in self.kube.get("gateway", name)["status"]["addresses"]]
                self.assertEqual(sorted(told), sorted(own))

    def test_an_address_that_cannot_be_had_is_waited_for_and_then_refused(self):
        self.kube.apply("""\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: nowhere}
spec:
  gatewayClassName: portolan
  addresses: [{value: 172.30.0.250}]
  listeners: [{name: http, port: 80, protocol: HTTP}]
""")
        self.addCleanup(self.kube.delete, "gateway/nowhere")

        def reason() -> str:
            return self.kube.condition("gateway", "nowhere", "Programmed")[1]

        seen = set()
        until("it is refused", lambda: seen.add(reason()) or "AddressNotUsable" in seen, 90, lambda: str(seen))
        self.assertIn("AddressNotAssigned", seen, "it was waited for first")

    def test_a_secret_replaced_by_rubbish_leaves_the_old_certificate_in_service(self):
        cert, key = certificate("tls.example")
        listeners = "[{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: tls}]}}]"
        self.kube.apply(secret("tls", cert, key) + gateway("tls", listeners) + route("tls", "tls", "echo"))
        self.addCleanup(self.kube.delete, "gateway/tls")
        address = self.kube.address("tls", 60)
        served = lambda: ssl.get_server_certificate((address, 443), timeout=5)
        until("the certificate", lambda: served().strip() == cert.strip())
        self.kube.apply(secret("tls", "rubbish", "rubbish"))

        def listener() -> tuple[str, str]:
            conditions = self.kube.get("gateway", "tls")["status"]["listeners"][0]["conditions"]
            return next((one["reason"], one["message"]) for one in conditions if one["type"] == "ResolvedRefs")

        until("the condition", lambda: listener()[0] == "InvalidCertificateRef", tell=lambda: str(listener()))
        self.assertIn("served on", listener()[1])
        self.assertEqual(served().strip(), cert.strip())
        other, other_key = certificate("other.example")
        self.kube.apply(secret("tls", other, other_key))
        until("the new certificate", lambda: served().strip() == other.strip())

    def test_what_others_change_or_delete_is_put_right(self):
        self.kube.run("scale", "deployment/web-portolan", "--replicas=0")
        until("its replicas", lambda: self.kube.get("deployment", "web-portolan")["spec"]["replicas"] in (1, 2))
        self.kube.delete("service/web-portolan", "poddisruptionbudget/web-portolan", "serviceaccount/web-portolan")
        for kind in ("service", "poddisruptionbudget", "serviceaccount"):
            until(kind, lambda kind=kind: self.kube.get(kind, "web-portolan"))
        address = self.kube.address("web")
        until("an answer", lambda: status_of(address) == 200)

    def test_nothing_is_left_of_a_gateway_that_is_deleted(self):
        elsewhere = Kube(self.cluster, "faults-objects-secrets")
        elsewhere.run("create", "namespace", elsewhere.namespace)
        self.addCleanup(elsewhere.delete, "namespace", elsewhere.namespace, "--wait=false")
        cert, key = certificate("far.example")
        elsewhere.apply(secret("far", cert, key) + grant(self.namespace))
        refs = f"[{{name: far, namespace: {elsewhere.namespace}}}]"
        listeners = f"[{{name: https, port: 443, protocol: HTTPS, tls: {{certificateRefs: {refs}}}}}]"
        self.kube.apply(gateway("far", listeners))
        self.kube.address("far", 60)
        self.assertEqual(len(elsewhere.list("roles", "--selector", OWN)), 1)
        self.kube.delete("gateway/far")
        until("its Roles elsewhere are gone", lambda: not elsewhere.list("roles,rolebindings", "--selector", OWN))
        kinds = "deployments,services,serviceaccounts,roles,rolebindings,poddisruptionbudgets,pods,endpointslices"
        label = "gateway.networking.k8s.io/gateway-name=far"
        until("nothing is left", lambda: not self.kube.list(kinds, "--selector", label), 60)
        subjects = self.kube.get("clusterrolebinding", "portolan-gateway").get("subjects", [])
        self.assertNotIn("far-portolan", [one["name"] for one in subjects])
