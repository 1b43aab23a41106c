"""The scale probe: thousands of routes and endpoints in one directory; memory, and when a saved file is served."""

import argparse
import http.client
import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator

from . import checks, figures, install, manifests, places, procfs, report
from .figures import Verdict
from .loads import Load, Tool
from .main import positive
from .peers.portolan import PORTOLAN, SETTLE_MS, command, write
from .processes import Command, Cores, ProcessError, await_port, choose_cores, end_in_order, free_ports, running
from .rules import Match, Rule

MEMORY_MIB_MAX = 60
ROUTE_MS_MAX = 50
ENDPOINT_MS_MAX = 10

OBJECTS_PER_FILE = 100
POLL_SECONDS = 0.001
CHANGE_SECONDS_MAX = 10
SETTLED_SECONDS = 3
"""How long the process may tidy up before its memory is read."""

HOST = "probe.example.test"
BODIES = ("first backend", "other backend")
SERVICES = ("probe-first", "probe-other")


@dataclass(frozen=True)
class Size:
    """How much is in the directory."""

    routes: int
    endpoints: int
    services: int


@dataclass(frozen=True)
class Outcome:
    """What was measured on one directory: times in milliseconds from just before a save, one a change; memory at
    rest, before or after all changes, whichever is more."""

    start_ms: float
    resident_mib: float
    peak_mib: float
    route_ms: list[float]
    endpoint_ms: list[float]


class Probe:
    """The objects that the probe changes: one route, and one Service's endpoints."""

    def __init__(self, directory: Path, backends: list[int]) -> None:
        self.directory = directory
        self.backends = backends
        self.route_to = self.endpoint_to = 0

    def write_all(self) -> None:
        other = [manifests.service(SERVICES[1]), manifests.endpoints(["127.0.0.1"], self.backends[1], SERVICES[1])]
        write(self.directory, "probe-other", other)
        write(self.directory, "probe-first", [manifests.service(SERVICES[0])])
        self._write_endpoints()
        self._write_route()

    def change_route(self) -> str:
        """Saves the route with its other backend; what is then answered."""
        self.route_to = 1 - self.route_to
        self._write_route()
        return BODIES[self.route_to]

    def change_endpoint(self) -> str:
        """Saves the endpoints of the route's first backend, moved to the other port; what is then answered."""
        self.endpoint_to = 1 - self.endpoint_to
        self._write_endpoints()
        return BODIES[self.endpoint_to]

    def _write_route(self) -> None:
        rule = Rule(HOST, Match.PREFIX, "/")
        write(self.directory, "probe-route", [manifests.route("probe", [rule], to=SERVICES[self.route_to])])

    def _write_endpoints(self) -> None:
        port = self.backends[self.endpoint_to]
        write(self.directory, "probe-endpoints", [manifests.endpoints(["127.0.0.1"], port, SERVICES[0])])


def generate(directory: Path, size: Size) -> None:
    """Writes routes and Services with their endpoints, many a file. The probe's own route is one of the routes."""
    routes = [
        manifests.route(f"route-{n}", [Rule(f"host{n}.example.test", Match.PREFIX, f"/area{n}")], to=_service(n, size))
        for n in range(size.routes - 1)
    ]
    each = size.endpoints // max(1, size.services)
    services = []
    for n in range(size.services):
        addresses = [f"10.{n // 250}.{n % 250}.{last + 1}" for last in range(each)]
        services += [manifests.service(f"service-{n}"), manifests.endpoints(addresses, 8080, f"service-{n}")]
    for name, objects in [("routes", routes), ("services", services)]:
        for start in range(0, len(objects), OBJECTS_PER_FILE):
            write(directory, f"{name}-{start:05}", objects[start:start + OBJECTS_PER_FILE])


def _service(number: int, size: Size) -> str:
    return f"service-{number % size.services}" if size.services else SERVICES[0]


def probe(size: Size, changes: int, cores: Cores) -> Outcome:
    """Serves a directory of this size, reads memory, then changes route and endpoint in turn."""
    folder = places.CONFIGS / "scale"
    shutil.rmtree(folder, ignore_errors=True)
    first, other, http_port, admin = free_ports(4)
    generate(folder / "manifests", size)
    write(folder / "manifests", "gateway", [manifests.gateway(http_port)])
    changed = Probe(folder / "manifests", [first, other])
    changed.write_all()
    with _backend(first, 0, cores), _backend(other, 1, cores):
        start = time.monotonic()
        portolan = command(folder / "manifests", folder / "state", admin)
        with running("scale", cores.both, portolan) as process:
            await_port("scale", process, http_port)
            checks.await_answer(http_port, Load(Tool.WRK, 1, host=HOST))
            start_ms = (time.monotonic() - start) * 1e3
            time.sleep(SETTLED_SECONDS)
            resident = procfs.memory_kib(process.pid, "VmRSS") / 1024
            route_ms = [_change(changed.change_route, http_port) for _ in range(2 * changes)]
            endpoint_ms = [_change(changed.change_endpoint, http_port) for _ in range(2 * changes)]
            time.sleep(SETTLED_SECONDS)
            resident = max(resident, procfs.memory_kib(process.pid, "VmRSS") / 1024)
            peak = procfs.memory_kib(process.pid, "VmHWM") / 1024
    return Outcome(start_ms, resident, peak, route_ms, endpoint_ms)


