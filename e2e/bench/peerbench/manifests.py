"""Gateway API objects for the benchmark, as plain data. It writes no files."""

import base64
from pathlib import Path
from typing import Any

from .rules import MIX_HEADER, Match, Rule

GATEWAY = "bench"
CERTIFICATE = "bench-cert"
SERVICE = "backend"
SERVICE_PORT = 8080
FILTER = "bench"


def gateway(http: int, https: int | None = None) -> dict:
    """A Gateway on 127.0.0.1 with an HTTP and, if asked, an HTTPS listener."""
    listeners: list[dict[str, Any]] = [{"name": "http", "port": http, "protocol": "HTTP"}]
    if https:
        tls = {"mode": "Terminate", "certificateRefs": [{"name": CERTIFICATE}]}
        listeners.append({"name": "https", "port": https, "protocol": "HTTPS", "tls": tls})
    spec = {
        "gatewayClassName": "portolan",
        "addresses": [{"type": "IPAddress", "value": "127.0.0.1"}],
        "listeners": listeners,
    }
    return _object("gateway.networking.k8s.io/v1", "Gateway", GATEWAY, spec=spec)


def certificate(cert: Path, key: Path) -> dict:
    """The Secret with the certificate."""
    data = {name: base64.b64encode(path.read_bytes()).decode() for name, path in [("tls.crt", cert), ("tls.key", key)]}
    return _object("v1", "Secret", CERTIFICATE, type="kubernetes.io/tls", data=data)


def service(name: str = SERVICE) -> dict:
    """A Service without a selector: its endpoints are given."""
    port = {"name": "http", "port": SERVICE_PORT, "protocol": "TCP"}
    return _object("v1", "Service", name, spec={"ports": [port]})


def endpoints(addresses: list[str], port: int, name: str = SERVICE) -> dict:
    """The EndpointSlice of a Service."""
    found = _object("discovery.k8s.io/v1", "EndpointSlice", f"{name}-1")
    found["metadata"]["labels"] = {"kubernetes.io/service-name": name}
    ready = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    ports = [{"name": "http", "port": port, "protocol": "TCP"}]
    return {**found, "addressType": "IPv4", "endpoints": ready, "ports": ports}


def wasm_filter(file: str, configuration: dict) -> dict:
    """The WasmFilter that runs the module in a file beside the manifest."""
    spec = {"module": {"file": file}, "config": configuration, "failureMode": "Closed"}
    return _object("portolan.dev/v1alpha1", "WasmFilter", FILTER, spec=spec)


def route(name: str, rules: list[Rule], filtered: bool = False, to: str = SERVICE) -> dict:
    """An HTTPRoute of rules that share a host."""
    spec = {
        "parentRefs": [{"name": GATEWAY}],
        "hostnames": [rules[0].host],
        "rules": [_rule(rule, filtered, to) for rule in rules],
    }
    return _object("gateway.networking.k8s.io/v1", "HTTPRoute", name, spec=spec)


def _rule(rule: Rule, filtered: bool, to: str) -> dict:
    # A prefix of the Gateway API is made of whole segments, with or without a slash behind them.
    path = (rule.path.rstrip("/") or "/") if rule.match is Match.PREFIX else rule.path
    match: dict[str, Any] = {"path": {"type": rule.match.value, "value": path}}
    if rule.header:
        match["headers"] = [{"name": MIX_HEADER, "value": rule.header}]
    made: dict[str, Any] = {"matches": [match]}
    if filtered:
        reference = {"group": "portolan.dev", "kind": "WasmFilter", "name": FILTER}
        made["filters"] = [{"type": "ExtensionRef", "extensionRef": reference}]
    return {**made, "backendRefs": [{"name": to, "port": SERVICE_PORT}]}


def _object(api_version: str, kind: str, name: str, **fields: Any) -> dict:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}
