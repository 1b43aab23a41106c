"""The command line: brings up what the tests need, then runs them inside the cluster's own network."""

import argparse
import os
import sys
import unittest
from pathlib import Path

from conformance import build
from harness import install
from minicluster import lifecycle
from minicluster.places import CONTROL, Cluster
from minicluster.run import Failure, Progress

ROOT = Path(__file__).resolve().parents[3]
INSIDE = "PORTOLAN_FAULTS_INSIDE"
# What is installed, for tests that run it themselves.
BINARY = "PORTOLAN_BINARY"


def main() -> int:
    """Runs the tests; 0 if all passed."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("tests", nargs="*", metavar="TEST", help="these alone (test_pods.Pods.test_…); all unless given")
    parser.add_argument("--binary", type=Path, default=ROOT / "target/debug/portolan", help="what to install (%(default)s)")
    options = parser.parse_args()
    if not enter(parser.prog, options.binary):
        return 2
    sys.path.insert(0, str(ROOT / "e2e/faults/tests"))
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(options.tests) if options.tests else loader.discover(str(ROOT / "e2e/faults/tests"))
    return 0 if unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() else 1


def enter(name: str, binary: Path) -> bool:
    """Goes on inside the cluster's own network, with all that is needed there; says whether that can be had."""
    if INSIDE in os.environ:
        return True
    try:
        prepare(binary, Progress())
    except Failure as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    os.environ[INSIDE] = "1"
    os.environ[BINARY] = str(binary)
    os.execvp("ip", ["ip", "netns", "exec", Cluster().netns(CONTROL), sys.executable, *sys.argv])


def prepare(binary: Path, progress: Progress) -> None:
    """A cluster with Portolan and the images that the tests' pods run."""
    cluster = Cluster()
    binaries, *_ = lifecycle.prepare(progress)
    build.suite(progress)
    images = build.images(binaries, progress)
    if not lifecycle.is_up(cluster):
        lifecycle.up(cluster, progress)
    lifecycle.load(cluster, images)
    install.install(cluster, binary, build.crds(), progress)
