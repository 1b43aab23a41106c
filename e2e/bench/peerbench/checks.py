"""Asks a proxy whether it does the whole job before it is measured, so that nobody is fast by doing less."""

import http.client
import ssl
import time

from . import wasm
from .loads import Load
from .peers import Ports
from .processes import START_SECONDS_MAX
from .rules import Scenario

_TIMEOUT_SECONDS = 5


class CheckFailed(Exception):
    """A proxy does not do its job."""


def await_answer(port: int, load: Load) -> None:
    """Waits until the proxy answers what it will be asked."""
    end = time.monotonic() + START_SECONDS_MAX
    outcome: object = None
    while time.monotonic() < end:
        try:
            outcome = _ask(port, load.host, load.path)[0]
        except (OSError, http.client.HTTPException) as error:
            outcome = error
        if outcome == 200:
            return
        time.sleep(0.02)
    raise CheckFailed(f"no good answer in {START_SECONDS_MAX} s, the last was {outcome}")


def whole_job(port: int, load: Load, scenario: Scenario) -> None:
    """Sizes, X-Forwarded-For, unknown hosts, connections to the backend that are used again, the filter's mark."""
    _, _, body = _ask(port, load.host, load.path)
    _demand(len(body) == (1 << 20 if load.path == "/1m" else 13), f"the body has {len(body)} bytes")
    _demand(_ask(port, "unknown.invalid", "/")[0] == 404, "an unknown host is served")
    answers = [_ask(port, load.host, "/echo") for _ in range(3)]
    _, headers, head = answers[0]
    text = head.decode(errors="replace").lower()
    # Not the value: Envoy names an address of the machine in place of a loopback peer's.
    _demand("\r\nx-forwarded-for: " in text, f"the backend sees no X-Forwarded-For: {text}")
    _demand(f"host: {load.host}" in text, f"the backend sees another host: {text}")
    connections = {headers["x-connection"] for _, headers, _ in answers}
    _demand(len(connections) == 1, f"three requests used the backend's connections {sorted(connections)}")
    _demand((headers.get(wasm.HEADER) is not None) == (scenario is Scenario.FILTER), "the filter's mark is wrong")


def agreed_tls(ports: Ports) -> str:
    """The version and cipher that the proxy and OpenSSL agree on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    connection = http.client.HTTPSConnection("127.0.0.1", ports.https, timeout=_TIMEOUT_SECONDS, context=context)
    try:
        connection.connect()
        return f"{connection.sock.version()} {connection.sock.cipher()[0]}"
    finally:
        connection.close()


def _ask(port: int, host: str, path: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def _demand(held: bool, complaint: str) -> None:
    if not held:
        raise CheckFailed(complaint)
