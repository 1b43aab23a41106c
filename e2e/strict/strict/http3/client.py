"""One QUIC connection on which HTTP/3 is spoken frame by frame. It checks nothing that it sends."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import AsyncIterator

import pylsqpack
from aioquic.asyncio import QuicConnectionProtocol, connect
from aioquic.buffer import Buffer, encode_uint_var
from aioquic.h3.connection import H3_ALPN, FrameType, Setting, StreamType
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamDataReceived, StreamReset

from ..cases import Failure
from ..world import HOST, NAME, World

ANSWER_SECONDS_MAX = 10
CLOSE_SECONDS_MAX = 4
Fields = list[tuple[bytes, bytes]]


@dataclass
class Answer:
    """What came on the stream of a request."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    reset: int | None = None


@dataclass
class Stream:
    """What came on a stream so far."""

    data: bytearray = field(default_factory=bytearray)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    reset: int | None = None


class Client(QuicConnectionProtocol):
    """See the module."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.encoder = pylsqpack.Encoder()
        self.streams: dict[int, Stream] = {}
        self.terminated: asyncio.Future[ConnectionTerminated] = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event) -> None:
        """Keeps what comes."""
        match event:
            case StreamDataReceived():
                stream = self.stream(event.stream_id)
                stream.data += event.data
                stream.ended |= event.end_stream
                stream.changed.set()
            case StreamReset():
                stream = self.stream(event.stream_id)
                stream.reset = event.error_code
                stream.changed.set()
            case ConnectionTerminated() if not self.terminated.done():
                self.terminated.set_result(event)

    def stream(self, number: int) -> Stream:
        """What came on a stream."""
        return self.streams.setdefault(number, Stream())

    def open_control(self, first: bytes | None = None) -> int:
        """Opens a control stream, which begins with a SETTINGS frame unless told otherwise."""
        return self.open_one_way(StreamType.CONTROL, settings() if first is None else first)

    def open_one_way(self, kind: int, data: bytes = b"") -> int:
        """Opens a unidirectional stream."""
        number = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self.send(number, encode_uint_var(kind) + data)
        return number

    def open_request(self, data: bytes = b"", end: bool = False) -> int:
        """Opens a request stream."""
        number = self._quic.get_next_available_stream_id()
        self.send(number, data, end)
        return number

    def send(self, number: int, data: bytes, end: bool = False) -> None:
        """Sends bytes."""
        self._quic.send_stream_data(number, data, end)
        self.transmit()

    def reset(self, number: int, code: int) -> None:
        """Gives up sending on a stream."""
        self._quic.reset_stream(number, code)
        self.transmit()

    def stop(self, number: int, code: int) -> None:
        """Asks the server to send no more on a stream."""
        self._quic.stop_stream(number, code)
        self.transmit()

    def headers(self, fields: Fields) -> bytes:
        """A HEADERS frame of any fields, without the dynamic table."""
        _, block = self.encoder.encode(0, fields)
        return frame(FrameType.HEADERS, block)

    async def ask(self, method: str = "GET", body: bytes = b"", extra: Fields = (), trailers: Fields = ()) -> Answer:
        """A well-formed request, and its answer."""
        data = self.headers(request_head(method, extra))
        data += frame(FrameType.DATA, body) if body else b""
        data += self.headers(list(trailers)) if trailers else b""
        return await self.answer(self.open_request(data, end=True))

    async def answer(self, number: int) -> Answer:
        """The whole answer on a stream, or its reset."""
        stream = self.stream(number)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while not stream.ended and stream.reset is None:
                if self.terminated.done():
                    raise Failure(f"the connection was closed with {describe(self.terminated.result())}")
                stream.changed.clear()
                waiter = asyncio.ensure_future(stream.changed.wait())
                await asyncio.wait([waiter, self.terminated], return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
        return parse(bytes(stream.data), stream.reset)

    async def closed(self) -> ConnectionTerminated:
        """The end of the connection."""
        async with asyncio.timeout(CLOSE_SECONDS_MAX):
            return await asyncio.shield(self.terminated)


@contextlib.asynccontextmanager
async def connected(world: World, control: bool = True) -> AsyncIterator[Client]:
    """A connection, by default with a control stream that has sent its settings."""
    configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=NAME, verify_mode=ssl.CERT_REQUIRED)
    configuration.load_verify_locations(str(world.authority))
    protocol = connect(HOST, world.ports.https, configuration=configuration, create_protocol=Client)
    async with protocol as client:
        if control:
            client.open_control()
        yield client


def request_head(method: str = "GET", extra: Fields = (), path: str = "/") -> Fields:
    """The fields of a well-formed request."""
    fields = [(":method", method), (":scheme", "https"), (":authority", NAME), (":path", path)]
    return [(name.encode(), value.encode()) for name, value in fields] + list(extra)


def frame(kind: int, payload: bytes) -> bytes:
    """Any frame."""
    return encode_uint_var(kind) + encode_uint_var(len(payload)) + payload


def settings(values: dict[int, int] | None = None) -> bytes:
    """A SETTINGS frame; by default one that allows no dynamic table, which this client's parser does not have."""
    values = {Setting.QPACK_MAX_TABLE_CAPACITY: 0, Setting.QPACK_BLOCKED_STREAMS: 0} if values is None else values
    numbers = (number for pair in values.items() for number in pair)
    return frame(FrameType.SETTINGS, b"".join(encode_uint_var(number) for number in numbers))


def describe(event: ConnectionTerminated) -> str:
    """An end in words."""
    return f"{event.error_code:#x} {event.reason_phrase!r}"


def parse(data: bytes, reset: int | None) -> Answer:
    """An answer of its bytes; of one that was reset, what there is."""
    answer, decoder, buffer = Answer(reset=reset), pylsqpack.Decoder(0, 0), Buffer(data=data)
    while not buffer.eof():
        kind, length = buffer.pull_uint_var(), buffer.pull_uint_var()
        payload = buffer.pull_bytes(min(length, buffer.capacity - buffer.tell()))
        if kind == FrameType.DATA:
            answer.body += payload
        elif kind == FrameType.HEADERS:
            _, fields = decoder.feed_header(0, payload)
            found = dict(fields)
            if b":status" not in found:
                answer.trailers = found
            elif (status := int(found[b":status"])) >= 200:
                answer.status, answer.headers = status, found
    return answer
