"""A user's own Wasm filter, from a ConfigMap."""

import base64
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.kube import until
from harness.load import Load
from harness.world import World, status_of

GUARD = Path(__file__).resolve().parents[3] / "filters/target/wasm32-wasip1/release/guard.wasm"


def filtered(name: str, config_map: str) -> str:
    """A filter and a route at `/NAME` that it is in."""
    return f"""\
apiVersion: portolan.dev/v1alpha1
kind: WasmFilter
metadata: {{name: {name}}}
spec: {{module: {{configMap: {{name: {config_map}, key: guard.wasm}}}}, config: {{rules: []}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{name: web}}]
  rules:
  - matches: [{{path: {{value: /{name}}}}}]
    filters: [{{type: ExtensionRef, extensionRef: {{group: portolan.dev, kind: WasmFilter, name: {name}}}}}]
    backendRefs: [{{name: echo, port: 80}}]
"""


class Filters(World):
    namespace = "faults-filters"

    def status_for(self, agent: str) -> int:
        """The status of the answer to a client that says who it is."""
        request = urllib.request.Request(f"http://{self.address}/", headers={"User-Agent": agent})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def test_a_filter_from_a_config_map_runs_and_goes_on_when_its_pods_are_new(self):
        self.kube.run("create", "configmap", "guard", f"--from-file=guard.wasm={GUARD}")
        self.kube.apply("""\
apiVersion: portolan.dev/v1alpha1
kind: WasmFilter
metadata: {name: guard}
spec:
  module: {configMap: {name: guard, key: guard.wasm}}
  config: {rules: [{name: bots, action: Deny, headers: [{name: user-agent, value: {prefix: badbot}}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: web}]
  rules:
  - filters: [{type: ExtensionRef, extensionRef: {group: portolan.dev, kind: WasmFilter, name: guard}}]
    backendRefs: [{name: echo, port: 80}]
""")
        self.kube.wait_for_condition("wasmfilter", "guard", "Programmed", "True")
        until("the filter denies", lambda: self.status_for("badbot") == 403)
        self.assertEqual(self.status_for("browser"), 200)
        self.kube.run("rollout", "restart", "deployment/web-portolan")
        self.kube.run("rollout", "status", "deployment/web-portolan", "--timeout", "60s")
        self.assertEqual((self.status_for("badbot"), self.status_for("browser")), (403, 200))

    def test_a_module_that_may_not_be_read_yet_takes_nothing_from_the_one_before(self):
        names = [f"moving-{at}" for at in range(4)]
        for name in names:
            self.kube.run("create", "configmap", name, f"--from-file=guard.wasm={GUARD}")
        self.kube.apply(filtered("moving", names[0]))
        until("the route is served", lambda: status_of(self.address, "/moving") == 200)
        with Load(self.address, path="/moving", per_second=200, clients=4) as load:
            for name in names[1:]:
                # Gateways are given the right to read each a moment after it is named.
                self.kube.apply(filtered("moving", name))
                time.sleep(2)
        self.assert_all_answered(load)

    def test_a_module_that_is_spoilt_leaves_the_one_before_running(self):
        self.kube.run("create", "configmap", "spoilt", f"--from-file=guard.wasm={GUARD}")
        self.kube.apply(filtered("spoilt", "spoilt"))
        # By both replicas, of which each connection meets one.
        until("the route is served", lambda: all(status_of(self.address, "/spoilt") == 200 for _ in range(30)))
        cut_off = base64.b64encode(GUARD.read_bytes()[:1000]).decode()
        with Load(self.address, path="/spoilt", per_second=200, clients=4) as load:
            self.kube.run("patch", "configmap", "spoilt", "--type=merge", "-p", json.dumps({"binaryData": {"guard.wasm": cut_off}}))
            self.kube.wait_for_condition("wasmfilter", "spoilt", "Programmed", "False")
            time.sleep(2)
        self.assert_all_answered(load)
        self.assertEqual(self.kube.condition("wasmfilter", "spoilt", "Programmed")[1], "ModuleNotLoaded")
        self.assertIn("the version before is run on", self.kube.run("logs", "deployment/web-portolan"))
        # Whoever forbids it is obeyed.
        pinned = {"spec": {"module": {"sha256": "0" * 64}}}
        self.kube.run("patch", "wasmfilter", "spoilt", "--type=merge", "-p", json.dumps(pinned))
        until("the filter fails", lambda: status_of(self.address, "/spoilt") == 503)

    def test_a_file_of_a_pod_is_no_module(self):
        self.kube.apply("""\
apiVersion: portolan.dev/v1alpha1
kind: WasmFilter
metadata: {name: file}
spec: {module: {file: /dev/zero}}
""")
        self.kube.wait_for_condition("wasmfilter", "file", "Programmed", "False")
        self.assertIn("no file is read in a cluster", self.kube.condition("wasmfilter", "file", "Programmed")[2])
        self.assertEqual(status_of(self.address), 200)
