"""The cases of the Autobahn test suite, run by kosoku, against an echo behind Portolan that passes them all alone."""

import asyncio

from kosoku import FailureError, run_fuzzingclient

from .. import versions
from ..outcome import Case, Outcome, SuiteResult
from ..world import HOST, World

CASES = [
    *(f"{chapter}.*" for chapter in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
    *(f"12.{kind}.1" for kind in range(1, 6)),
    *(f"13.{offer}.1" for offer in range(1, 8)),
]
"""All but most sizes of compressed messages, which measure the compression of both ends for minutes."""

AT_ONCE = 2


def run(world: World) -> list[SuiteResult]:
    """Over HTTP/1.1; the suite speaks no TLS."""
    results = asyncio.run(_results(f"ws://{HOST}:{world.ports.http}/websocket"))
    cases = [_case(result) for result in results]
    return [SuiteResult("autobahn", "WebSocket, HTTP/1.1", f"Autobahn's cases by {versions.python('kosoku')}", cases)]


async def _results(url: str) -> list:
    try:
        return await run_fuzzingclient(url, CASES, concurrency=AT_ONCE)
    except FailureError as failure:
        return failure.results


def _case(result) -> Case:
    detail = "" if result.passed else f"{result.result} {result.result_close}"
    return Case(result.case_id, Outcome.PASSED if result.passed else Outcome.FAILED, detail)
