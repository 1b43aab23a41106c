"""Process 1 of one of the cluster's machines: sets up what is its own, then keeps its services running.

It runs by itself (`python3 machine.py SETTINGS.json`), inside namespaces that are there already."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

RESTART_SECONDS = 1.0
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io")


@dataclass(frozen=True)
class Settings:
    """What a machine is told; the file that holds it is written by `lifecycle`."""

    name: str
    role: str
    own: str
    pki: str
    bin: str
    runc_unlimited: str
    address: str
    address6: str
    pods: str
    pods6: str
    port: int
    images: list[str]


def main() -> None:
    settings = Settings(**json.loads(Path(sys.argv[1]).read_text()))
    os.environ["PATH"] = f"{settings.bin}:{os.environ['PATH']}"
    own_view(settings)
    services = control(settings) if settings.role == "control" else node(settings)
    supervise(settings, services)


def own_view(settings: Settings) -> None:
    """A host name, and folders for what programs write where it cannot be told."""
    own = Path(settings.own)
    shell("hostname", settings.name)
    shell("mount", "-t", "tmpfs", "run", "/run")
    for name in ("lib", "log"):
        (own / name).mkdir(exist_ok=True)
        shell("mount", "--bind", own / name, f"/var/{name}")


def control(settings: Settings) -> dict[str, list[str]]:
    """The control plane's services: name and command."""
    pki = settings.pki
    key = f"{pki}/service-account.key"
    return {
        "etcd": ["etcd", "--data-dir", f"{settings.own}/lib/etcd", "--unsafe-no-fsync",
                 "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
                 "--listen-peer-urls", "http://127.0.0.1:2380"],
        # No kube-proxy serves Service addresses here: webhooks are reached at their pods.
        "apiserver": ["kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379",
                      "--advertise-address", settings.address, "--secure-port", str(settings.port),
                      "--allow-privileged",
                      "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
                      "--client-ca-file", f"{pki}/ca.crt", "--enable-aggregator-routing",
                      "--kubelet-certificate-authority", f"{pki}/ca.crt",
                      "--kubelet-client-certificate", f"{pki}/admin.crt",
                      "--kubelet-client-key", f"{pki}/admin.key",
                      "--kubelet-preferred-address-types", "InternalIP",
                      "--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
                      "--service-account-key-file", key, "--service-account-signing-key-file", key,
                      "--service-cluster-ip-range", "10.96.0.0/16,fd00:96::/112",
                      "--tls-cert-file", f"{pki}/apiserver.crt", "--tls-private-key-file", f"{pki}/apiserver.key"],
        "controller-manager": ["kube-controller-manager", "--kubeconfig", f"{pki}/controller-manager.kubeconfig",
                               "--leader-elect=false", "--root-ca-file", f"{pki}/ca.crt",
                               "--cluster-signing-cert-file", f"{pki}/ca.crt",
                               "--cluster-signing-key-file", f"{pki}/ca.key",
                               "--service-account-private-key-file", key, "--use-service-account-credentials"],
        "scheduler": ["kube-scheduler", "--kubeconfig", f"{pki}/scheduler.kubeconfig", "--leader-elect=false"],
    }


