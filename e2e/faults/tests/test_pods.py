"""Pods of gateways and of backends come and go under load."""

import time

from harness.kube import until
from harness.load import Load
from harness.world import World

RATE = 500


class Pods(World):
    namespace = "faults-pods"

    def pods(self) -> list[str]:
        pods = self.kube.list("pods", "--selector", "gateway.networking.k8s.io/gateway-name=web")
        return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def test_a_gateway_pod_deleted_under_load_fails_no_request(self):
        with Load(self.address, per_second=RATE) as load:
            time.sleep(2)
            self.kube.run("delete", "pod", self.pods()[0], "--wait=false")
            time.sleep(10)
            self.kube.run("rollout", "status", "deployment/web-portolan", "--timeout", "60s")
        self.assert_all_answered(load)

    def test_a_gateways_rollout_under_load_fails_no_request(self):
        with Load(self.address, per_second=RATE) as load:
            time.sleep(1)
            self.kube.run("rollout", "restart", "deployment/web-portolan")
            self.kube.run("rollout", "status", "deployment/web-portolan", "--timeout", "90s")
            time.sleep(8)
        self.assert_all_answered(load)

    def test_a_backends_rollout_under_load_fails_no_request(self):
        with Load(self.address, per_second=RATE) as load:
            time.sleep(1)
            self.kube.run("rollout", "restart", "deployment/echo")
            self.kube.run("rollout", "status", "deployment/echo", "--timeout", "90s")
            time.sleep(5)
        self.assert_all_answered(load)

    def test_a_gateway_pod_killed_under_load_fails_only_what_was_under_way_on_it(self):
        clients = 10
        with Load(self.address, per_second=RATE, clients=clients) as load:
            time.sleep(2)
            self.kube.run("delete", "pod", self.pods()[0], "--grace-period=0", "--force", "--wait=false")
            time.sleep(10)
        print(load.result)
        # Of each client, the request on its broken connection; connecting anew before every node knows is one more.
        self.assertLessEqual(len(load.result.failures), 2 * clients)
        until("two replicas again", lambda: len(self.pods()) == 2)
