"""The rows of the table: which load, on which proxies, doing what."""

from dataclasses import dataclass, field

from .loads import Load, Tool
from .peers.envoy import ENVOY
from .peers.haproxy import HAPROXY
from .peers.nginx import NGINX
from .peers.portolan import PORTOLAN
from .rules import MIX_HOST, MIX_PATH, Scenario

PEERS = {peer.name: peer for peer in (NGINX, HAPROXY, ENVOY, PORTOLAN)}

FILTERED = "+wasm"
"""Ends the name of a contender with a filter."""

_SUFFIXES = {
    Scenario.SERVE: "",
    Scenario.FILTER: FILTERED,
    Scenario.ONE_RULE: "/1",
    Scenario.THOUSAND_RULES: "/1000",
}


@dataclass(frozen=True)
class Contender:
    """A proxy in one of its configurations."""

    peer: str
    scenario: Scenario

    @property
    def name(self) -> str:
        return self.peer + _SUFFIXES[self.scenario]


@dataclass(frozen=True)
class Row:
    """One load on several contenders; `per` is what the CPU time is given for."""

    key: str
    title: str
    load: Load
    scenarios: tuple[Scenario, ...] = (Scenario.SERVE,)
    per: str = field(default="request")

    def contenders(self, peers: list[str]) -> list[Contender]:
        """Those of the peers that can do the row's jobs."""
        return [
            Contender(name, scenario)
            for name in peers
            for scenario in self.scenarios
            if set(self.scenarios) <= PEERS[name].scenarios
        ]


def _wrk(connections: int = 64, **fields) -> Load:
    return Load(Tool.WRK, connections, **fields)


_ONE_OR_MANY = (Scenario.ONE_RULE, Scenario.THOUSAND_RULES)

ROWS = [
    Row("h1", "HTTP/1.1 keepalive, 13 bytes, 64 connections", _wrk()),
    Row("h2c", "HTTP/2 in cleartext, 13 bytes, 8 connections of 16 streams", Load(Tool.H2LOAD, 8, 16)),
    Row("h1-tls", "HTTP/1.1 over TLS, keepalive, 13 bytes, 64 connections", _wrk(tls=True)),
    Row("h2-tls", "HTTP/2 over TLS, 13 bytes, 8 connections of 16 streams", Load(Tool.H2LOAD, 8, 16, tls=True)),
    Row("tls-new", "A new TLS connection with one request, 32 at a time", _wrk(32, tls=True, close=True),
        per="connection"),
    Row("1m", "1 MiB bodies over HTTP/1.1, 16 connections", _wrk(16, path="/1m")),
    Row("1m-tls", "1 MiB bodies over HTTP/1.1 and TLS, 16 connections", _wrk(16, path="/1m", tls=True)),
    Row("routes", "A mix of 1,000 routes, the last one matching, against that one alone",
        _wrk(host=MIX_HOST, path=MIX_PATH), _ONE_OR_MANY),
    Row("wasm", "One Wasm filter on headers, the same module in all", _wrk(), (Scenario.SERVE, Scenario.FILTER)),
]
