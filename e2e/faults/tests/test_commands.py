"""What `portolan` says of a cluster, to who asks with a kubeconfig."""

import json
import os
import subprocess

from faults.main import BINARY
from harness.kube import until
from harness.world import World, route
from minicluster.places import Cluster


def portolan(cluster: Cluster, *words: str) -> subprocess.CompletedProcess:
    """Runs the command with the cluster's kubeconfig."""
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    return subprocess.run([os.environ[BINARY], *words], env=environment, capture_output=True, text=True, timeout=60)


def findings(cluster: Cluster) -> list[dict]:
    """What `check --cluster` finds."""
    return json.loads(portolan(cluster, "check", "--cluster", "--output", "json").stdout)["findings"]


class Commands(World):
    namespace = "faults-commands"

    def test_check_names_what_does_not_work_and_the_next_step(self):
        self.kube.apply(route("broken", "web", "nosuch"))
        self.addCleanup(self.kube.delete, "httproute/broken")
        self.kube.wait_for_condition("httproute", "broken", "ResolvedRefs", "False")
        checked = portolan(self.cluster, "check", "--cluster", "--output", "json")
        self.assertEqual(checked.returncode, 1, checked.stderr)
        found = json.loads(checked.stdout)["findings"]
        broken = [one for one in found if f"HTTPRoute {self.namespace}/broken" in one["what"]]
        self.assertIn("BackendNotFound", broken[0]["what"])
        self.assertIn("name a Service that exists", broken[0]["next"])
        leads = [one for one in found if one["what"].startswith("the controller portolan-system/")]
        self.assertEqual(leads[0]["verdict"], "ok")

    def test_explain_asks_the_replica_that_serves(self):
        asked = ("explain", "--gateway", f"{self.namespace}/web", "--output", "json", "GET", "http://any.example/x")
        told = json.loads(portolan(self.cluster, *asked).stdout)
        self.assertIn(f"HTTPRoute {self.namespace}/web", told["winner"]["rule"])
        until("both endpoints", lambda: len(json.loads(portolan(self.cluster, *asked).stdout)["backends"][0]["endpoints"]) == 2)

    def test_status_shows_what_a_cluster_has_and_what_a_replica_did(self):
        shown = portolan(self.cluster, "status", "--cluster", "--output", "json")
        told = json.loads(shown.stdout)
        self.assertTrue(told["controller"].startswith("portolan-system/"), told)
        own = next(one for one in told["gateways"] if one["name"] == f"{self.namespace}/web")
        self.assertEqual((own["programmed"], own["ready"], own["routes"]), ("True", 2, 1), own)
        routes = {one["name"]: one for one in told["routes"]}
        self.assertEqual(routes[f"{self.namespace}/web"]["accepted"], "True")
        self.assertIn("GATEWAY", portolan(self.cluster, "status", "--cluster").stdout)
        replica = json.loads(portolan(self.cluster, "status", "--gateway", f"{self.namespace}/web", "--output", "json").stdout)
        self.assertTrue(replica["replica"].startswith(f"{self.namespace}/web-"), replica["replica"])
        named = portolan(self.cluster, "status", "--gateway", f"{self.namespace}/web").stdout
        self.assertRegex(named, rf"^replica {self.namespace}/web-\S+, one of 2 that are ready\n")
        self.assertEqual([port["parent"] for port in replica["ports"]], [f"Gateway {self.namespace}/web"] * len(replica["ports"]))

    def test_a_gateway_that_is_not_there_is_named(self):
        told = portolan(self.cluster, "explain", "--gateway", f"{self.namespace}/nosuch", "GET", "http://any.example/")
        self.assertEqual(told.returncode, 2)
        self.assertIn(f"there is no Gateway {self.namespace}/nosuch", told.stderr)
