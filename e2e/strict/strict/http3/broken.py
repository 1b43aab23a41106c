"""What a client must not send, and the error that RFC 9114 or RFC 9204 asks for. The first fifteen are the HTTP/3 and
QPACK cases of h3spec, which is not in a registry that this can be built from."""

import asyncio
from collections.abc import Callable

from aioquic.h3.connection import ErrorCode, FrameType, StreamType

from ..cases import Failure, check
from ..world import World
from .client import Client, Fields, connected, describe, frame, request_head, settings

HTTP2_PRIORITY = 0x2
UPGRADE_FIELDS = [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"]


def breaks_the_connection(name: str, code: ErrorCode, act: Callable[[Client], None], control: bool = True) -> Callable:
    """A case: what `act` sends must close the connection with `code`."""

    async def case(world: World) -> None:
        async with connected(world, control) as client:
            act(client)
            try:
                event = await client.closed()
            except TimeoutError:
                raise Failure(f"the connection stays open; due is {code.name}") from None
            check(event.error_code == code, f"closed with {describe(event)}; due is {code.name}")

    case.title = f"{name}: {code.name}"
    return case


def is_malformed(name: str, fields: Fields, rest: bytes = b"") -> Callable:
    """A case: a request of these fields is malformed (RFC 9114, 4.1.2): a stream error, before which an answer with
    400 may be sent; a connection error of that kind is allowed too. The backend must not get it."""

    async def case(world: World) -> None:
        async with connected(world) as client:
            await _expect_malformed(client, client.open_request(client.headers(fields) + rest, end=True))

    case.title = f"{name}: H3_MESSAGE_ERROR"
    return case


async def _expect_malformed(client: Client, number: int) -> None:
    try:
        answer = await client.answer(number)
    except Failure:
        event = await client.closed()
        check(event.error_code == ErrorCode.H3_MESSAGE_ERROR, f"the connection was closed with {describe(event)}")
        return
    except TimeoutError:
        raise Failure("neither an answer nor an error") from None
    refused = answer.reset == ErrorCode.H3_MESSAGE_ERROR or answer.status == 400
    seen = f"reset {answer.reset:#x}" if answer.reset is not None else f"status {answer.status}"
    check(refused, f"{seen} instead of H3_MESSAGE_ERROR or 400")
    check((await client.ask()).status == 200, "other requests of the connection suffer")


def _on_control(data: bytes) -> Callable[[Client], None]:
    return lambda client: client.open_control(data)


def _on_request(data: bytes) -> Callable[[Client], None]:
    return lambda client: client.open_request(data)


def _after_headers(data: bytes, end: bool = False) -> Callable[[Client], None]:
    return lambda client: client.open_request(client.headers(request_head("POST")) + data, end)


def _end_of(kind: int) -> Callable[[Client], None]:
    def act(client: Client) -> None:
        number = client.open_control() if kind == StreamType.CONTROL else client.open_one_way(kind)
        client.send(number, b"", end=True)
    return act


def _twice(kind: int) -> Callable[[Client], None]:
    def act(client: Client) -> None:
        for _ in range(2):
            client.open_one_way(kind, settings() if kind == StreamType.CONTROL else b"")
    return act


def _one_way(kind: int, data: bytes) -> Callable[[Client], None]:
    return lambda client: client.open_one_way(kind, data)


def _without(name: bytes) -> Fields:
    return [field for field in request_head() if field[0] != name]


async def content_length_beyond_the_body_is_malformed(world: World) -> None:
    async with connected(world) as client:
        head = client.headers(request_head("POST", [(b"content-length", b"10")]))
        await _expect_malformed(client, client.open_request(head + frame(FrameType.DATA, b"short"), end=True))


async def content_length_below_the_body_is_malformed(world: World) -> None:
    async with connected(world) as client:
        head = client.headers(request_head("POST", [(b"content-length", b"2")]))
        await _expect_malformed(client, client.open_request(head + frame(FrameType.DATA, b"longer"), end=True))


async def pseudo_header_in_trailers_is_malformed(world: World) -> None:
    async with connected(world) as client:
        data = client.headers(request_head("POST")) + frame(FrameType.DATA, b"a") + client.headers([(b":path", b"/")])
        await _expect_malformed(client, client.open_request(data, end=True))


async def request_stream_without_a_request_is_an_error(world: World) -> None:
    async with connected(world) as client:
        number = client.open_request(b"", end=True)
        answer = await client.answer(number)
        check(answer.reset is not None or answer.status == 400, f"{answer}")
        await asyncio.sleep(0)
        check((await client.ask()).status == 200, "other requests of the connection suffer")


H3SPEC = [
    breaks_the_connection("DATA before HEADERS", ErrorCode.H3_FRAME_UNEXPECTED,
                          _on_request(frame(FrameType.DATA, b"early"))),
    is_malformed("a pseudo-header twice", request_head() + [(b":path", b"/")]),
    is_malformed("no :method", _without(b":method")),
    is_malformed("a pseudo-header of answers", request_head() + [(b":status", b"200")]),
    is_malformed("a pseudo-header after a field", [(b"x", b"y"), *request_head()]),
    breaks_the_connection("a control stream without SETTINGS", ErrorCode.H3_MISSING_SETTINGS,
                          _on_control(frame(FrameType.MAX_PUSH_ID, b"\x00")), control=False),
    breaks_the_connection("DATA on the control stream", ErrorCode.H3_FRAME_UNEXPECTED,
                          _on_control(settings() + frame(FrameType.DATA, b"")), control=False),
    breaks_the_connection("HEADERS on the control stream", ErrorCode.H3_FRAME_UNEXPECTED,
                          _on_control(settings() + frame(FrameType.HEADERS, b"")), control=False),
    breaks_the_connection("SETTINGS twice", ErrorCode.H3_FRAME_UNEXPECTED,
                          _on_control(settings() + settings()), control=False),
    breaks_the_connection("the control stream ends", ErrorCode.H3_CLOSED_CRITICAL_STREAM,
                          _end_of(StreamType.CONTROL), control=False),
    breaks_the_connection("CANCEL_PUSH on a request stream", ErrorCode.H3_FRAME_UNEXPECTED,
                          _after_headers(frame(FrameType.CANCEL_PUSH, b"\x00"))),
    breaks_the_connection("a static index out of range", ErrorCode.QPACK_DECOMPRESSION_FAILED,
                          _on_request(frame(FrameType.HEADERS, b"\x00\x00\xff\x80\x01"))),
    breaks_the_connection("a dynamic table beyond the limit", ErrorCode.QPACK_ENCODER_STREAM_ERROR,
                          _one_way(StreamType.QPACK_ENCODER, b"\x3f\xe1\xff\xff\x7f")),
    breaks_the_connection("the encoder stream ends", ErrorCode.H3_CLOSED_CRITICAL_STREAM,
                          _end_of(StreamType.QPACK_ENCODER)),
    breaks_the_connection("an insert count increment of 0", ErrorCode.QPACK_DECODER_STREAM_ERROR,
                          _one_way(StreamType.QPACK_DECODER, b"\x00")),
]

CASES = [
    *H3SPEC,
    breaks_the_connection("the decoder stream ends", ErrorCode.H3_CLOSED_CRITICAL_STREAM,
                          _end_of(StreamType.QPACK_DECODER)),
    *(breaks_the_connection(f"two {kind.name} streams", ErrorCode.H3_STREAM_CREATION_ERROR, _twice(kind),
                            control=kind != StreamType.CONTROL)
      for kind in (StreamType.CONTROL, StreamType.QPACK_ENCODER, StreamType.QPACK_DECODER)),
    breaks_the_connection("a push stream of a client", ErrorCode.H3_STREAM_CREATION_ERROR,
                          _one_way(StreamType.PUSH, b"\x00")),
    breaks_the_connection("SETTINGS on a request stream", ErrorCode.H3_FRAME_UNEXPECTED, _on_request(settings())),
    breaks_the_connection("GOAWAY on a request stream", ErrorCode.H3_FRAME_UNEXPECTED,
                          _after_headers(frame(FrameType.GOAWAY, b"\x00"))),
    breaks_the_connection("PUSH_PROMISE of a client", ErrorCode.H3_FRAME_UNEXPECTED,
                          _after_headers(frame(FrameType.PUSH_PROMISE, b"\x00\x00\x00"))),
    breaks_the_connection("a frame of HTTP/2", ErrorCode.H3_FRAME_UNEXPECTED,
                          _after_headers(frame(HTTP2_PRIORITY, b"\x00" * 5))),
    breaks_the_connection("a frame of HTTP/2 on the control stream", ErrorCode.H3_FRAME_UNEXPECTED,
                          _on_control(settings() + frame(HTTP2_PRIORITY, b"\x00" * 5)), control=False),
    breaks_the_connection("a setting twice", ErrorCode.H3_SETTINGS_ERROR,
                          _on_control(frame(FrameType.SETTINGS, b"\x06\x10\x06\x10")), control=False),
    breaks_the_connection("a setting of HTTP/2", ErrorCode.H3_SETTINGS_ERROR,
                          _on_control(settings({0x3: 100})), control=False),
    breaks_the_connection("a SETTINGS frame that is cut off", ErrorCode.H3_FRAME_ERROR,
                          _on_control(frame(FrameType.SETTINGS, b"\x06")), control=False),
    breaks_the_connection("MAX_PUSH_ID that goes back", ErrorCode.H3_ID_ERROR,
                          _on_control(settings() + frame(FrameType.MAX_PUSH_ID, b"\x05") +
                                      frame(FrameType.MAX_PUSH_ID, b"\x04")), control=False),
    breaks_the_connection("a frame cut off by the end", ErrorCode.H3_FRAME_ERROR,
                          _after_headers(b"\x00\x10half", end=True)),
    breaks_the_connection("DATA after trailers", ErrorCode.H3_FRAME_UNEXPECTED,
                          lambda client: client.open_request(
                              client.headers(request_head("POST")) + client.headers([(b"x", b"y")])
                              + frame(FrameType.DATA, b"late"))),
    breaks_the_connection("HEADERS that are no QPACK", ErrorCode.QPACK_DECOMPRESSION_FAILED,
                          _on_request(frame(FrameType.HEADERS, b"\xff" * 30))),
    breaks_the_connection("a reference to a dynamic table that is empty", ErrorCode.QPACK_DECOMPRESSION_FAILED,
                          _on_request(frame(FrameType.HEADERS, b"\x02\x00\x80"))),
    is_malformed("no :scheme", _without(b":scheme")),
    is_malformed("no :path", _without(b":path")),
    is_malformed("an empty :path", [*_without(b":path"), (b":path", b"")]),
    is_malformed("neither :authority nor host", _without(b":authority")),
    is_malformed(":authority and another host", request_head(extra=[(b"host", b"other.example")])),
    is_malformed("an unknown pseudo-header", [(b":colour", b"blue"), *request_head()]),
    is_malformed("a name in upper case", request_head(extra=[(b"X-Upper", b"1")])),
    is_malformed("a name with a blank", request_head(extra=[(b"x y", b"1")])),
    is_malformed("a value with a line feed", request_head(extra=[(b"x", b"a\nb: c")])),
    is_malformed("a value with NUL", request_head(extra=[(b"x", b"a\0b")])),
    is_malformed("te: gzip", request_head(extra=[(b"te", b"gzip")])),
    *(is_malformed(name.decode(), request_head(extra=[(name, b"x")])) for name in UPGRADE_FIELDS),
    is_malformed("two lengths", request_head("POST", [(b"content-length", b"1"), (b"content-length", b"2")]),
                 frame(FrameType.DATA, b"a")),
    is_malformed(":authority twice", request_head() + [(b":authority", b"other.example")]),
    is_malformed("a :path with a blank", request_head(path="/a b")),
    is_malformed("a :path with a line feed", request_head(path="/a\nb")),
    is_malformed("a :path without a slash", request_head(path="a")),
    is_malformed("a :method with a blank", request_head("GET /other")),
    is_malformed("an :authority with a line feed", [*_without(b":authority"), (b":authority", b"a\nb")]),
    content_length_beyond_the_body_is_malformed,
    content_length_below_the_body_is_malformed,
    pseudo_header_in_trailers_is_malformed,
    request_stream_without_a_request_is_an_error,
]
