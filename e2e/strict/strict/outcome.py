"""What suites found, and how that compares with what is expected of them. No IO but reading the expectations."""

import enum
import tomllib
from dataclasses import dataclass, field
from pathlib import Path


class Outcome(enum.Enum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Case:
    """One case of a suite."""

    name: str
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class SuiteResult:
    """What one suite found over one kind of connection."""

    key: str
    title: str
    version: str
    cases: list[Case]
    not_served: bool = False
    """Whether the binary does not speak the protocol at all, so that no case ran."""

    def count(self, outcome: Outcome) -> int:
        """Cases that ended so."""
        return sum(case.outcome is outcome for case in self.cases)


@dataclass(frozen=True)
class Expectation:
    """A case that is known to fail."""

    suite: str
    case: str
    why: str
    sometimes: bool = False
    """Whether it also passes, as luck will have it. It counts as expected to fail either way."""


@dataclass(frozen=True)
class Judgement:
    """A suite's result beside what was expected of it."""

    result: SuiteResult
    known: list[Expectation] = field(default_factory=list)
    """Failures that were expected."""
    surprises: list[str] = field(default_factory=list)
    """What differs, in words: failures nobody expects, and expectations that do not come true."""

    def passed(self) -> int:
        """Cases that passed, and not by luck."""
        known = {one.case for one in self.known}
        return sum(case.outcome is Outcome.PASSED and case.name not in known for case in self.result.cases)


def read_expectations(path: Path) -> list[Expectation]:
    """The cases that are known to fail."""
    return [Expectation(**entry) for entry in tomllib.loads(path.read_text()).get("failure", [])]


def judge(result: SuiteResult, expectations: list[Expectation]) -> Judgement:
    """Compares a result with the expectations about its suite."""
    if result.not_served:
        return Judgement(result)
    awaited = {one.case: one for one in expectations if one.suite == result.key}
    judgement = Judgement(result)
    for case in result.cases:
        expectation = awaited.pop(case.name, None)
        match case.outcome, expectation:
            case Outcome.FAILED, None:
                judgement.surprises.append(f"{case.name}: {case.detail}")
            case Outcome.FAILED, known:
                judgement.known.append(known)
            case _, None:
                pass
            case _, maybe if maybe.sometimes:
                judgement.known.append(maybe)
            case _, _:
                judgement.surprises.append(f"{case.name}: {case.outcome.value}, but expected to fail")
    judgement.surprises.extend(f"{name}: expected to fail, but no such case ran" for name in awaited)
    if not result.cases:
        judgement.surprises.append("no case ran")
    return judgement
