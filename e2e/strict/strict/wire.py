"""HTTP/1.1 by hand over plain TCP or TLS, so that nothing between a case and the bytes has an opinion."""

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass

from .world import HOST, NAME, World

SECONDS_MAX = 10
HEAD_BYTES_MAX = 1 << 16
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@dataclass(frozen=True)
class Head:
    """The head of an answer; names in lower case."""

    status: int
    headers: dict[str, str]


class Wire:
    """One connection."""

    WANTS_WRITE = (ssl.SSLWantWriteError, ssl.SSLWantReadError)

    def __init__(self, world: World, tls: bool):
        port = world.ports.https if tls else world.ports.http
        plain = socket.create_connection((HOST, port), SECONDS_MAX)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = self.trust(world).wrap_socket(plain, server_hostname=NAME) if tls else plain
        self.kept = b""
        """What came behind a head."""

    @staticmethod
    def trust(world: World) -> ssl.SSLContext:
        """TLS that trusts the local CA alone, and speaks HTTP/1.1."""
        context = ssl.create_default_context(cafile=str(world.authority))
        context.set_alpn_protocols(["http/1.1"])
        return context

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def upgrade(self, path: str, headers: dict[str, str] | None = None) -> Head:
        """Asks to become a WebSocket."""
        fields = {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13",
        }
        return self.request("GET", path, {**fields, **(headers or {})})

    def request(self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b"") -> Head:
        """Sends a request, its body framed already, and reads the head of its answer."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {NAME}", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)
        while b"\r\n\r\n" not in self.kept:
            received = self.socket.recv(HEAD_BYTES_MAX)
            if not received:
                raise ConnectionError(f"the connection ends within a head: {self.kept[:200]!r}")
            self.kept += received
        head, self.kept = self.kept.split(b"\r\n\r\n", 1)
        status, *fields = head.decode("latin-1").split("\r\n")
        pairs = (field.partition(":") for field in fields)
        return Head(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs})

    def send(self, data: bytes) -> None:
        """Sends all of it."""
        self.socket.sendall(data)

    def receive(self, count: int) -> bytes:
        """So many bytes, or fewer at the end of the connection."""
        pieces, self.kept = [self.kept[:count]], self.kept[count:]
        left = count - len(pieces[0])
        while left and (received := self.socket.recv(min(left, 1 << 20))):
            pieces.append(received)
            left -= len(received)
        return b"".join(pieces)

    def receive_end(self, or_reset: bool = False) -> bool:
        """Whether nothing more comes, and the end does."""
        try:
            return self.socket.recv(1) == b""
        except ssl.SSLZeroReturnError:
            # The other side's close_notify, after our own.
            return True
        except TimeoutError:
            return False
        except OSError:
            return or_reset

    def end_sending(self) -> None:
        """Ends this direction alone: TLS by close_notify, then TCP."""
        if isinstance(self.socket, ssl.SSLSocket):
            # Reading stays possible: this sends the alert and does not wait for the other side's.
            self.socket.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):
                self.socket.unwrap()
            self.socket.settimeout(SECONDS_MAX)
            return
        self.socket.shutdown(socket.SHUT_WR)


def reset_hard(connection: socket.socket) -> None:
    """Closes with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
