"""A backend that agrees to every upgrade and then, by path, does what endpoints may do with the bytes that follow. It
knows no frames, so that it sees and sends exactly what is on the wire."""

import asyncio
import base64
import hashlib
import json
import sys

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE_FRAME = b"\x88\x02\x03\xe8"
GREETING_FRAME = b"\x81\x05hello"
LATE_BYTES = b"late" * (1 << 18)
LATE_SECONDS = 0.2
READ_BYTES = 1 << 16

counted = 0
"""Bytes that came after this side had said that it sends nothing more."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: requests that are not upgraded, one after the other, then perhaps an upgraded one."""
    try:
        while await exchange(reader, writer):
            pass
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request. Whether another may follow."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    path = lines[0].split(" ")[1]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    if path.startswith("/raw/refuse/"):
        writer.write(answer(path.rsplit("/", 1)[1] + " Refused", b"refused"))
        return True
    if path == "/raw/report":
        writer.write(answer("200 OK", str(counted).encode()))
        return True
    if "upgrade" not in headers:
        writer.write(answer("200 OK", b"no upgrade"))
        return True
    accept = base64.b64encode(hashlib.sha1(headers.get("sec-websocket-key", "").encode() + GUID).digest()).decode()
    seen = {name: value for name, value in headers.items() if name.startswith("sec-websocket-")}
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: x-private; q=1\r\n"
        f"X-Seen: {json.dumps(seen)}\r\n\r\n"
    ).encode()
    await AFTER[path](reader, writer, head)
    return False


def answer(status: str, body: bytes) -> bytes:
    """A whole answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def echo(reader, writer, head) -> None:
    """Sends every byte back, and ends when the client does."""
    writer.write(head)
    while received := await reader.read(READ_BYTES):
        writer.write(received)
        await writer.drain()


async def greet(reader, writer, head) -> None:
    """Sends a frame with the head, in one piece."""
    await echo(reader, writer, head + GREETING_FRAME)


async def leave_unread(reader, writer, head) -> None:
    """Reads nothing."""
    writer.write(head)
    await asyncio.sleep(3600)


async def stop_sending(reader, writer, head) -> None:
    """Sends a close frame and its end, and reads on."""
    global counted
    counted = 0
    writer.write(head + CLOSE_FRAME)
    writer.write_eof()
    while received := await reader.read(READ_BYTES):
        counted += len(received)


async def answer_late(reader, writer, head) -> None:
    """Sends only once the client has ended."""
    writer.write(head)
    while await reader.read(READ_BYTES):
        pass
    # A client that ends TLS with OpenSSL takes what comes within that one call for an error.
    await asyncio.sleep(LATE_SECONDS)
    writer.write(LATE_BYTES)
    await writer.drain()


async def abort(reader, writer, head) -> None:
    """Resets the connection once it has received something."""
    writer.write(head)
    await reader.read(1)
    writer.transport.abort()


AFTER = {
    "/raw/echo": echo,
    "/raw/greet": greet,
    "/raw/unread": leave_unread,
    "/raw/stop-sending": stop_sending,
    "/raw/late": answer_late,
    "/raw/abort": abort,
}


async def main(port: int) -> None:
    """Serves until the process is ended."""
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