def _backend(port: int, which: int, cores: Cores):
    command_line = [str(places.BACKEND), f"127.0.0.1:{port}", BODIES[which]]
    return running(f"scale-backend-{which}", cores.load, Command(command_line))


def _change(save: Callable[[], str], port: int) -> float:
    """Milliseconds from just before a save to the first answer that it asks for."""
    time.sleep(0.1)  # The watch has come to rest after the change before.
    start = time.monotonic()
    wanted = save()
    for body in _answers(port, start + CHANGE_SECONDS_MAX):
        if body == wanted:
            return (time.monotonic() - start) * 1e3
    raise checks.CheckFailed(f"a saved file was not in service after {CHANGE_SECONDS_MAX} s")


def _answers(port: int, end: float) -> Iterator[str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=CHANGE_SECONDS_MAX)
    try:
        while time.monotonic() < end:
            connection.request("GET", "/", headers={"Host": HOST})
            response = connection.getresponse()
            body = response.read().decode(errors="replace")
            if response.status != 200:
                raise checks.CheckFailed(f"answered {response.status} while a file was saved")
            yield body
            time.sleep(POLL_SECONDS)
    finally:
        connection.close()


def verdicts(large: Outcome) -> list[Verdict]:
    """The bars. What the watch waits on purpose, so that a half-written file is not read, is taken off."""
    route = statistics.median(large.route_ms) - SETTLE_MS
    endpoint = statistics.median(large.endpoint_ms) - SETTLE_MS
    return [
        Verdict.of("resident memory in MiB", large.resident_mib, MEMORY_MIB_MAX),
        Verdict.of("a route change live, in ms after the watch settled", route, ROUTE_MS_MAX),
        Verdict.of("an endpoint change live, in ms after the watch settled", endpoint, ENDPOINT_MS_MAX),
    ]


def _line(name: str, outcome: Outcome) -> str:
    def times(values: list[float]) -> str:
        return f"{statistics.median(values):7.1f} (max {max(values):.1f})"

    return (
        f"  {name:34} start {outcome.start_ms:8.0f}  route {times(outcome.route_ms)}"
        f"  endpoint {times(outcome.endpoint_ms)}  resident {outcome.resident_mib:.1f} MiB, peak {outcome.peak_mib:.1f}"
    )


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scale", description=__doc__)
    parser.add_argument("--routes", type=positive, default=5000)
    parser.add_argument("--endpoints", type=positive, default=10_000)
    parser.add_argument("--services", type=positive, default=1000)
    parser.add_argument("--changes", type=positive, default=10, help="pairs of changes of each kind (default 10)")
    parser.add_argument("--no-build", action="store_true", help="measure the binary that is there, however old")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar does not hold")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Runs the probe; the exit code."""
    options = _arguments(words)
    size = Size(options.routes, options.endpoints, options.services)
    end_in_order()
    try:
        cores = choose_cores()
        install.tools_for_scale()
        if not options.no_build:
            install.build_portolan()
        floor = probe(Size(1, 0, 0), options.changes, cores)
        large = probe(size, options.changes, cores)
    except (install.InstallError, ProcessError, checks.CheckFailed, OSError) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 2
    return _publish(size, floor, large, options.strict)


def _publish(size: Size, floor: Outcome, large: Outcome, strict: bool) -> int:
    found = verdicts(large)
    print(f"{PORTOLAN.version()}; times in ms from just before a save to the first answer of the new configuration;")
    print(f"of each, {SETTLE_MS} ms are the watch's, which reads again to see that a save is complete\n")
    print(_line("one route, one endpoint", floor))
    print(_line(f"{size.routes:,} routes, {size.endpoints:,} endpoints", large))
    print(f"\n{report.bars(found)}")
    path = places.TARGET / "scale.json"
    everything = {"size": vars(size), "floor": vars(floor), "large": vars(large), "bars": [vars(one) for one in found]}
    path.write_text(json.dumps(everything, indent=1) + "\n")
    print(f"\nwritten: {path}")
    return figures.exit_code(found, strict)
