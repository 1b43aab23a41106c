"""What Autobahn's cases cannot see: that a proxy carries an upgraded connection's bytes untouched, each direction by
itself, at the pace of the slower side, and refusals and headers too. Over plain TCP, over TLS, and over HTTP/2."""

import functools
import json
import select
import socket
import time

import websockets.sync.client as websockets

from .. import cases, versions
from ..cases import check
from ..outcome import SuiteResult
from ..processes import resident_bytes
from ..raw_backend import CLOSE_FRAME, GREETING_FRAME, LATE_BYTES
from ..wire import Wire, reset_hard
from ..world import NAME, World
from . import websocket_h2

LARGE_BYTES = 16 << 20
UNREAD_BYTES_MAX = 32 << 20
"""What may be on its way to a backend that reads nothing: the kernel's buffers on both sides, and the proxy's."""
GROWTH_BYTES_MAX = 16 << 20
STALL_SECONDS = 1.0


def run(world: World) -> list[SuiteResult]:
    """All three."""
    own = f"own cases, {versions.python('websockets')}"
    results = [
        SuiteResult(key, title, own, cases.run([_over(tls, case) for case in CASES], world))
        for key, title, tls in (
            ("websocket", "WebSocket as a proxy, HTTP/1.1", False),
            ("websocket-tls", "WebSocket as a proxy, HTTP/1.1 over TLS", True),
        )
    ]
    h2 = SuiteResult(
        "websocket-h2", "WebSocket over HTTP/2 (RFC 8441)", f"own cases, {versions.python('h2')}",
        cases.run(websocket_h2.CASES, world),
    )
    return [*results, h2]


def _over(tls: bool, case):
    return functools.update_wrapper(lambda world: case(world, tls), case, updated=())


def _upgraded(world: World, tls: bool, path: str) -> Wire:
    wire = Wire(world, tls)
    answer = wire.upgrade(path)
    check(answer.status == 101, f"{answer.status} instead of 101")
    return wire


def frames_pass_byte_for_byte(world: World, tls: bool) -> None:
    """Also what endpoints must refuse: it is theirs to refuse."""
    frames = b"".join([
        b"\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e",  # masked text
        b"\x81\x05hello",  # unmasked, which a client must not send
        b"\xf1\x80\x00\x00\x00\x00",  # all reserved bits
        b"\x8b\x80\x00\x00\x00\x00",  # an opcode without meaning
        b"\x82\x7e\x00\x01a",  # a length longer than it needs to be
        b"\x01\x03abc\x89\x00\x80\x03def",  # fragments with a ping between
        b"\x89\x7e\x00\x80" + bytes(128),  # a control frame that is too long
        b"\x88\x01\x03",  # a close frame with half a code
    ])
    with _upgraded(world, tls, "/raw/echo") as wire:
        wire.send(frames)
        check(wire.receive(len(frames)) == frames, "the bytes differ")


def handshake_fields_arrive_untouched(world: World, tls: bool) -> None:
    with Wire(world, tls) as wire:
        offered = 'permessage-deflate; client_max_window_bits="12", x-private; q=1'
        answer = wire.upgrade("/raw/echo", {"Sec-WebSocket-Protocol": "a, b", "Sec-WebSocket-Extensions": offered})
        seen = json.loads(answer.headers["x-seen"])
        check(seen["sec-websocket-extensions"] == offered, f"the backend saw {seen}")
        check(seen["sec-websocket-protocol"] == "a, b", f"the backend saw {seen}")
        check(seen["sec-websocket-version"] == "13", f"the backend saw {seen}")
        check(answer.headers["sec-websocket-extensions"] == "x-private; q=1", f"the client saw {answer.headers}")
        check(answer.headers["upgrade"].lower() == "websocket", f"the client saw {answer.headers}")
        check(answer.headers["connection"].lower() == "upgrade", f"the client saw {answer.headers}")
        check("content-length" not in answer.headers and "transfer-encoding" not in answer.headers, "101 has a length")


def frame_sent_with_the_101_arrives(world: World, tls: bool) -> None:
    with _upgraded(world, tls, "/raw/greet") as wire:
        check(wire.receive(len(GREETING_FRAME)) == GREETING_FRAME, "the frame is lost")


def refused_upgrade_arrives_with_its_body_and_keeps_the_connection(world: World, tls: bool) -> None:
    with Wire(world, tls) as wire:
        for status in (400, 401, 403, 404, 426, 503):
            answer = wire.upgrade(f"/raw/refuse/{status}")
            body = wire.receive(int(answer.headers["content-length"]))
            check((answer.status, body) == (status, b"refused"), f"{answer.status} {body!r} instead of {status}")
        check(wire.upgrade("/raw/echo").status == 101, "the connection does not upgrade any more")


def upgrade_without_connection_upgrade_is_none(world: World, tls: bool) -> None:
    with Wire(world, tls) as wire:
        answer = wire.upgrade("/raw/echo", {"Connection": "keep-alive"})
        check(answer.status == 200, f"{answer.status}: the backend saw an upgrade that the client did not ask for")


def end_of_the_client_leaves_the_other_direction_open(world: World, tls: bool) -> None:
    with _upgraded(world, tls, "/raw/late") as wire:
        wire.send(b"last")
        wire.end_sending()
        check(wire.receive(len(LATE_BYTES)) == LATE_BYTES, "what the backend sent after the client's end is cut off")
        check(wire.receive_end(), "the end of the backend does not arrive")


