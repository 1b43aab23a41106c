"""The `portolan dev` that is examined, its manifests, and the backends behind it. It judges nothing."""

import contextlib
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from . import places
from .processes import free_ports, running

HOST = "127.0.0.1"
NAME = "localhost"
"""The name in the certificate that `portolan dev` makes for listeners without a hostname."""


@dataclass(frozen=True)
class Ports:
    """Where everything listens, on loopback."""

    http: int
    https: int
    grpc: int
    grpcs: int
    admin: int
    websocket: int
    """The WebSocket echo of wsproto."""
    raw: int
    """The backend that upgrades and then goes its own ways."""
    interop: int
    """gRPC's interop server."""


@dataclass(frozen=True)
class World:
    """What suites are pointed at."""

    ports: Ports
    portolan: subprocess.Popen
    authority: Path
    """The local CA's certificate."""


@contextlib.contextmanager
def world() -> Iterator[World]:
    """Serves until the end of the block."""
    ports = Ports(*free_ports(8))
    with tempfile.TemporaryDirectory(prefix="portolan-strict-") as folder, contextlib.ExitStack() as stack:
        manifests, state = Path(folder, "manifests"), Path(folder, "state")
        manifests.mkdir()
        for number, manifest in enumerate(objects(ports)):
            # JSON is YAML.
            Path(manifests, f"{number:02}.yaml").write_text(json.dumps(manifest, indent=1))
        python = [places.PYTHON, "-m"]
        for name, module, port in (
            ("websocket", "strict.websocket_echo", ports.websocket),
            ("raw", "strict.raw_backend", ports.raw),
        ):
            stack.enter_context(running(name, [*python, module, str(port)], port))
        stack.enter_context(running("interop", [places.INTEROP_SERVER, "-port", str(ports.interop)], ports.interop))
        dev = [places.portolan(), "dev", manifests, "--state-dir", state]
        process = stack.enter_context(running("portolan", [*dev, "--admin", f"{HOST}:{ports.admin}"], ports.http))
        authority = Path(folder, "ca.pem")
        authority.write_bytes(subprocess.run([*dev, "--print-ca"], check=True, capture_output=True).stdout)
        yield World(ports, process, authority)


def objects(ports: Ports) -> list[dict]:
    """The manifests."""
    return [
        _gateway(ports),
        _object("apps/v1", "Deployment", "echo", {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "echo"}},
            "template": {"metadata": {"labels": {"app": "echo"}}, "spec": {"containers": [
                {"name": "echo", "image": "example.com/echo:1", "ports": [{"containerPort": 8080}]},
            ]}},
        }),
        _object("v1", "Service", "echo", {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": 8080}]}),
        *_explicit("websocket", "kubernetes.io/ws", ports.websocket),
        *_explicit("raw", "kubernetes.io/ws", ports.raw),
        *_explicit("interop", "kubernetes.io/h2c", ports.interop),
        _object("gateway.networking.k8s.io/v1", "HTTPRoute", "http", {
            "parentRefs": _parents("http", "https"),
            "rules": [_rule("/websocket", "websocket"), _rule("/raw", "raw"), _rule("/", "echo")],
        }),
        _object("gateway.networking.k8s.io/v1", "GRPCRoute", "grpc", {
            "parentRefs": _parents("grpc", "grpcs"),
            "rules": [{"backendRefs": [{"name": "interop", "port": 80}]}],
        }),
    ]


def _gateway(ports: Ports) -> dict:
    plain = [{"name": name, "port": getattr(ports, name), "protocol": "HTTP"} for name in ("http", "grpc")]
    tls = {"certificateRefs": [{"name": "strict-tls"}]}
    secure = [
        {"name": name, "port": getattr(ports, name), "protocol": "HTTPS", "tls": tls} for name in ("https", "grpcs")
    ]
    spec = {"gatewayClassName": "portolan", "listeners": plain + secure}
    return _object("gateway.networking.k8s.io/v1", "Gateway", "strict", spec)


def _explicit(name: str, protocol: str, port: int) -> list[dict]:
    """A Service whose one endpoint is a backend of ours."""
    metadata = {"name": name, "labels": {"kubernetes.io/service-name": name}}
    return [
        _object("v1", "Service", name, {"ports": [{"name": name, "port": 80, "appProtocol": protocol}]}),
        {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
            "endpoints": [{"addresses": [HOST]}], "ports": [{"name": name, "port": port}],
        },
    ]


def _object(version: str, kind: str, name: str, spec: dict) -> dict:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _parents(*listeners: str) -> list[dict]:
    return [{"name": "strict", "sectionName": listener} for listener in listeners]


def _rule(prefix: str, service: str) -> dict:
    match = {"path": {"type": "PathPrefix", "value": prefix}}
    return {"matches": [match], "backendRefs": [{"name": service, "port": 80}]}
