"""The network: a bridge in the control machine's namespace, and the nodes' namespaces on it.

Nothing of it is reachable from the machine itself: `ip netns exec NAME-control` is the outside of the cluster."""

from minicluster.places import CONTROL, NODES, Cluster
from minicluster.run import run


def make(cluster: Cluster) -> None:
    """Makes the namespaces, their links, addresses and routes."""
    control = cluster.netns(CONTROL)
    run("ip", "netns", "add", control)
    inside(control, "link set lo up")
    inside(control, "link add br0 type bridge")
    inside(control, f"address add {CONTROL.address}/24 dev br0")
    inside(control, f"address add {CONTROL.address6}/64 dev br0 nodad")
    inside(control, "link set br0 up")
    for node in NODES:
        namespace = cluster.netns(node)
        run("ip", "netns", "add", namespace)
        inside(control, f"link add {node.name} type veth peer name eth0 netns {namespace}")
        inside(control, f"link set {node.name} master br0 up")
        inside(namespace, "link set lo up")
        inside(namespace, f"address add {node.address}/24 dev eth0")
        inside(namespace, f"address add {node.address6}/64 dev eth0 nodad")
        inside(namespace, "link set eth0 up")
        inside(namespace, f"route add default via {CONTROL.address}")
        inside(namespace, f"route add default via {CONTROL.address6}")
    for node in NODES:
        for machine in (CONTROL, *NODES):
            if machine != node:
                inside(cluster.netns(machine), f"route add {node.pods} via {node.address}")
                inside(cluster.netns(machine), f"route add {node.pods6} via {node.address6}")


def inside(namespace: str, command: str) -> None:
    run("ip", "-n", namespace, *command.split())


def namespaces() -> set[str]:
    """The network namespaces that are there."""
    return {line.split()[0] for line in run("ip", "netns", "list").splitlines() if line}
