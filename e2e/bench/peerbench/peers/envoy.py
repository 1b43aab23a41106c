"""Envoy: one worker; its configuration for the job, as JSON, which is YAML too."""

import json
import subprocess
from itertools import groupby

from .. import places
from ..processes import Command, environment
from ..rules import MIX_HEADER, Match, Rule, Scenario, rules
from ..wasm import CONFIGURATION
from . import Job, Peer

_TYPES = "type.googleapis.com/envoy.extensions"
_MANY = 100_000


def _typed(kind: str, **fields) -> dict:
    return {"@type": f"{_TYPES}.{kind}", **fields}


def _address(port: int) -> dict:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _route(rule: Rule) -> dict:
    match rule.match:
        case Match.EXACT:
            found = {"path": rule.path}
        case Match.REGEX:
            found = {"safe_regex": {"regex": rule.path}}
        case Match.PREFIX:
            found = {"prefix": rule.path}
    if rule.header:
        found["headers"] = [{"name": MIX_HEADER, "string_match": {"exact": rule.header}}]
    return {"match": found, "route": {"cluster": "backend"}}


def virtual_hosts(of: list[Rule]) -> list[dict]:
    """One virtual host for each host, its routes in the order of the rules."""
    by_host = sorted(of, key=lambda rule: rule.host)  # The sort is stable: precedence within a host stays.
    return [
        {"name": host, "domains": [host], "routes": [_route(rule) for rule in group]}
        for host, group in groupby(by_host, key=lambda rule: rule.host)
    ]


def _wasm_filter() -> dict:
    code = {"local": {"filename": str(places.WASM_FILTER)}}
    configuration = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(CONFIGURATION)}
    plugin = {"vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": code}, "configuration": configuration}
    return {"name": "envoy.filters.http.wasm", "typed_config": _typed("filters.http.wasm.v3.Wasm", config=plugin)}


def _manager(job: Job) -> dict:
    router = {"name": "envoy.filters.http.router", "typed_config": _typed("filters.http.router.v3.Router")}
    filters = [_wasm_filter(), router] if job.scenario is Scenario.FILTER else [router]
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": _typed(
            "filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="bench",
            codec_type="AUTO",
            generate_request_id=False,
            use_remote_address=True,
            route_config={"name": "routes", "virtual_hosts": virtual_hosts(rules(job.scenario))},
            http_filters=filters,
        ),
    }


def _tls() -> dict:
    chain, key = {"filename": str(places.CERTIFICATE)}, {"filename": str(places.KEY)}
    certificate = {"certificate_chain": chain, "private_key": key}
    context = _typed(
        "transport_sockets.tls.v3.DownstreamTlsContext",
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context={"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [certificate]},
    )
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _cluster(backend: int) -> dict:
    endpoint = {"endpoint": {"address": _address(backend)}}
    return {
        "name": "backend",
        "type": "STATIC",
        "connect_timeout": "1s",
        "circuit_breakers": {
            "thresholds": [{"max_connections": _MANY, "max_pending_requests": _MANY, "max_requests": _MANY}],
        },
        "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _prepare(job: Job) -> Command:
    plain = {"filters": [_manager(job)]}
    tls = {**plain, "transport_socket": _tls()}
    listeners = [
        {"name": "http", "address": _address(job.ports.http), "filter_chains": [plain]},
        {"name": "https", "address": _address(job.ports.https), "filter_chains": [tls]},
    ]
    configuration = {
        "admin": {"address": _address(job.ports.admin)},
        "static_resources": {"listeners": listeners, "clusters": [_cluster(job.backend)]},
    }
    path = job.folder / "envoy.json"
    path.write_text(json.dumps(configuration, indent=1))
    return Command([
        str(places.envoy()), "-c", str(path), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart",
    ])


def _version() -> str:
    shown = subprocess.run([str(places.envoy()), "--version"], env=environment(), capture_output=True, text=True)
    return "envoy/" + shown.stdout.strip().rsplit("version: ", 1)[-1].split("/")[1]


ENVOY = Peer("envoy", frozenset(Scenario), one_port=True, prepare=_prepare, version=_version)
