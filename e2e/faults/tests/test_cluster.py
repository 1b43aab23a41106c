"""What a cluster lacks: kinds, versions, permissions."""

import json
import re

from conformance import build
from harness.kube import Kube, until
from harness.world import World, gateway, route, status_of
from test_commands import findings

UDP = "udproutes.gateway.networking.k8s.io"


class Cluster(World):
    namespace = "faults-cluster"

    def setUp(self):
        self.system = Kube(self.cluster, "portolan-system")

    def restart(self, deployment: str, kube: Kube) -> None:
        kube.run("rollout", "restart", f"deployment/{deployment}")
        kube.run("rollout", "status", f"deployment/{deployment}", "--timeout", "60s")

    def test_a_kind_that_is_missing_blocks_nothing_and_is_served_once_it_is_there(self):
        self.addCleanup(self.kube.run, "apply", "--server-side", "--kustomize", build.crds())
        self.kube.delete("crd", UDP)
        self.restart("portolan", self.system)
        self.restart("web-portolan", self.kube)
        self.assertEqual(status_of(self.address), 200)
        self.kube.apply(gateway("after"))
        self.kube.address("after", 60)
        missing = [one for one in findings(self.cluster) if UDP in one["what"]]
        self.assertEqual([one["verdict"] for one in missing], ["warning"])
        self.kube.run("apply", "--server-side", "--kustomize", build.crds())
        self.kube.apply(gateway("udp", "[{name: udp, port: 5300, protocol: UDP}]") + f"""\
---
apiVersion: gateway.networking.k8s.io/v1
kind: UDPRoute
metadata: {{name: udp}}
spec: {{parentRefs: [{{name: udp}}], rules: [{{backendRefs: [{{name: echo, port: 80}}]}}]}}
""")
        self.kube.wait_for_condition("udproute", "udp", "Accepted", "True", 60)

    def test_crds_of_another_version_are_named_and_what_was_served_is_served_on(self):
        crds = "gatewayclasses.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io"
        version = "gateway.networking.k8s.io/bundle-version"
        self.addCleanup(self.kube.run, "apply", "--server-side", "--force-conflicts", "--kustomize", build.crds())
        for crd in crds:
            self.kube.run("annotate", "crd", crd, "--overwrite", f"{version}=v1.5.1")
        reason, message = self.kube.wait_for_condition("gatewayclass", "portolan", "SupportedVersion", "False")
        self.assertEqual(reason, "UnsupportedVersion")
        self.assertIn("v1.5.1", message)
        self.assertEqual(self.kube.condition("gatewayclass", "portolan", "Accepted")[0], "True", "it is served all the same")
        # A version of a kind that is not the one that we read: the kind is as good as missing.
        name = "tlsroutes.gateway.networking.k8s.io"
        served = self.kube.get("crd", name)["spec"]["versions"]
        at = next(at for at, one in enumerate(served) if one["name"] == "v1")
        self.kube.run("patch", "crd", name, "--type", "json", "--patch",
                      json.dumps([{"op": "replace", "path": f"/spec/versions/{at}/served", "value": False}]))
        missing = until("check names it", lambda: [one for one in findings(self.cluster) if name in one["what"]])
        self.assertEqual(missing[0]["verdict"], "problem")
        self.restart("portolan", self.system)
        self.restart("web-portolan", self.kube)
        self.assertEqual(status_of(self.address), 200)
        self.kube.apply(route("new", "web", "echo", hostname="new.example"))
        until("a new route", lambda: status_of(self.address, "/", "new.example") == 200)
        self.kube.run("apply", "--server-side", "--force-conflicts", "--kustomize", build.crds())
        self.kube.wait_for_condition("gatewayclass", "portolan", "SupportedVersion", "True")

    def test_a_right_that_is_taken_away_is_named_and_what_was_served_is_served_on(self):
        role = json.loads(self.kube.run("get", "clusterrole", "portolan-gateway", "--output", "json"))
        self.addCleanup(self.kube.apply, json.dumps(plain(role)))
        without = plain(role)
        for rule in without["rules"]:
            rule["resources"] = [one for one in rule["resources"] if one != "httproutes"]
        self.kube.apply(json.dumps(without))
        # A new pod may not list routes: it does not get ready, and the old ones stay.
        self.kube.run("rollout", "restart", "deployment/web-portolan")
        label = "gateway.networking.k8s.io/gateway-name=web"

        def logs() -> str:
            return self.kube.run("logs", "--selector", label, "--tail", "-1", "--prefix")

        until("the log names it", lambda: re.search(r"httproutes: not permitted", logs()), 60, logs)
        def denied() -> list[dict]:
            return [one for one in findings(self.cluster) if one["what"].endswith("-portolan may not list httproutes")]

        until("check names it", lambda: denied() and "helm upgrade" in denied()[0]["next"])
        self.assertEqual(status_of(self.address), 200)
        self.kube.apply(json.dumps(plain(role)))
        until("check is content", lambda: not denied())
        self.kube.run("rollout", "status", "deployment/web-portolan", "--timeout", "90s")
        self.kube.apply(route("after", "web", "echo", hostname="after.example"))
        until("a new route", lambda: status_of(self.address, "/", "after.example") == 200)


def plain(role: dict) -> dict:
    """A role as it is applied."""
    return {"apiVersion": role["apiVersion"], "kind": role["kind"], "metadata": {"name": role["metadata"]["name"]},
            "rules": [dict(rule) for rule in role["rules"]]}
