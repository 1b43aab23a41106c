"""A node is lost: cut off from everything, without a word."""

import time

from harness.kube import until
from harness.load import Load
from harness.world import World
from minicluster import lifecycle
from minicluster.places import NODES

# After Kubernetes has withdrawn what ran there.
RECOVERS_WITHIN = 15.0
# So long without a failure is a recovery.
QUIET = 5.0


class Node(World):
    namespace = "faults-node"

    def ready(self, node: str) -> bool:
        return self.kube.condition("node", node, "Ready")[0] == "True"

    def test_traffic_recovers_once_kubernetes_has_withdrawn_a_lost_node(self):
        lost = NODES[1]
        self.addCleanup(until, f"{lost.name} is back", lambda: self.ready(lost.name), 60)
        self.addCleanup(lifecycle.link, self.cluster, lost, True)
        with Load(self.address, per_second=50, timeout=2) as load:
            time.sleep(2)
            lifecycle.link(self.cluster, lost, False)
            cut = time.monotonic() - load.start
            until(f"{lost.name} is not ready", lambda: not self.ready(lost.name), 90)
            withdrawn = time.monotonic() - load.start
            time.sleep(RECOVERS_WITHIN + QUIET)
        last = max((at for at, _ in load.result.failures), default=cut)
        print(load.result)
        print(f"cut off after {cut:.1f} s, withdrawn after {withdrawn:.1f} s, last failure after {last:.1f} s")
        self.assertLess(last, withdrawn + RECOVERS_WITHIN)
