"""The cluster's certificates, and a kubeconfig for each who talks to the API server."""

import base64
from pathlib import Path

from minicluster.places import CONTROL, NODES, Cluster, Machine
from minicluster.run import run

DAYS = "365"
SERVER_NAMES = ("DNS:localhost", "DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc",
                "DNS:kubernetes.default.svc.cluster.local", "IP:127.0.0.1", "IP:10.96.0.1", "IP:fd00:96::1")
# Who is whom is Kubernetes' own: these users have their roles without a word of ours.
USERS = {
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
    "proxy": "/CN=system:kube-proxy",
}


def make(cluster: Cluster, port: int) -> None:
    """Makes them all, in a folder that only its owner reads; `port` is the API server's."""
    pki = cluster.pki
    pki.mkdir(mode=0o700)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", pki / "ca.key")
    run("openssl", "req", "-x509", "-new", "-key", pki / "ca.key", "-days", DAYS, "-subj", f"/CN={cluster.name}-ca",
        "-out", pki / "ca.crt")
    run("openssl", "genrsa", "-out", pki / "service-account.key", "2048")
    certificate(pki, "apiserver", "/CN=kube-apiserver", (f"IP:{CONTROL.address}", f"IP:{CONTROL.address6}", *SERVER_NAMES))
    for user, subject in USERS.items():
        certificate(pki, user, subject, ())
        kubeconfig(pki, user, f"https://{CONTROL.address}:{port}")
    for node in NODES:
        certificate(pki, node.name, f"/O=system:nodes/CN=system:node:{node.name}", names(node))
        kubeconfig(pki, node.name, f"https://{CONTROL.address}:{port}")
    kubeconfig(pki, "admin", f"https://127.0.0.1:{port}", cluster.kubeconfig)


def names(node: Machine) -> tuple[str, ...]:
    return (f"DNS:{node.name}", f"IP:{node.address}", f"IP:{node.address6}")


def certificate(pki: Path, name: str, subject: str, alternatives: tuple[str, ...]) -> None:
    key, request, extensions = (pki / f"{name}.{end}" for end in ("key", "csr", "ext"))
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    run("openssl", "req", "-new", "-key", key, "-subj", subject, "-out", request)
    extensions.write_text("extendedKeyUsage=serverAuth,clientAuth\n"
                          f"subjectAltName={','.join(alternatives or (f'DNS:{name}',))}\n")
    run("openssl", "x509", "-req", "-days", DAYS, "-in", request, "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key",
        "-CAcreateserial", "-extfile", extensions, "-out", pki / f"{name}.crt")
    request.unlink()
    extensions.unlink()


def kubeconfig(pki: Path, user: str, server: str, out: Path | None = None) -> None:
    """Writes how to reach `server` as `user`."""
    def data(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    out = out or pki / f"{user}.kubeconfig"
    out.touch(mode=0o600)
    out.write_text(f"""\
apiVersion: v1
kind: Config
current-context: cluster
contexts:
- name: cluster
  context: {{cluster: cluster, user: {user}}}
clusters:
- name: cluster
  cluster:
    server: {server}
    certificate-authority-data: {data("ca.crt")}
users:
- name: {user}
  user:
    client-certificate-data: {data(f"{user}.crt")}
    client-key-data: {data(f"{user}.key")}
""")
