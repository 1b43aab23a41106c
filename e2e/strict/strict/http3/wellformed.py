"""Requests that are as they should be, of a client that is not the engine's own library."""

import asyncio
import json

from aioquic.h3.connection import ErrorCode, FrameType

from ..cases import Failure, check
from ..world import World
from .client import Client, connected, describe, frame, request_head, settings

LARGE = 4 << 20
GREASE = 0x21
PRIORITY_UPDATE = 0xF0700


async def get_is_answered(world: World) -> None:
    async with connected(world) as client:
        answer = await client.ask()
        check(answer.status == 200 and json.loads(answer.body)["method"] == "GET", f"{answer}")


async def head_has_no_body(world: World) -> None:
    async with connected(world) as client:
        answer = await client.ask("HEAD")
        check(answer.status == 200 and answer.body == b"", f"{answer}")


async def post_arrives_whole(world: World) -> None:
    async with connected(world) as client:
        answer = await client.ask("POST", bytes(LARGE))
        check(json.loads(answer.body)["body_length"] == LARGE, f"{answer.status}, {answer.body[:80]}")


async def length_that_is_announced_is_kept(world: World) -> None:
    async with connected(world) as client:
        answer = await client.ask("POST", b"12345", [(b"content-length", b"5")])
        check(json.loads(answer.body)["body_length"] == 5, f"{answer}")


async def body_in_many_small_frames_arrives(world: World) -> None:
    async with connected(world) as client:
        data = client.headers(request_head("POST")) + frame(FrameType.DATA, b"x") * 5000
        answer = await client.answer(client.open_request(data, end=True))
        check(json.loads(answer.body)["body_length"] == 5000, f"{answer}")


async def empty_data_frames_end_nothing(world: World) -> None:
    async with connected(world) as client:
        data = client.headers(request_head("POST")) + frame(FrameType.DATA, b"")
        number = client.open_request(data)
        await asyncio.sleep(0.1)
        client.send(number, frame(FrameType.DATA, b"late"), end=True)
        answer = await client.answer(number)
        check(json.loads(answer.body)["body_length"] == 4, f"{answer}")


async def trailers_arrive(world: World) -> None:
    async with connected(world) as client:
        answer = await client.ask("POST", b"body", trailers=[(b"x-checksum", b"7")])
        seen = json.loads(answer.body)
        check("x-checksum" in seen["trailers"], f"{answer.status}: the backend saw {seen['trailers']}")


async def bytes_may_come_one_by_one(world: World) -> None:
    async with connected(world) as client:
        data = client.headers(request_head("POST")) + frame(FrameType.DATA, b"abc")
        number = client.open_request()
        for byte in data:
            client.send(number, bytes([byte]))
            await asyncio.sleep(0)
        client.send(number, b"", end=True)
        answer = await client.answer(number)
        check(json.loads(answer.body)["body_length"] == 3, f"{answer}")


async def hundred_requests_side_by_side_are_answered(world: World) -> None:
    async with connected(world) as client:
        answers = await asyncio.gather(*(client.ask() for _ in range(100)))
        check(all(answer.status == 200 for answer in answers), f"{[answer.status for answer in answers]}")


async def unknown_frames_are_ignored(world: World) -> None:
    async with connected(world) as client:
        unknown = frame(GREASE, b"grease") + frame(GREASE + 0x1F * 1000, b"")
        data = unknown + client.headers(request_head("POST")) + unknown + frame(FrameType.DATA, b"a") + unknown
        answer = await client.answer(client.open_request(data, end=True))
        check(answer.status == 200 and json.loads(answer.body)["body_length"] == 1, f"{answer}")


async def unknown_settings_are_ignored(world: World) -> None:
    async with connected(world, control=False) as client:
        client.open_control(settings({0x1: 0, 0x7: 0, GREASE: 5, 0x1F * 77 + GREASE: 1 << 40}))
        answer = await client.ask()
        check(answer.status == 200, f"{answer}")


