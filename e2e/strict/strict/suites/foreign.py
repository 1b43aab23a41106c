"""curl of this machine: what a client that everybody has makes of the answers."""

import json
import subprocess

from .. import cases
from ..cases import check
from ..outcome import SuiteResult
from ..world import HOST, NAME, World

SECONDS_MAX = 20
MARK = "\n==curl=="
"""Separates what curl received from what it says of the transfer."""


def run(world: World) -> list[SuiteResult]:
    """All cases."""
    return [SuiteResult("curl", "HTTP/1.0, HTTP/1.1, HTTP/2, TLS", "curl", cases.run(CASES, world))]


def _curl(world: World, scheme: str, *options: str, data: bytes | None = None) -> tuple[str, str, str]:
    """Status, protocol version and body."""
    port = world.ports.https if scheme == "https" else world.ports.http
    command = [
        "curl", "--silent", "--show-error", "--max-time", str(SECONDS_MAX), "--cacert", str(world.authority),
        "--resolve", f"{NAME}:{port}:{HOST}", "--write-out", MARK + "%{http_code} %{http_version}",
        *options, f"{scheme}://{NAME}:{port}/",
    ]
    result = subprocess.run(command, input=data, capture_output=True)
    check(result.returncode == 0, f"curl ended with {result.returncode}: {result.stderr.decode().strip()}")
    body, _, told = result.stdout.decode().rpartition(MARK)
    status, version = told.split()
    return status, version, body


def _expect(got: tuple[str, str, str], version: str) -> dict:
    check(got[:2] == ("200", version), f"{got[0]} over HTTP/{got[1]} instead of 200 over HTTP/{version}")
    return json.loads(got[2])


def http_1_0_is_answered(world: World) -> None:
    status, version, _ = _curl(world, "http", "--http1.0")
    check(status == "200" and version in ("1", "1.1"), f"{status} over HTTP/{version}")


def http_1_1_is_answered(world: World) -> None:
    _expect(_curl(world, "http", "--http1.1"), "1.1")


def http_2_is_answered_by_prior_knowledge(world: World) -> None:
    _expect(_curl(world, "http", "--http2-prior-knowledge"), "2")


def offer_to_upgrade_to_http_2_is_ignored(world: World) -> None:
    """RFC 9113, 3.1: that way of upgrading is gone."""
    seen = _expect(_curl(world, "http", "--http2"), "1.1")
    check("http2-settings" not in seen["headers"] and "upgrade" not in seen["headers"], f"{seen['headers']}")


def alpn_chooses_http_2(world: World) -> None:
    _expect(_curl(world, "https", "--http2"), "2")


def alpn_chooses_http_1_1(world: World) -> None:
    _expect(_curl(world, "https", "--http1.1"), "1.1")


def tls_without_alpn_is_http_1_1(world: World) -> None:
    _expect(_curl(world, "https", "--no-alpn"), "1.1")


def tls_1_2_is_enough(world: World) -> None:
    _expect(_curl(world, "https", "--tls-max", "1.2"), "2")


def tls_1_1_is_not_enough(world: World) -> None:
    try:
        _curl(world, "https", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0")
    except cases.Failure:
        return
    raise cases.Failure("TLS 1.1 is accepted")


def chunked_upload_arrives(world: World) -> None:
    for version, option in (("1.1", "--http1.1"), ("2", "--http2-prior-knowledge")):
        got = _curl(world, "http", option, "--upload-file", "-", data=b"x" * 300_000)
        seen = _expect(got, version)
        check((seen["method"], seen["body_length"]) == ("PUT", 300_000), f"{seen['method']} {seen['body_length']}")


def expect_100_continue_is_honoured(world: World) -> None:
    options = ["--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary", "@-"]
    got = _curl(world, "http", *options, "--max-time", "10", data=b"x" * 2_000_000)
    check(_expect(got, "1.1")["body_length"] == 2_000_000, "the body is cut off")


def head_is_answered_without_a_body(world: World) -> None:
    status, _, body = _curl(world, "http", "--head")
    check(status == "200" and body.rstrip().lower().find("content-length") >= 0, f"{status}: {body}")


def connection_is_reused(world: World) -> None:
    url = f"http://{NAME}:{world.ports.http}/"
    options = ["--write-out", "%{num_connects}" + MARK + "%{http_code} %{http_version}", "--output", "/dev/null", url]
    _, _, connects = _curl(world, "http", *options, "--output", "/dev/null")
    check(connects.endswith("0"), f"connections made for each request: {connects}")


CASES = [
    http_1_0_is_answered, http_1_1_is_answered, http_2_is_answered_by_prior_knowledge,
    offer_to_upgrade_to_http_2_is_ignored, alpn_chooses_http_2, alpn_chooses_http_1_1, tls_without_alpn_is_http_1_1,
    tls_1_2_is_enough, tls_1_1_is_not_enough, chunked_upload_arrives, expect_100_continue_is_honoured,
    head_is_answered_without_a_body, connection_is_reused,
]
