"""The API server, etcd and the controller are away: traffic goes on, and all is caught up with afterwards."""

import signal
import time

from harness.kube import Kube, until
from harness.load import Load
from harness.world import World, route, status_of
from minicluster import lifecycle
from minicluster.places import CONTROL


class ControlPlane(World):
    namespace = "faults-control"

    def setUp(self):
        self.system = Kube(self.cluster, "portolan-system")

    def served(self, path: str) -> bool:
        return status_of(self.address, path) == 200

    def change_a_route(self, name: str) -> None:
        """A new route is served, and its status is written."""
        host = f"{name}.example"
        self.kube.apply(route(name, "web", "echo", hostname=host))
        until(f"route {name}", lambda: status_of(self.address, "/", host) == 200)
        self.kube.wait_for_condition("httproute", name, "Accepted", "True", 60)

    def test_traffic_goes_on_while_the_api_server_dies_and_comes_back(self):
        with Load(self.address, per_second=100) as load:
            for _ in range(3):
                lifecycle.send(self.cluster, CONTROL, "apiserver", signal.SIGKILL)
                time.sleep(3)
            until("the API server", lambda: lifecycle.is_up(self.cluster), 60)
            time.sleep(3)
        self.assert_all_answered(load)
        self.change_a_route("after-the-api-server")

    def test_traffic_goes_on_while_etcd_is_paused(self):
        with Load(self.address, per_second=100) as load:
            lifecycle.send(self.cluster, CONTROL, "etcd", signal.SIGSTOP)
            time.sleep(20)
            lifecycle.send(self.cluster, CONTROL, "etcd", signal.SIGCONT)
            until("the API server", lambda: lifecycle.is_up(self.cluster), 60)
            time.sleep(3)
        self.assert_all_answered(load)
        self.change_a_route("after-etcd")

    def test_routes_change_without_a_controller(self):
        self.system.run("scale", "deployment/portolan", "--replicas=0")
        self.addCleanup(self.system.run, "rollout", "status", "deployment/portolan", "--timeout", "60s")
        self.addCleanup(self.system.run, "scale", "deployment/portolan", "--replicas=2")
        until("no controller", lambda: not self.system.list("pods"), 60)
        self.kube.apply(route("alone", "web", "echo", hostname="alone.example"))
        until("the route is served", lambda: status_of(self.address, "/", "alone.example") == 200)
        self.assertIsNone(self.kube.condition("httproute", "alone", "Accepted"), "nobody is there to say so")

    def test_another_controller_takes_over_when_the_leader_dies(self):
        def leader() -> str:
            return self.system.get("lease", "portolan-controller")["spec"].get("holderIdentity", "")

        first = until("a leader", leader)
        self.system.run("delete", "pod", first, "--grace-period=0", "--force", "--wait=false")
        began = time.monotonic()
        until("another leader", lambda: leader() not in ("", first), 60)
        print(f"another controller led after {time.monotonic() - began:.1f} s")
        self.change_a_route("after-the-leader")
