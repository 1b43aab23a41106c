"""The routing job: nine hosts of four prefixes, and the fixed mix of a thousand rules. The same every time."""

from dataclasses import dataclass
from enum import Enum

HOSTS = [f"svc{number}.example.test" for number in range(9)]
PREFIXES = ["/api/v1/", "/static/", "/ws", "/"]

MIX_HOST = "shop.example.test"
"""The host that all rules of the mix but those for wildcard hosts are for."""
MIX_PATH = "/items/4711/reviews"
"""What is asked for: of the thousand rules, only the last one matches."""
MIX_HEADER = "x-tenant"

_PER_KIND = 200
_TENANTS = 10


class Match(Enum):
    """How a rule looks at the path."""

    EXACT = "Exact"
    REGEX = "RegularExpression"
    PREFIX = "PathPrefix"


@dataclass(frozen=True)
class Rule:
    """One rule; `header` is the value that MIX_HEADER must have."""

    host: str
    match: Match
    path: str
    header: str | None = None


LAST = Rule(MIX_HOST, Match.PREFIX, "/")


def thousand() -> list[Rule]:
    """A thousand rules, in the order of their precedence; the last one takes what no other does."""
    numbers = range(_PER_KIND)
    exact = [Rule(MIX_HOST, Match.EXACT, f"/items/{n}") for n in numbers]
    # Half of them share their beginning with what is asked for, half do not.
    regexes = [Rule(MIX_HOST, Match.REGEX, f"/items/[0-9]+/variants/{n}") for n in numbers[::2]]
    regexes += [Rule(MIX_HOST, Match.REGEX, f"/shop{n}/(orders|carts)/[0-9]+") for n in numbers[1::2]]
    prefixes = [Rule(MIX_HOST, Match.PREFIX, f"/items{n}/") for n in numbers]
    wildcards = [Rule(f"*.w{n}.example.test", Match.PREFIX, "/") for n in numbers[1:]]
    return [*exact, *regexes, *prefixes, *_by_header(), *wildcards, LAST]


def _by_header() -> list[Rule]:
    """Groups that differ in a header alone; one of them is on the very prefix that the last rule has."""
    groups = ["/", *(f"/group{n}/" for n in range(1, _PER_KIND // _TENANTS))]
    return [Rule(MIX_HOST, Match.PREFIX, path, f"t{tenant}") for path in reversed(groups) for tenant in range(_TENANTS)]


class Scenario(Enum):
    """What a proxy is configured to do."""

    SERVE = "serve"
    """Nine hosts of four prefixes."""
    FILTER = "filter"
    """The same, with the Wasm filter on every rule."""
    ONE_RULE = "one-rule"
    """The last rule of the mix alone."""
    THOUSAND_RULES = "thousand-rules"
    """The whole mix."""


def rules(scenario: Scenario) -> list[Rule]:
    """The rules of a scenario, in the order of their precedence within each host."""
    match scenario:
        case Scenario.SERVE | Scenario.FILTER:
            return [Rule(host, Match.PREFIX, prefix) for host in HOSTS for prefix in PREFIXES]
        case Scenario.ONE_RULE:
            return [LAST]
        case Scenario.THOUSAND_RULES:
            return thousand()
