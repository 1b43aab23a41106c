"""What became of each test, from the events of `go test -json`: the suite's own report is written before the parallel
tests end, so it does not say."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

# What runs the suite's tests, and what runs our own.
ROOTS = ("TestConformance/", "TestOwn/")
ACTIONS = {"pass": "pass", "fail": "fail", "skip": "skip"}


@dataclass(frozen=True)
class Outcome:
    """What became of one test, of the suite or of our own."""

    name: str
    result: str  # pass, fail, skip, or unfinished
    seconds: float


def read(lines: Iterable[str]) -> dict[str, Outcome]:
    """Outcomes by name; a test that began and did not end is unfinished."""
    outcomes: dict[str, Outcome] = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        name = below_root(event.get("Test", ""))
        if not name or "/" in name:
            continue
        if event["Action"] == "run":
            outcomes[name] = Outcome(name, "unfinished", 0.0)
        elif event["Action"] in ACTIONS:
            outcomes[name] = Outcome(name, ACTIONS[event["Action"]], event.get("Elapsed", 0.0))
    return outcomes


def below_root(test: str) -> str:
    """The name of a test or of its part, without that of what runs it; empty for what is of neither."""
    return next((test.removeprefix(root) for root in ROOTS if test.startswith(root)), "")


def output_of(lines: Iterable[str], name: str) -> list[str]:
    """What a test and its parts printed."""
    said = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        test = below_root(event.get("Test", ""))
        if event.get("Action") == "output" and (test == name or test.startswith(f"{name}/")):
            said.append(event["Output"].rstrip("\n"))
    return said
