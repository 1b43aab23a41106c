"""The command line."""

import argparse
from pathlib import Path

from faults.main import ROOT, enter
from harness.api import Api
from harness.kube import Kube, until
from harness.world import backend, gateway, route, status_of, versioned
from minicluster.places import Cluster
from minicluster.run import Progress

from probes import memory, propagation

NAMESPACE = "probes"
# Bars, from what others need: agentgateway 10 to 30 ms, Istio 120 to 300.
P50_MS, P99_MS = 50, 250


def main() -> int:
    """Measures; 0 if every bar holds."""
    parser = argparse.ArgumentParser(prog="probes", description=__doc__)
    parser.add_argument("--routes", type=int, default=1000, help="routes that are there (%(default)s)")
    parser.add_argument("--changes", type=int, default=200, help="changes that are measured (%(default)s)")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/portolan", help="what to install (%(default)s)")
    options = parser.parse_args()
    if not enter(parser.prog, options.binary):
        return 2
    return measure(options, Progress())


def measure(options: argparse.Namespace, progress: Progress) -> int:
    cluster = Cluster()
    kube, api = Kube(cluster, NAMESPACE), Api(cluster)
    kube.delete("namespace", NAMESPACE)
    kube.run("create", "namespace", NAMESPACE)
    try:
        kube.apply(backend("echo") + gateway("web") + route("web", "web", "echo"))
        kube.run("rollout", "status", "deployment/echo", "--timeout", "60s")
        address = kube.address("web", 60)
        until("the first answer", lambda: status_of(address) == 200)
        for at in range(options.routes):
            api.apply_route(NAMESPACE, f"route-{at}", versioned(f"route-{at}.example"))
        until("the last route", lambda: status_of(address, "/", f"route-{options.routes - 1}.example") == 200, 120)
        progress(f"{options.routes} routes are served")
        measured = propagation.measure(api, NAMESPACE, address, options.changes)
        p50, p99 = measured.percentile(0.5), measured.percentile(0.99)
        print(f"{options.changes} changes with {options.routes} routes: p50 {p50:.0f} ms (bar {P50_MS}), "
              f"p99 {p99:.0f} ms (bar {P99_MS}), slowest {measured.milliseconds[-1]:.0f} ms, 5xx {measured.errors}")
        for what, mib in memory.of_portolan():
            print(f"{what}: {mib:.1f} MiB resident")
        return 0 if p50 <= P50_MS and p99 <= P99_MS and not measured.errors else 1
    finally:
        kube.delete("namespace", NAMESPACE, "--wait=false")
