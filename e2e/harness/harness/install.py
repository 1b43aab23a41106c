"""Installs Portolan on a cluster as its users do: the Gateway API's CRDs, then our charts, by helm."""

import hashlib
from pathlib import Path

from minicluster import lifecycle, programs
from minicluster.places import NODES, Cluster
from minicluster.run import Failure, Progress, run, within

ROOT = Path(__file__).resolve().parents[3]
CHARTS = ROOT / "deploy/charts"
NAMESPACE = "portolan-system"
IMAGE = "localhost/portolan"


def install(cluster: Cluster, binary: Path, crds: Path, progress: Progress) -> None:
    """Installs the Gateway API's CRDs and Portolan with this binary, or upgrades what is there."""
    if not binary.exists():
        raise Failure(f"{binary} is not there: cargo build -p portolan builds it")
    tag = hashlib.sha256(binary.read_bytes()).hexdigest()[:12]
    archive = ROOT / "target/e2e" / f"portolan-{tag}.tar"
    if not archive.exists():
        for old in archive.parent.glob("portolan-*.tar"):
            old.unlink()
        run(ROOT / "deploy/image", "--binary", binary, "--name", f"{IMAGE}:{tag}", "--out", archive)
    lifecycle.load(cluster, [archive])
    progress(f"{IMAGE}:{tag} is on both nodes")
    lifecycle.kubectl(cluster, "apply", "--server-side", "--kustomize", crds)
    helm(cluster, "upgrade", "--install", "portolan-crds", CHARTS / "portolan-crds")
    helm(cluster, "upgrade", "--install", "portolan", CHARTS / "portolan",
         "--set-string", f"image.repository={IMAGE},image.tag={tag},image.pullPolicy=Never",
         # Dozens of gateways run at once on two small nodes.
         "--set", "gatewayClass.config.resources.requests.cpu=10m,gatewayClass.config.resources.requests.memory=32Mi", "--wait", "--timeout", "90s")
    log = cluster.own(NODES[0]) / "kubelet.log"
    accepted = ("wait", "--for", "condition=Accepted", "--timeout", "1s", "gatewayclass/portolan")
    within(60, "the GatewayClass", log, lambda: lifecycle.kubectl(cluster, *accepted))
    progress("Portolan is installed")


def uninstall(cluster: Cluster) -> None:
    """Takes it away again; the CRDs stay, as for users."""
    helm(cluster, "uninstall", "portolan", "--wait")


def helm(cluster: Cluster, *arguments: object) -> str:
    """Runs helm in Portolan's namespace, whose pods have to be restricted ones."""
    lifecycle.kubectl(cluster, "apply", "--server-side", "--filename", "-", input=f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {NAMESPACE}
  labels: {{pod-security.kubernetes.io/enforce: restricted}}
""")
    return run(programs.home() / "bin/helm", "--kubeconfig", cluster.kubeconfig, "--namespace", NAMESPACE, *arguments)
