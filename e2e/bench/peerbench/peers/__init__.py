"""The proxies that are compared, each with its configuration for the same job."""

from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ..processes import Command
from ..rules import Scenario


@dataclass(frozen=True)
class Ports:
    """Where a proxy listens; h2c may be the port of HTTP/1.1 where a proxy tells them apart itself."""

    http: int
    h2c: int
    https: int
    admin: int


@dataclass(frozen=True)
class Job:
    """What a proxy is to do."""

    scenario: Scenario
    ports: Ports
    backend: int
    folder: Path
    """A folder of the proxy's own, empty."""


@dataclass(frozen=True)
class Peer:
    """A proxy: writes its configuration for a job into the job's folder, and says how it is started."""

    name: str
    scenarios: frozenset[Scenario]
    one_port: bool
    """Whether HTTP/1.1 and h2c share a port."""
    prepare: Callable[[Job], Command]
    version: Callable[[], str]
