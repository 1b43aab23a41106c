"""The suites, in the order of the page. Each takes a world and gives its results."""

from collections.abc import Callable
from dataclasses import dataclass

from ..outcome import SuiteResult
from ..world import World
from . import autobahn, foreign, grpc, h2spec, http3, trailers, websocket


@dataclass(frozen=True)
class Suite:
    """A suite by its name on the command line."""

    name: str
    run: Callable[[World], list[SuiteResult]]


SUITES = [
    Suite("h2spec", h2spec.run),
    Suite("http3", http3.run),
    Suite("trailers", trailers.run),
    Suite("grpc", grpc.run),
    Suite("autobahn", autobahn.run),
    Suite("websocket", websocket.run),
    Suite("foreign", foreign.run),
]
