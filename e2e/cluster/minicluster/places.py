"""Where things lie: sources in this folder, binaries and images in the cache, what runs in one directory a cluster."""

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROGRAMS = HERE / "programs"
METALLB = HERE / "metallb"
FILES = HERE / "files"
MANIFESTS = HERE / "manifests"


def cache() -> Path:
    """The folder outside of the repository that keeps what was built."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("PORTOLAN_CACHE") or Path(home) / "portolan") / "cluster"


@dataclass(frozen=True)
class Machine:
    """One of the cluster's machines: a set of namespaces with a network address of its own."""

    name: str
    role: str  # control or node
    number: int

    @property
    def address(self) -> str:
        return "172.30.0.1" if self.role == "control" else f"172.30.0.1{self.number}"

    @property
    def address6(self) -> str:
        return "fd00:30::1" if self.role == "control" else f"fd00:30::1{self.number}"

    @property
    def pods(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def pods6(self) -> str:
        return f"fd00:244:{self.number}::/64"


CONTROL = Machine("control", "control", 0)
NODES = (Machine("node1", "node", 1), Machine("node2", "node", 2))
MACHINES = (CONTROL, *NODES)


@dataclass(frozen=True)
class Cluster:
    """A cluster's name, which its network namespaces and cgroups carry, and its directory."""

    name: str = "portolan"

    @property
    def state(self) -> Path:
        """All that a running cluster writes."""
        return Path(os.environ.get("PORTOLAN_CLUSTERS") or "/var/tmp/portolan-clusters") / self.name

    @property
    def kubeconfig(self) -> Path:
        """How to reach the API server, from outside and from the control machine alike."""
        return self.state / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    def netns(self, machine: Machine) -> str:
        """The machine's network namespace, as `ip netns` names it."""
        return f"{self.name}-{machine.name}"

    def own(self, machine: Machine) -> Path:
        """The machine's own part of the state."""
        return self.state / machine.name
