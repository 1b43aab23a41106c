"""Brings a cluster up and takes it down, whatever an earlier run left behind."""

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from minicluster import images, network, pki, programs
from minicluster.machine import Settings
from minicluster.places import CONTROL, FILES, HERE, MACHINES, MANIFESTS, NODES, Cluster, Machine
from minicluster.run import Failure, Progress, run, within

NAMESPACES = ("--cgroup", "--ipc", "--mount", "--uts", "--pid", "--mount-proc", "--fork", "--kill-child")
PORT = 6443


def up(cluster: Cluster, progress: Progress) -> None:
    """Builds what is missing, starts the machines, and waits until the cluster serves."""
    if os.geteuid():
        raise Failure("a cluster's namespaces and cgroups need root")
    binaries, archives, metallb = prepare(progress)
    if traces(cluster):
        down(cluster)
        progress("removed what an earlier run left")
    cluster.state.mkdir(parents=True)
    port = free_port(PORT)
    pki.make(cluster, port)
    network.make(cluster)
    for machine in MACHINES:
        boot(cluster, machine, port, binaries, archives)
    forward(cluster, port)
    wait_until_it_serves(cluster, progress)
    install_metallb(cluster, metallb)
    progress("MetalLB gives addresses")


def prepare(progress: Progress) -> tuple[Path, list[Path], Path]:
    """Builds what the cache lacks: the folder of programs, the archives of images, MetalLB's manifests."""
    binaries = programs.build(progress)
    return binaries, images.pack(binaries, progress), images.metallb_manifests()


def boot(cluster: Cluster, machine: Machine, port: int, binaries: Path, archives: list[Path]) -> None:
    """Starts a machine: a cgroup and namespaces of its own, and the process 1 that runs its services."""
    own = cluster.own(machine)
    own.mkdir(exist_ok=True)
    (own / "settings.json").write_text(json.dumps(dataclasses.asdict(Settings(
        name=machine.name, role=machine.role, own=str(own), pki=str(cluster.pki), bin=str(binaries),
        runc_unlimited=str(FILES / "runc-unlimited"), address=machine.address, address6=machine.address6,
        pods=machine.pods, pods6=machine.pods6, port=port, images=[str(path) for path in archives]))))
    cgroup = cgroup_root() / cluster.netns(machine)
    cgroup.mkdir(exist_ok=True)

    def enter_cgroup() -> None:
        (cgroup / "cgroup.procs").write_text("0")

    with (own / "machine.log").open("ab") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", cluster.netns(machine), "unshare", *NAMESPACES, sys.executable,
             HERE / "minicluster/machine.py", own / "settings.json"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=enter_cgroup)
    (own / "pid").write_text(str(process.pid))


def forward(cluster: Cluster, port: int) -> None:
    """Makes the API server reachable at its port of the loopback address, as it is inside the control machine."""
    inner = f"EXEC:ip netns exec {cluster.netns(CONTROL)} socat STDIO TCP\\:127.0.0.1\\:{port}"
    with (cluster.state / "forward.log").open("wb") as log:
        process = subprocess.Popen(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork", inner],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    (cluster.state / "forward.pid").write_text(str(process.pid))


def free_port(first: int) -> int:
    """The first port from `first` on that nobody listens at."""
    for port in range(first, first + 100):
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failure(f"no port from {first} to {first + 99} of the loopback address is free")


def wait_until_it_serves(cluster: Cluster, progress: Progress) -> None:
    """The API server, then both nodes, then the cluster's DNS."""
    apiserver = cluster.own(CONTROL) / "apiserver.log"
    within(120, "the API server", apiserver, lambda: kubectl(cluster, "get", "--raw", "/readyz"))
    progress("the API server is ready")
    kubectl(cluster, "apply", "--filename", MANIFESTS / "coredns.yaml")
    for node in NODES:
        within(120, node.name, cluster.own(node) / "kubelet.log",
               lambda node=node: kubectl(cluster, "wait", "--for", "condition=Ready", f"node/{node.name}"))
    progress("both nodes are Ready")
    within(120, "CoreDNS", cluster.own(NODES[0]) / "kubelet.log",
           lambda: kubectl(cluster, "--namespace", "kube-system", "rollout", "status", "deployment/coredns"))
    progress("CoreDNS serves")


def install_metallb(cluster: Cluster, manifests: Path) -> None:
    """Installs MetalLB; its webhook takes the pools only once its certificate has reached the API server."""
    kubectl(cluster, "apply", "--server-side", "--filename", manifests)
    log = cluster.own(NODES[0]) / "kubelet.log"
    for workload in ("deployment/controller", "daemonset/speaker"):
        within(120, f"MetalLB's {workload}", log,
               lambda workload=workload: kubectl(cluster, "--namespace", "metallb-system", "rollout", "status", workload))
    within(60, "MetalLB's pools", log, lambda: kubectl(cluster, "apply", "--filename", MANIFESTS / "metallb-pools.yaml"))


def kubectl(cluster: Cluster, *arguments: object, **options) -> str:
    """Runs kubectl against the cluster and returns what it printed."""
    return run(programs.home() / "bin/kubectl", "--kubeconfig", cluster.kubeconfig, *arguments, **options)


def load(cluster: Cluster, archives: list[Path]) -> None:
    """Imports image archives on both nodes."""
    for node in NODES:
        pid = process_1(cluster, node)
        for archive in archives:
            run("nsenter", "-t", pid, "-m", "-p", programs.home() / "bin/ctr", "--namespace", "k8s.io", "images",
                "import", "--local", "--no-unpack", archive.resolve())


def process_1(cluster: Cluster, machine: Machine) -> str:
    """A machine's process 1, as seen from here: the one child of unshare."""
    file = cluster.own(machine) / "pid"
    if not file.exists():
        raise Failure(f"no cluster {cluster.name} is up: `cluster up` brings one up")
    parent = file.read_text()
    return Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0]


