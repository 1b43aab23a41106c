"""Trailers by hand, over each version of HTTP: those that a message may have arrive, and those that frame, route or
authorise it do not (RFC 9110, 6.5.1), since a backend may merge them into the header fields that were checked."""

import asyncio
import json
import socket

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset

from .. import cases
from ..cases import check
from ..http3.client import connected
from ..outcome import SuiteResult
from ..wire import SECONDS_MAX, Wire
from ..world import HOST, NAME, World

HARMLESS = {"x-checksum": "7"}
FORBIDDEN = {
    "content-length": "7", "host": "other.example", "authorization": "Basic eDp5", "x-forwarded-for": "192.0.2.1",
}
OF_THE_CONNECTION = {"connection": "close", "transfer-encoding": "chunked", "te": "gzip"}
"""HTTP/2 and HTTP/3 have none of these: there, a message with one is malformed."""


def run(world: World) -> list[SuiteResult]:
    """All cases."""
    return [SuiteResult("trailers", "Trailers, HTTP/1.1, HTTP/2, HTTP/3", "own cases", cases.run(CASES, world))]


def _seen_over_http_1_1(world: World, trailers: dict[str, str]) -> dict:
    section = "".join(f"{name}: {value}\r\n" for name, value in trailers.items())
    with Wire(world, tls=False) as wire:
        body = f"1\r\na\r\n0\r\n{section}\r\n"
        answer = wire.request("POST", "/", {"Transfer-Encoding": "chunked"}, body.encode())
        return _seen(answer.status, wire.receive(int(answer.headers["content-length"])))


def _seen_over_http_2(world: World, trailers: dict[str, str]) -> dict | None:
    """`None` where the request was refused as malformed."""
    configuration = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
    connection, body = H2Connection(configuration), b""
    connection.initiate_connection()
    head = [(":method", "POST"), (":scheme", "http"), (":authority", NAME), (":path", "/")]
    connection.send_headers(1, head)
    connection.send_data(1, b"a")
    connection.send_headers(1, list(trailers.items()), end_stream=True)
    with socket.create_connection((HOST, world.ports.http), SECONDS_MAX) as plain:
        plain.sendall(connection.data_to_send())
        while received := plain.recv(1 << 16):
            for event in connection.receive_data(received):
                match event:
                    case DataReceived():
                        body += event.data
                    case StreamEnded():
                        return _seen(200, body)
                    case StreamReset():
                        return None
    raise ConnectionError("the connection ends")


async def _seen_over_http_3(world: World, trailers: dict[str, str]) -> dict | None:
    """`None` where the request was refused as malformed."""
    async with connected(world) as client:
        fields = [(name.encode(), value.encode()) for name, value in trailers.items()]
        answer = await client.ask("POST", b"a", trailers=fields)
        return None if answer.reset is not None or answer.status == 400 else _seen(answer.status, answer.body)


def _seen(status: int, body: bytes) -> dict:
    check(status == 200, f"{status} instead of 200")
    return json.loads(body)["trailers"]


def _check_clean(seen: dict) -> None:
    check("x-checksum" in seen, f"the harmless one is lost: {seen}")
    found = sorted((FORBIDDEN | OF_THE_CONNECTION).keys() & seen.keys())
    check(not found, f"the backend saw {', '.join(found)}")


def harmless_trailers_arrive(world: World) -> None:
    for seen in (
        _seen_over_http_1_1(world, HARMLESS), _seen_over_http_2(world, HARMLESS),
        asyncio.run(_seen_over_http_3(world, HARMLESS)),
    ):
        check(seen == {"x-checksum": ["7"]}, f"the backend saw {seen}")


def forbidden_trailers_are_held_back_over_http_1_1(world: World) -> None:
    _check_clean(_seen_over_http_1_1(world, HARMLESS | FORBIDDEN | OF_THE_CONNECTION))


def forbidden_trailers_are_held_back_over_http_2(world: World) -> None:
    _check_clean(_seen_over_http_2(world, HARMLESS | FORBIDDEN))


def forbidden_trailers_are_held_back_over_http_3(world: World) -> None:
    _check_clean(asyncio.run(_seen_over_http_3(world, HARMLESS | FORBIDDEN)))


def trailers_about_the_connection_are_malformed_over_http_2(world: World) -> None:
    for name, value in OF_THE_CONNECTION.items():
        check(_seen_over_http_2(world, {name: value}) is None, f"{name} is taken")


def trailers_about_the_connection_are_malformed_over_http_3(world: World) -> None:
    for name, value in OF_THE_CONNECTION.items():
        check(asyncio.run(_seen_over_http_3(world, {name: value})) is None, f"{name} is taken")


CASES = [
    harmless_trailers_arrive, forbidden_trailers_are_held_back_over_http_1_1,
    forbidden_trailers_are_held_back_over_http_2, forbidden_trailers_are_held_back_over_http_3,
    trailers_about_the_connection_are_malformed_over_http_2, trailers_about_the_connection_are_malformed_over_http_3,
]
