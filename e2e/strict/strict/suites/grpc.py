"""gRPC's interop client against its interop server, with Portolan between them by a GRPCRoute."""

import subprocess

from .. import places, versions
from ..outcome import Case, Outcome, SuiteResult
from ..world import HOST, NAME, World

CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "status_code_and_message",
    "special_status_message", "custom_metadata", "unimplemented_method", "unimplemented_service", "rpc_soak",
    "channel_soak",
]
"""Those that concern the way between client and server. The rest is about credentials of one cloud, or about load
reports and server identities, which the plain interop server does not send."""

CASE_SECONDS_MAX = 60
MODULE = "google.golang.org/grpc"


def run(world: World) -> list[SuiteResult]:
    """Both kinds of connection."""
    version = f"grpc-go interop {versions.go(MODULE)}"
    trust = ["-use_tls", "-use_test_ca", "-ca_file", str(world.authority), "-server_host_override", NAME]
    return [
        SuiteResult("grpc-h2c", "gRPC, prior knowledge", version, _cases(world.ports.grpc, [])),
        SuiteResult("grpc-tls", "gRPC over TLS", version, _cases(world.ports.grpcs, trust)),
    ]


def _cases(port: int, options: list[str]) -> list[Case]:
    return [_case(name, port, options) for name in CASES]


def _case(name: str, port: int, options: list[str]) -> Case:
    command = [places.INTEROP_CLIENT, "-server_host", HOST, "-server_port", str(port), *options, "-test_case", name]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=CASE_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return Case(name, Outcome.FAILED, f"no end within {CASE_SECONDS_MAX} s")
    if result.returncode == 0:
        return Case(name, Outcome.PASSED)
    return Case(name, Outcome.FAILED, result.stderr.strip()[-300:])
