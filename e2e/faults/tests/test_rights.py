"""What a gateway's own token can do."""

import json

from harness import install
from harness.kube import Kube, until
from harness.world import World, gateway
from test_objects import certificate, secret

MODULE = """
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hidden}
---
apiVersion: portolan.dev/v1alpha1
kind: WasmFilter
metadata: {name: hidden}
spec: {module: {configMap: {name: hidden, key: module.wasm}}}
"""


class Rights(World):
    namespace = "faults-rights"

    def test_a_gateway_reads_the_secrets_of_its_listeners_and_no_other(self):
        mine, other = certificate("mine.example"), certificate("other.example")
        listeners = "[{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: mine}]}}]"
        self.kube.apply(secret("mine", *mine) + secret("other", *other) + gateway("tls", listeners))
        self.kube.address("tls", 60)
        token = self.kube.run("create", "token", "tls-portolan").strip()
        own = f"/api/v1/namespaces/{self.namespace}"
        self.assertEqual(self.kube.answer_to(token, f"{own}/secrets/mine"), 200)
        self.assertEqual(self.kube.answer_to(token, "/apis/gateway.networking.k8s.io/v1/httproutes"), 200)
        for path in (f"{own}/secrets/other", f"{own}/secrets", "/api/v1/secrets", f"{own}/configmaps", f"{own}/pods",
                     "/api/v1/namespaces/portolan-system/secrets", "/apis/apps/v1/deployments"):
            self.assertEqual(self.kube.answer_to(token, path), 403, path)

    def test_a_secret_that_the_controller_may_not_read_is_said_to_be_one(self):
        values = ("upgrade", "portolan", install.CHARTS / "portolan", "--reuse-values")
        self.addCleanup(install.helm, self.cluster, *values, "--set-json", "rbac.secretNamespaces=[]")
        install.helm(self.cluster, *values, "--set-json", 'rbac.secretNamespaces=["default"]')
        listeners = ("[{name: http, port: 80, protocol: HTTP},"
                     " {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: hidden}]}}]")
        self.kube.apply(secret("hidden", *certificate("hidden.example")) + gateway("hidden", listeners) + MODULE)
        self.addCleanup(self.kube.delete, "gateway/hidden", "wasmfilter/hidden", "configmap/hidden")

        def said() -> str:
            listeners = self.kube.get("gateway", "hidden")["status"].get("listeners", [])
            conditions = [one for listener in listeners for one in listener["conditions"]]
            return "; ".join(one["message"] for one in conditions if one["type"] == "ResolvedRefs" and one["message"])

        def said_of_the_filter() -> str:
            conditions = self.kube.get("wasmfilter", "hidden").get("status", {}).get("conditions", [])
            return "; ".join(one["message"] for one in conditions)

        until("the condition", lambda: f"Secret {self.namespace}/hidden may not be read" in said(), tell=said)
        until("the filter's", lambda: f"ConfigMap {self.namespace}/hidden may not be read" in said_of_the_filter(),
              tell=said_of_the_filter)
        # The Role that it would take is refused, and nothing else suffers from it.
        self.kube.address("hidden", 60)
        install.helm(self.cluster, *values, "--set-json", "rbac.secretNamespaces=[]")
        until("the certificate is there", lambda: not said(), 60, said)
        until("the ConfigMap is seen", lambda: "may not be read" not in said_of_the_filter(), 60, said_of_the_filter)

    def test_every_pod_of_ours_runs_restricted(self):
        system = Kube(self.cluster, "portolan-system")
        label = json.dumps(system.get("namespace", "portolan-system")["metadata"]["labels"])
        self.assertIn("restricted", label)
        self.assertGreaterEqual(len(system.list("pods", "--field-selector", "status.phase=Running")), 1)
        self.kube.run("label", "namespace", self.namespace, "pod-security.kubernetes.io/enforce=restricted")
        self.kube.run("rollout", "restart", "deployment/web-portolan")
        self.kube.run("rollout", "status", "deployment/web-portolan", "--timeout", "60s")
