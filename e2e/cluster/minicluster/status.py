"""Tells how a cluster is."""

from pathlib import Path

from minicluster import lifecycle
from minicluster.network import namespaces
from minicluster.places import MACHINES, Cluster
from minicluster.run import Failure, run


def status(cluster: Cluster) -> int:
    """Prints the machines' services, the nodes and the pods; 0 if all is well, 1 if not, 3 if there is no cluster."""
    if not lifecycle.traces(cluster):
        print(f"no cluster {cluster.name}")
        return 3
    well = True
    print(f"{'MACHINE':10}{'SERVICE':22}{'RUNS':6}LOG")
    for machine in MACHINES:
        own = cluster.own(machine)
        alive = running_in(cluster.netns(machine))
        for file in sorted(own.glob("*.pid")):
            runs = file.stem in alive
            well &= runs
            print(f"{machine.name:10}{file.stem:22}{'yes' if runs else 'no':6}{own / file.stem}.log")
    try:
        print("\n" + lifecycle.kubectl(cluster, "get", "nodes"), end="")
        print("\n" + lifecycle.kubectl(cluster, "get", "pods", "-A", "-o", "wide"), end="")
    except Failure as error:
        print(f"\n{error}")
        well = False
    return 0 if well else 1


def running_in(namespace: str) -> set[str]:
    """The services that run in a machine, by name: programs' names less what they have before it."""
    if namespace not in namespaces():
        return set()
    names = set()
    for pid in run("ip", "netns", "pids", namespace).split():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        names.add(Path(words[0].decode(errors="replace")).name.removeprefix("kube-"))
    return names
