"""Runs cases that are functions: each passes by returning, and fails by an exception that says why."""

import asyncio
import inspect
from collections.abc import Callable, Iterable

from .outcome import Case, Outcome

SECONDS_MAX = 30


class Failure(Exception):
    """What was seen instead of what is due."""


class NotOffered(Exception):
    """The server does not offer what the case is about, and says so by the protocol's own means."""


def check(holds: bool, otherwise: str) -> None:
    """Fails the case unless it holds."""
    if not holds:
        raise Failure(otherwise)


def run(cases: Iterable[Callable], *arguments) -> list[Case]:
    """Runs functions, also async ones. What they show is their `title`, else their name."""
    return [_one(case, arguments) for case in cases]


def _one(case: Callable, arguments: tuple) -> Case:
    name = getattr(case, "title", None) or case.__name__.replace("_", " ")
    try:
        if inspect.iscoroutinefunction(case):
            asyncio.run(asyncio.wait_for(case(*arguments), SECONDS_MAX))
        else:
            case(*arguments)
    except NotOffered as reason:
        return Case(name, Outcome.SKIPPED, str(reason))
    except Failure as failure:
        return Case(name, Outcome.FAILED, str(failure))
    except Exception as error:  # a library's own exception is as good a verdict
        return Case(name, Outcome.FAILED, f"{type(error).__name__}: {error}"[:300])
    return Case(name, Outcome.PASSED)
