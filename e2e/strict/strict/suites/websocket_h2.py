"""WebSocket over HTTP/2 (RFC 8441): an extended CONNECT, which becomes an upgrade at a backend of HTTP/1.1."""

import json
import socket
import time

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from ..cases import NotOffered, check
from ..raw_backend import GREETING_FRAME, LATE_BYTES
from ..wire import SECONDS_MAX
from ..world import HOST, NAME, World

FRAME = b"\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e"


class Tunnel:
    """One stream of one connection, prior knowledge."""

    def __init__(self, world: World):
        self.socket = socket.create_connection((HOST, world.ports.http), SECONDS_MAX)
        self.connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.connection.initiate_connection()
        self.headers: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self._flush()
        end = time.monotonic() + SECONDS_MAX
        while SettingCodes.MAX_CONCURRENT_STREAMS not in self.connection.remote_settings and time.monotonic() < end:
            self._receive()
        if not self.connection.remote_settings.enable_connect_protocol:
            raise NotOffered("SETTINGS_ENABLE_CONNECT_PROTOCOL is not sent")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def open(self, path: str) -> str:
        """Sends the extended CONNECT; the status of its answer."""
        self.connection.send_headers(1, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", NAME),
            (":path", path), ("sec-websocket-version", "13"),
        ])
        self._flush()
        while not self.headers:
            self._receive()
        return self.headers[":status"]

    def send(self, data: bytes, end: bool = False) -> None:
        """Sends bytes on the stream."""
        self.connection.send_data(1, data, end_stream=end)
        self._flush()

    def receive(self, count: int) -> bytes:
        """So many bytes, or fewer at the end."""
        while len(self.data) < count and not self.ended:
            self._receive()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def receive_end(self) -> bool:
        """Whether nothing more comes, and the end does."""
        while not self.ended and not self.data:
            self._receive()
        return self.ended and not self.data

    def _receive(self) -> None:
        received = self.socket.recv(1 << 16)
        if not received:
            raise ConnectionError("the connection ends")
        for event in self.connection.receive_data(received):
            match event:
                case ResponseReceived():
                    self.headers = dict(event.headers)
                case DataReceived():
                    self.data += event.data
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self.ended = True
                case StreamReset(error_code=0):
                    # After a whole answer: the rest of the request is not needed (RFC 9113, 8.1).
                    self.ended = True
                case StreamReset():
                    raise ConnectionError(f"the stream is reset with {event.error_code}")
        self._flush()

    def _flush(self) -> None:
        self.socket.sendall(self.connection.data_to_send())


def extended_connect_becomes_an_upgrade(world: World) -> None:
    with Tunnel(world) as tunnel:
        status = tunnel.open("/raw/echo")
        check(status == "200", f"{status} instead of 200")
        check(not {"connection", "upgrade"} & tunnel.headers.keys(), f"{tunnel.headers}")
        tunnel.send(FRAME)
        check(tunnel.receive(len(FRAME)) == FRAME, "the bytes differ")


def backend_gets_the_handshake_of_http_1_1(world: World) -> None:
    """RFC 8441, 5: a client over HTTP/2 sends no Sec-WebSocket-Key; RFC 6455, 4.1: a server over HTTP/1.1 needs one."""
    with Tunnel(world) as tunnel:
        tunnel.open("/raw/echo")
        seen = json.loads(tunnel.headers["x-seen"])
        check("sec-websocket-key" in seen, f"no Sec-WebSocket-Key for the backend, which saw {seen}")


def client_gets_no_answer_to_a_key(world: World) -> None:
    with Tunnel(world) as tunnel:
        tunnel.open("/raw/echo")
        check("sec-websocket-accept" not in tunnel.headers, "Sec-WebSocket-Accept has no meaning over HTTP/2")


def message_returns_from_a_strict_backend(world: World) -> None:
    with Tunnel(world) as tunnel:
        status = tunnel.open("/websocket")
        check(status == "200", f"{status} instead of 200: {tunnel.receive(200)!r}")
        tunnel.send(FRAME)
        check(tunnel.receive(len(GREETING_FRAME)) == GREETING_FRAME, "the echo differs")


def frame_sent_with_the_101_arrives(world: World) -> None:
    with Tunnel(world) as tunnel:
        tunnel.open("/raw/greet")
        check(tunnel.receive(len(GREETING_FRAME)) == GREETING_FRAME, "the frame is lost")


def end_of_the_client_leaves_the_other_direction_open(world: World) -> None:
    with Tunnel(world) as tunnel:
        tunnel.open("/raw/late")
        tunnel.send(b"last", end=True)
        check(tunnel.receive(len(LATE_BYTES)) == LATE_BYTES, "what the backend sent after the client's end is cut off")
        check(tunnel.receive_end(), "the end of the backend does not arrive")


def refused_upgrade_arrives_with_its_body(world: World) -> None:
    for status in ("403", "426"):
        with Tunnel(world) as tunnel:
            found = tunnel.open(f"/raw/refuse/{status}")
            check(found == status, f"{found} instead of {status}")
            check(tunnel.receive(7) == b"refused", "the body is lost")


CASES = [
    extended_connect_becomes_an_upgrade, backend_gets_the_handshake_of_http_1_1, client_gets_no_answer_to_a_key,
    message_returns_from_a_strict_backend, frame_sent_with_the_101_arrives,
    end_of_the_client_leaves_the_other_direction_open, refused_upgrade_arrives_with_its_body,
]