def end_of_the_backend_leaves_the_other_direction_open(world: World, tls: bool) -> None:
    with _upgraded(world, tls, "/raw/stop-sending") as wire:
        check(wire.receive(len(CLOSE_FRAME)) == CLOSE_FRAME, "the close frame is lost")
        check(wire.receive_end(), "the end of the backend does not arrive")
        wire.send(b"x" * 100_000)
        wire.end_sending()
    end = time.monotonic() + 5
    while (counted := _report(world)) != 100_000 and time.monotonic() < end:
        time.sleep(0.05)
    check(counted == 100_000, f"the backend got {counted} of 100000 bytes sent after its own end")


def _report(world: World) -> int:
    with Wire(world, tls=False) as wire:
        answer = wire.request("GET", "/raw/report")
        return int(wire.receive(int(answer.headers["content-length"])))


def reset_by_the_backend_ends_the_client(world: World, tls: bool) -> None:
    with _upgraded(world, tls, "/raw/abort") as wire:
        wire.send(b"x")
        check(wire.receive_end(or_reset=True), "the client waits for a backend that is gone")


def reset_by_the_client_ends_the_backend(world: World, tls: bool) -> None:
    with _upgraded(world, tls, "/raw/stop-sending") as wire:
        wire.receive(len(CLOSE_FRAME))
        wire.send(b"x" * 10)
        time.sleep(0.1)
        reset_hard(wire.socket)
    # The backend's connection is at its end: the gateway holds no half of it.
    check(_report(world) == 10, "what was sent before the reset is lost")


def backend_that_reads_nothing_slows_the_client(world: World, tls: bool) -> None:
    with _upgraded(world, tls, "/raw/unread") as wire:
        before = resident_bytes(world.portolan)
        sent = _send_until_stalled(wire)
        growth = resident_bytes(world.portolan) - before
        check(sent < UNREAD_BYTES_MAX, f"{sent} bytes were taken for a backend that reads nothing")
        check(growth < GROWTH_BYTES_MAX, f"memory grew by {growth} bytes")


def _send_until_stalled(wire: Wire) -> int:
    """How much is taken before nothing is for a second."""
    sent, chunk = 0, bytes(1 << 16)
    wire.socket.setblocking(False)
    while sent <= UNREAD_BYTES_MAX:
        _, writable, _ = select.select([], [wire.socket], [], STALL_SECONDS)
        if not writable:
            break
        try:
            sent += wire.socket.send(chunk)
        except (BlockingIOError, wire.WANTS_WRITE):
            time.sleep(0.01)
    return sent


def _connect(world: World, tls: bool, **named):
    port = world.ports.https if tls else world.ports.http
    trust = {"ssl": Wire.trust(world)} if tls else {}
    url = f"{'wss' if tls else 'ws'}://{NAME}:{port}/websocket"
    return websockets.connect(url, max_size=LARGE_BYTES, **trust, **named)


def message_of_16_MiB_returns(world: World, tls: bool) -> None:
    message = bytes(range(256)) * (LARGE_BYTES // 256)
    with _connect(world, tls, compression=None) as connection:
        connection.send(message)
        check(connection.recv(timeout=20) == message, "the message differs")


def message_of_1000_fragments_returns(world: World, tls: bool) -> None:
    with _connect(world, tls) as connection:
        connection.send(f"{number}," for number in range(1000))
        check(connection.recv(timeout=10) == "".join(f"{number}," for number in range(1000)), "the message differs")


def compression_is_agreed_between_the_ends(world: World, tls: bool) -> None:
    with _connect(world, tls, compression="deflate") as connection:
        agreed = [extension.name for extension in connection.protocol.extensions]
        check(agreed == ["permessage-deflate"], f"agreed on {agreed}")
        connection.send("zip " * 50_000)
        check(connection.recv(timeout=10) == "zip " * 50_000, "the message differs")


def subprotocol_is_agreed_between_the_ends(world: World, tls: bool) -> None:
    with _connect(world, tls, subprotocols=["chat.v2", "chat.v1"]) as connection:
        check(connection.subprotocol == "chat.v2", f"agreed on {connection.subprotocol}")


def close_codes_and_reasons_return(world: World, tls: bool) -> None:
    for code in (1000, 1001, 1003, 1007, 1011, 3000, 4999):
        with _connect(world, tls) as connection:
            connection.close(code, "bye")
            returned = connection.protocol.close_rcvd
            check(returned is not None and (returned.code, returned.reason) == (code, "bye"), f"{code}: {returned}")


def ping_is_answered_by_the_other_end(world: World, tls: bool) -> None:
    with _connect(world, tls) as connection:
        check(connection.ping(b"payload").wait(timeout=10), "no pong")


CASES = [
    frames_pass_byte_for_byte, handshake_fields_arrive_untouched, frame_sent_with_the_101_arrives,
    refused_upgrade_arrives_with_its_body_and_keeps_the_connection, upgrade_without_connection_upgrade_is_none,
    end_of_the_client_leaves_the_other_direction_open, end_of_the_backend_leaves_the_other_direction_open,
    reset_by_the_backend_ends_the_client, reset_by_the_client_ends_the_backend,
    backend_that_reads_nothing_slows_the_client, message_of_16_MiB_returns, message_of_1000_fragments_returns,
    compression_is_agreed_between_the_ends, subprotocol_is_agreed_between_the_ends, close_codes_and_reasons_return,
    ping_is_answered_by_the_other_end,
]
