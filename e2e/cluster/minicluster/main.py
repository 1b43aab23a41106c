"""The command line."""

import argparse
import os
import sys
from pathlib import Path

from minicluster import lifecycle, programs
from minicluster.places import CONTROL, Cluster
from minicluster.run import Failure, Progress
from minicluster.status import status

DESCRIPTION = """\
A Kubernetes cluster of two nodes on this machine, with MetalLB, built from packages: it needs root, Go, a C compiler
and the Debian packages that `setup` installs, and neither a container engine nor a registry.
"""

PASSED_ON = ("exec", "kubectl")


def main() -> int:
    """Runs the command that the arguments name."""
    # What follows these two belongs to the program that they run, options too.
    words, rest = sys.argv[1:], []
    for at, word in enumerate(words):
        if word in PASSED_ON:
            words, rest = words[:at + 1], words[at + 1:]
            break
    options = parser().parse_args(words)
    options.rest = rest
    cluster = Cluster(options.name)
    try:
        return options.run(cluster, options) or 0
    except Failure as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(prog="cluster", description=DESCRIPTION)
    out.add_argument("--name", default="portolan", help="the cluster's name; several can be up at once (%(default)s)")
    commands = out.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    command("build", build, "build programs and images into the cache, and start nothing")
    command("up", up, "bring the cluster up, anew if it is there already")
    command("down", down, "take the cluster down and remove every trace of it")
    command("status", show_status, "show what runs, and whether the API server and the nodes are well")
    load = command("load", load_images, "import image archives (OCI or docker) on both nodes")
    load.add_argument("archive", nargs="+", type=Path)
    command("exec", execute, "run a command where the cluster's addresses are reachable, with its kubeconfig")
    command("kubectl", execute_kubectl, "run kubectl against the cluster")
    return out


def build(_cluster: Cluster, _options: argparse.Namespace) -> None:
    progress = Progress()
    lifecycle.prepare(progress)
    progress(f"all is built: {programs.home()}")


def up(cluster: Cluster, _options: argparse.Namespace) -> None:
    lifecycle.up(cluster, Progress())
    here = os.path.relpath(sys.argv[0])
    print(f"export KUBECONFIG={cluster.kubeconfig}\n"
          f"# {here} kubectl get pods -A                the same without it\n"
          f"# {here} exec curl http://ADDRESS/         addresses of pods and Gateways are reached from inside")


def down(cluster: Cluster, _options: argparse.Namespace) -> None:
    progress = Progress()
    lifecycle.down(cluster)
    progress(f"cluster {cluster.name} is gone")


def show_status(cluster: Cluster, _options: argparse.Namespace) -> int:
    return status(cluster)


def load_images(cluster: Cluster, options: argparse.Namespace) -> None:
    lifecycle.load(cluster, options.archive)


def execute(cluster: Cluster, options: argparse.Namespace) -> None:
    replace("ip", ["netns", "exec", cluster.netns(CONTROL), *options.rest], cluster)


def execute_kubectl(cluster: Cluster, options: argparse.Namespace) -> None:
    replace(str(programs.home() / "bin/kubectl"), options.rest, cluster)


def replace(program: str, arguments: list[str], cluster: Cluster) -> None:
    """Becomes `program`, with kubectl and helm on its path and the cluster as theirs."""
    if not cluster.kubeconfig.exists():
        raise Failure(f"no cluster {cluster.name} is up: `cluster up` brings one up")
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    os.environ["PATH"] = f"{programs.home() / 'bin'}:{os.environ['PATH']}"
    os.execvp(program, [program, *arguments])