def is_up(cluster: Cluster) -> bool:
    """Whether the cluster's API server answers."""
    try:
        kubectl(cluster, "get", "--raw", "/readyz", "--request-timeout", "5s")
        return True
    except Failure:
        return False


# === down ===

def traces(cluster: Cluster) -> bool:
    """Whether anything of a cluster of this name is there."""
    here = network.namespaces()
    return (cluster.state.exists() or any(cluster.netns(machine) in here for machine in MACHINES)
            or any((cgroup_root() / cluster.netns(machine)).exists() for machine in MACHINES))


def down(cluster: Cluster) -> None:
    """Ends all that runs in the cluster and removes every trace of it."""
    end(cluster.state / "forward.pid")
    present = network.namespaces()
    for machine in MACHINES:
        # With a machine's process 1 all that ran in its namespaces ends, and with these what was mounted there.
        end(cluster.own(machine) / "pid")
        if cluster.netns(machine) in present:
            for pid in run("ip", "netns", "pids", cluster.netns(machine)).split():
                kill(int(pid))
    for machine in MACHINES:
        remove_cgroup(cgroup_root() / cluster.netns(machine))
        if cluster.netns(machine) in present:
            run("ip", "netns", "delete", cluster.netns(machine))
    shutil.rmtree(cluster.state, ignore_errors=True)
    rmdir(cluster.state.parent)


def end(file: Path) -> None:
    """Ends the process that a file names, if it is still the one that we started."""
    if not file.exists():
        return
    pid = int(file.read_text())
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return
    if any(word in command for word in (b"unshare", b"socat")):
        # Its children too: each leads a session of its own.
        kill(-pid)


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def remove_cgroup(cgroup: Path) -> None:
    """Removes a cgroup and those in it, once its last process is gone. (`kill -0` finds zombies too.)"""
    end = time.monotonic() + 20
    while cgroup.exists():
        for folder in sorted(cgroup.rglob("*/"), reverse=True):
            rmdir(folder)
        if rmdir(cgroup):
            return
        if time.monotonic() > end:
            raise Failure(f"{cgroup} is still in use by {(cgroup / 'cgroup.procs').read_text().split()}")
        time.sleep(0.1)


def rmdir(folder: Path) -> bool:
    try:
        folder.rmdir()
        return True
    except OSError:
        return False


def cgroup_root() -> Path:
    """Where this machine has cgroup2: all of its hierarchy, or the part beside version 1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, folder, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(folder)
    raise Failure("no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")


# === faults ===

def send(cluster: Cluster, machine: Machine, service: str, what: signal.Signals) -> None:
    """Sends a signal to a machine's service, such as apiserver or etcd. Its process 1 starts it anew if it ends."""
    for pid in run("ip", "netns", "pids", cluster.netns(machine)).split():
        try:
            program = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
        except OSError:
            continue
        if Path(program).name.removeprefix("kube-") == service:
            os.kill(int(pid), what)
            return
    raise Failure(f"{service} does not run on {machine.name}")


def link(cluster: Cluster, node: Machine, up: bool) -> None:
    """Cuts a node off, or lets it back: its one network link goes down or up."""
    run("ip", "-n", cluster.netns(CONTROL), "link", "set", node.name, "up" if up else "down")
