"""The command line."""

import argparse
import time
from pathlib import Path

from faults.main import ROOT, enter
from harness.api import Api
from harness.kube import Kube, until
from harness.world import backend, gateway, route, status_of, versioned
from minicluster.places import Cluster
from minicluster.run import Progress

from probes import memory, propagation, start, writes

NAMESPACE = "probes"
# Bars: of propagation, from what others need (agentgateway 10 to 30 ms, Istio 120 to 300); of memory, with 5,000 routes.
P50_MS, P99_MS = 50, 250
CONTROLLER_MIB, GATEWAY_MIB = 150, 80
START_SECONDS = 1.0
TIMED_ROUTES = 1000


class Bars:
    """Numbers beside what they may be at most."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def hold(self, what: str, value: float, most: float | None, unit: str) -> None:
        """Prints a number and remembers it if it is too large."""
        bar = "no bar" if most is None else f"at most {most:g}"
        missed = most is not None and value > most
        print(f"{what}: {value:.4g} {unit} ({bar}) {'MISSED' if missed else 'ok'}".replace("  ", " "), flush=True)
        if missed:
            self.missed.append(what)


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
        system, bars = Kube(cluster, "portolan-system"), Bars()
        written = writes.of_routes(system)
        for at in range(options.routes):
            api.apply_route(NAMESPACE, f"route-{at}", versioned(f"route-{at}.example"))
        until("the last route", lambda: status_of(address, "/", f"route-{options.routes - 1}.example") == 200, 120)
        settled(system)
        progress(f"{options.routes} routes are served")
        bars.hold(f"status writes for {options.routes} new routes", writes.of_routes(system) - written, options.routes, "")
        written = writes.of_routes(system)
        measured = propagation.measure(api, NAMESPACE, address, options.changes)
        # The bars of time are for so many routes; with more of them the numbers are told.
        timed = options.routes <= TIMED_ROUTES
        with_routes = f"{options.changes} changes with {options.routes} routes"
        bars.hold(f"{with_routes}, median", measured.percentile(0.5), P50_MS if timed else None, "ms")
        bars.hold(f"{with_routes}, 99th percentile", measured.percentile(0.99), P99_MS if timed else None, "ms")
        bars.hold(f"{with_routes}, answers 5xx", measured.errors, 0, "")
        settled(system)
        bars.hold(f"status writes for {options.changes} changes", writes.of_routes(system) - written, options.changes, "")
        for what, mib in memory.of_portolan():
            bars.hold(f"memory of {what}", mib, CONTROLLER_MIB if what.startswith("controller") else GATEWAY_MIB, "MiB")
        known = start.gateways("web")
        pod = kube.list("pods", "--selector", "gateway.networking.k8s.io/gateway-name=web")[0]["metadata"]["name"]
        kube.run("delete", "pod", pod, "--wait=false")
        bars.hold("a gateway from its start to ready", start.seconds_to_ready("web", known), START_SECONDS if timed else None, "s")
        return 1 if bars.missed else 0
    finally:
        kube.delete("namespace", NAMESPACE, "--wait=false")


def settled(system: Kube) -> None:
    """Waits until the controller writes no more."""
    seen = [writes.of_routes(system)]

    def rests() -> bool:
        time.sleep(2)
        seen.append(writes.of_routes(system))
        return seen[-1] == seen[-2]

    until("the controller writes no more", rests, 120, lambda: str(seen[-2:]))
