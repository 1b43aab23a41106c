"""The command line."""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

from harness import install
from minicluster import lifecycle
from minicluster.places import CONTROL, Cluster
from minicluster.run import Failure, Progress, run

from conformance import build, outcomes, report, selection

PROFILES = ("GATEWAY-HTTP", "GATEWAY-GRPC", "GATEWAY-TLS", "GATEWAY-TCP", "GATEWAY-UDP")
# In MetalLB's pool for those who ask, and in none of its pools.
USABLE, UNUSABLE = "172.30.0.200", "172.30.0.250"
BASE_NAMESPACES = ("gateway-conformance-infra", "gateway-conformance-app-backend", "gateway-conformance-web-backend")
DESCRIPTION = """\
Runs the Gateway API's official conformance suite against Portolan, and our own tests after it. On the cluster of two
nodes (`make cluster-up`; it is brought up if it is not), Portolan is installed from this tree first. With KUBECONFIG
set, they run against that cluster as it is: Portolan must be installed there, and Gateways' addresses be reachable from
here.
"""


def main() -> int:
    """Runs the suite; 0 if every test passed."""
    options = parser().parse_args()
    try:
        build.need_go()
        progress = Progress()
        target = Foreign(progress) if os.environ.get("KUBECONFIG") else Own(options, progress)
        return run_suite(target, options, progress)
    except Failure as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    root = Path(__file__).resolve().parents[3]
    out = argparse.ArgumentParser(prog="conformance", description=DESCRIPTION)
    out.add_argument("--run", metavar="TEST", help="this test alone, by its short name (HTTPRouteWeight)")
    out.add_argument("--binary", type=Path, default=root / "target/debug/portolan", help="what to install (%(default)s)")
    out.add_argument("--write", action="store_true", help="write docs/conformance anew")
    out.add_argument("--down", action="store_true", help="take the cluster down at the end")
    out.add_argument("--timeout", default="60m", help="of the whole suite (%(default)s)")
    return out


class Own:
    """The cluster from packages, with Portolan from this tree."""

    def __init__(self, options: argparse.Namespace, progress: Progress):
        self.cluster = Cluster()
        self.binaries, *_ = lifecycle.prepare(progress)
        self.suite = build.suite(progress)
        images = build.images(self.binaries, progress)
        if not lifecycle.is_up(self.cluster):
            lifecycle.up(self.cluster, progress)
        lifecycle.load(self.cluster, images)
        install.install(self.cluster, options.binary, build.crds(), progress)
        progress("the suite's images are on both nodes")

    def command(self, words: list[str]) -> list[str]:
        """The words for running a command where Gateways' addresses are reachable."""
        return ["ip", "netns", "exec", self.cluster.netns(CONTROL), *words]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig)}

    def addresses(self) -> list[str]:
        return ["-usable-address", USABLE, "-unusable-address", UNUSABLE]

    def kubectl(self) -> list[str]:
        return [str(self.binaries / "kubectl"), "--kubeconfig", str(self.cluster.kubeconfig)]

    def end(self, options: argparse.Namespace) -> None:
        if options.down:
            lifecycle.down(self.cluster)


class Foreign:
    """The cluster that KUBECONFIG names."""

    def __init__(self, progress: Progress):
        self.suite = build.suite(progress)

    def command(self, words: list[str]) -> list[str]:
        return words

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def addresses(self) -> list[str]:
        """Those that PORTOLAN_USABLE_ADDRESS and PORTOLAN_UNUSABLE_ADDRESS name: no cluster tells them."""
        given = [("-usable-address", "PORTOLAN_USABLE_ADDRESS"), ("-unusable-address", "PORTOLAN_UNUSABLE_ADDRESS")]
        return [word for flag, name in given if name in os.environ for word in (flag, os.environ[name])]

    def kubectl(self) -> list[str]:
        return ["kubectl"]

    def end(self, _options: argparse.Namespace) -> None:
        """It is not ours."""


def run_suite(target, options: argparse.Namespace, progress: Progress) -> int:
    """Runs the suite, shows what became of each test, and writes it down if that is asked for."""
    clear(target)
    results = build.ROOT / "target/e2e/conformance"
    results.mkdir(parents=True, exist_ok=True)
    events, written = results / "events.json", results / "report.yaml"
    words = [str(target.suite), "-test.v=test2json", f"-test.timeout={options.timeout}",
             *selection.words(options.run, build.tests()), "-gateway-class=portolan",
             f"-conformance-profiles={','.join(PROFILES)}", *target.addresses(),
             "-organization=portolan", "-project=portolan", "-url=https://github.com/portolan/portolan",
             f"-version={build.version()}", "-contact=https://github.com/portolan/portolan/issues",
             f"-report-output={written}"]
    (results / "command").write_text(shlex.join(words) + "\n")
    with events.open("w") as out:
        suite = subprocess.Popen(target.command(["go", "tool", "test2json", "-t", *words]), env=target.environment(),
                                 cwd=build.HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in suite.stdout:
            out.write(line)
            tell(line, progress)
        code = suite.wait()
    ended = outcomes.read(events.read_text().splitlines())
    failed = [one for one in ended.values() if one.result in ("fail", "unfinished")]
    for one in failed:
        print(f"\n=== {one.name}: {one.result}")
        print("\n".join(outcomes.output_of(events.read_text().splitlines(), one.name)[-report.LINES_SHOWN:]))
    passed = sum(one.result == "pass" for one in ended.values())
    skipped = sum(one.result == "skip" for one in ended.values())
    progress(f"the suite ended with exit code {code}; all that it said: {events}")
    if options.write:
        report.write(ended, written, run(*target.kubectl(), "version", "--output", "json"))
    target.end(options)
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    return 1 if failed or code else 0


def tell(line: str, progress: Progress) -> None:
    """Says what became of a test when it ends."""
    for one in outcomes.read([line]).values():
        if one.result in ("pass", "fail"):
            progress(f"{one.result}  {one.name}")


def clear(target) -> None:
    """Waits until the namespaces of an earlier run are gone: the suite deletes them at the end without waiting, and one
    that was killed does not even that; it fails in namespaces that are going."""
    run(*target.kubectl(), "delete", "namespace", "--ignore-not-found", "--timeout", "120s", *BASE_NAMESPACES)