def node(settings: Settings) -> dict[str, list[str]]:
    """A node's services, once its images are imported."""
    own, pki = Path(settings.own), settings.pki
    limited = cgroups()
    shell("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    shell("mount", "--make-rshared", "/")
    for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        Path("/proc/sys", *name.split(".")).write_text("1")
    (own / "cni").mkdir(exist_ok=True)
    (own / "cni/10-cluster.conflist").write_text(cni(settings))
    (own / "containerd.toml").write_text(containerd(own, "runc" if limited else settings.runc_unlimited))
    (own / "kubelet.yaml").write_text(kubelet(settings))
    (own / "proxy.yaml").write_text(proxy(pki))
    Path("/run/containerd").mkdir()
    return {
        "containerd": ["containerd", "--config", f"{own}/containerd.toml"],
        "kubelet": ["kubelet", "--config", f"{own}/kubelet.yaml", "--kubeconfig", f"{pki}/{settings.name}.kubeconfig",
                    "--hostname-override", settings.name, "--node-ip", f"{settings.address},{settings.address6}"],
        "proxy": ["kube-proxy", "--config", f"{own}/proxy.yaml", "--hostname-override", settings.name],
    }


def cgroups() -> bool:
    """Mounts cgroup2, of which this machine sees its own part alone. Says whether it can limit memory: where the whole
    machine binds its controllers to cgroup v1, nothing below can."""
    shell("mount", "-t", "cgroup2", "cgroup2", CGROUPS)
    available = (CGROUPS / "cgroup.controllers").read_text().split()
    if "memory" not in available:
        return False
    # A group with processes of its own cannot hand controllers down.
    (CGROUPS / "init").mkdir(exist_ok=True)
    (CGROUPS / "init/cgroup.procs").write_text("0")
    (CGROUPS / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in CONTROLLERS if name in available))
    return True


def cni(settings: Settings) -> str:
    ranges = [[{"subnet": settings.pods}], [{"subnet": settings.pods6}]]
    plugins = [
        {"type": "ptp", "ipam": {"type": "host-local", "ranges": ranges,
                                 "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "cluster", "plugins": plugins}, indent=2)


def containerd(own: Path, runc: str) -> str:
    return f"""\
version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  # Without the right to lower oom_score_adj, which a nested machine lacks, runc would fail.
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{own}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    BinaryName = "{runc}"
    SystemdCgroup = false
"""


def kubelet(settings: Settings) -> str:
    return f"""\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, x509: {{clientCAFile: {settings.pki}/ca.crt}}}}
cgroupDriver: cgroupfs
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
evictionHard: {{memory.available: 100Mi}}
failSwapOn: false
imageGCHighThresholdPercent: 100
resolvConf: ""
tlsCertFile: {settings.pki}/{settings.name}.crt
tlsPrivateKeyFile: {settings.pki}/{settings.name}.key
"""


def proxy(pki: str) -> str:
    # Only the first network namespace of a machine may set the size of the table of connections.
    return f"""\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.244.0.0/16,fd00:244::/32
clientConnection: {{kubeconfig: {pki}/proxy.kubeconfig}}
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"""


def shell(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True)


# === running ===

def supervise(settings: Settings, services: dict[str, list[str]]) -> None:
    """Starts the services and starts anew what ends, as a real machine's process 1 does; reaps orphans."""
    running: dict[int, str] = {}
    for name, command in services.items():
        running[start(settings, name, command)] = name
        if name == "containerd":
            import_images(settings)
    due: dict[str, float] = {}
    while True:
        pid = ended()
        name = running.pop(pid, None)
        if name:
            note(f"{name} (process {pid}) ended; it starts anew in {RESTART_SECONDS:.0f} s")
            due[name] = time.monotonic() + RESTART_SECONDS
        for name, when in list(due.items()):
            if time.monotonic() >= when:
                running[start(settings, name, services[name])] = name
                del due[name]
        if not pid:
            time.sleep(0.1)


def ended() -> int:
    """A child that ended, or 0."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return 0


def start(settings: Settings, name: str, command: list[str]) -> int:
    """Starts a service. Not by `subprocess`, which reaps behind our back what it started."""
    opened = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(command[0], command, os.environ, setsid=True, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, f"{settings.own}/{name}.log", opened, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ])
    Path(f"{settings.own}/{name}.pid").write_text(str(pid))
    note(f"{name} runs as process {pid}")
    return pid


def import_images(settings: Settings) -> None:
    """Waits for containerd, then hands it the images, before the kubelet asks for any."""
    while not Path("/run/containerd/containerd.sock").is_socket():
        time.sleep(0.05)
    for image in settings.images:
        note(f"importing {image}")
        shell("ctr", "--namespace", "k8s.io", "images", "import", "--local", "--no-unpack", image)


def note(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    main()