async def unknown_frames_on_the_control_stream_are_ignored(world: World) -> None:
    async with connected(world, control=False) as client:
        client.open_control(settings() + frame(GREASE, b"grease"))
        answer = await client.ask()
        check(answer.status == 200, f"{answer}")


async def unknown_streams_are_ignored(world: World) -> None:
    async with connected(world) as client:
        client.open_one_way(GREASE, b"whatever")
        answer = await client.ask()
        check(answer.status == 200, f"{answer}")


async def priorities_are_accepted(world: World) -> None:
    async with connected(world, control=False) as client:
        client.open_control(settings() + frame(PRIORITY_UPDATE, b"\x00u=1, i"))
        answer = await client.ask(extra=[(b"priority", b"u=5, i")])
        check(answer.status == 200, f"{answer}")


async def dynamic_table_that_is_allowed_may_be_used(world: World) -> None:
    async with connected(world, control=False) as client:
        client.open_control(settings({0x1: 4096, 0x7: 16}))
        answer = await client.ask()
        # An answer that refers to the dynamic table could not be read by this client's decoder.
        check(answer.status == 200 and len(answer.body) > 0, f"{answer}")


async def request_that_is_given_up_harms_no_other(world: World) -> None:
    async with connected(world) as client:
        number = client.open_request(client.headers(request_head("POST")) + frame(FrameType.DATA, b"half"))
        await asyncio.sleep(0.05)
        client.reset(number, ErrorCode.H3_REQUEST_CANCELLED)
        client.stop(number, ErrorCode.H3_REQUEST_CANCELLED)
        await _still_serves(client)


async def answer_that_nobody_wants_harms_no_other(world: World) -> None:
    async with connected(world) as client:
        number = client.open_request(client.headers(request_head()), end=True)
        client.stop(number, ErrorCode.H3_REQUEST_CANCELLED)
        await _still_serves(client)


async def cookies_in_pieces_arrive_as_one(world: World) -> None:
    async with connected(world) as client:
        answer = await client.ask(extra=[(b"cookie", b"a=1"), (b"cookie", b"b=2")])
        seen = json.loads(answer.body)["headers"]["cookie"]
        check(seen == ["a=1; b=2"], f"the backend saw {seen}")


async def header_fields_of_8_KiB_arrive(world: World) -> None:
    async with connected(world) as client:
        answer = await client.ask(extra=[(b"x-long", b"v" * 8192)])
        check(answer.status == 200 and "v" * 8192 in answer.body.decode(), f"{answer.status}")


async def header_fields_beyond_the_limit_are_refused(world: World) -> None:
    """By an answer, or by an error of the stream or of the connection (RFC 9114, 4.2.2 and 8.1)."""
    async with connected(world) as client:
        number = client.open_request(client.headers(request_head(extra=[(b"x-long", b"v" * 60_000)] * 8)), end=True)
        try:
            answer = await client.answer(number)
        except Failure:
            event = await client.closed()
            check(event.error_code == ErrorCode.H3_EXCESSIVE_LOAD, f"closed with {describe(event)}")
            return
        check(answer.status == 431 or answer.reset is not None, f"{answer.status}")


async def _still_serves(client: Client) -> None:
    answer = await client.ask()
    check(answer.status == 200, f"{answer}")


CASES = [
    get_is_answered, head_has_no_body, post_arrives_whole, length_that_is_announced_is_kept,
    body_in_many_small_frames_arrives, empty_data_frames_end_nothing, trailers_arrive, bytes_may_come_one_by_one,
    hundred_requests_side_by_side_are_answered, unknown_frames_are_ignored, unknown_settings_are_ignored,
    unknown_frames_on_the_control_stream_are_ignored, unknown_streams_are_ignored, priorities_are_accepted,
    dynamic_table_that_is_allowed_may_be_used, request_that_is_given_up_harms_no_other,
    answer_that_nobody_wants_harms_no_other, cookies_in_pieces_arrive_as_one, header_fields_of_8_KiB_arrive,
    header_fields_beyond_the_limit_are_refused,
]
