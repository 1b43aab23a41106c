"""Medians and ratios from samples, and the bars. It measures nothing and prints nothing."""

from dataclasses import dataclass
from enum import Enum
from statistics import median

from .measure import RowResult, Sample
from .rows import FILTERED


def middle(samples: list[Sample | None], name: str) -> float | None:
    """The median of a figure over the rounds."""
    values = [getattr(sample, name) for sample in samples if sample]
    return median(values) if values else None


def failures(samples: list[Sample | None]) -> int:
    """Failed requests of all rounds."""
    return sum(sample.failures for sample in samples if sample)


def _pairs(result: RowResult, of: str, to: str) -> list[tuple[float, float]]:
    """CPU time of two contenders in the rounds that have both."""
    pairs = zip(result.samples.get(of, []), result.samples.get(to, []))
    return [(one.cpu_us, other.cpu_us) for one, other in pairs if one and other]


def ratio(result: RowResult, of: str, to: str) -> float | None:
    """The median of the ratios within each round: what slows a whole round cancels out."""
    pairs = _pairs(result, of, to)
    return median(one / other for one, other in pairs) if pairs else None


def added(result: RowResult, of: str, to: str) -> float | None:
    """The median of the differences within each round, in microseconds."""
    pairs = _pairs(result, of, to)
    return median(one - other for one, other in pairs) if pairs else None


def added_ratio(result: RowResult, of: str, to: str) -> float | None:
    """What a filter adds to one peer by what it adds to another, if it adds anything to that one."""
    ours, theirs = (added(result, name + FILTERED, name) for name in (of, to))
    return ours / theirs if ours is not None and theirs is not None and theirs > 0 else None


class Measure(Enum):
    """What a bar compares; each is a ratio of CPU times, which machines change less than the times."""

    RATIO = "{of} ÷ {to}"
    ADDED = "what the filter adds, {of} ÷ {to}"


@dataclass(frozen=True)
class Bar:
    """What is to be reached: CPU time of one contender against another's in a row, or what a filter adds to both."""

    row: str
    of: str
    to: str
    limit: float
    measure: Measure = Measure.RATIO

    @property
    def what(self) -> str:
        return f"{self.row}: {self.measure.value.format(of=self.of, to=self.to)}"

    def value(self, results: dict[str, RowResult]) -> float | None:
        """What was measured, if all that it takes was."""
        if self.row not in results:
            return None
        compare = ratio if self.measure is Measure.RATIO else added_ratio
        return compare(results[self.row], self.of, self.to)


BARS = [
    Bar("h1", "portolan", "nginx", 1.05),
    Bar("h1", "portolan", "envoy", 0.40),
    Bar("h2c", "portolan", "nginx", 0.65),
    Bar("h1-tls", "portolan", "nginx", 1.00),
    Bar("tls-new", "portolan", "nginx", 0.65),
    Bar("1m", "portolan", "nginx", 0.80),
    Bar("1m-tls", "portolan", "nginx", 0.95),
    Bar("routes", "portolan/1000", "portolan/1", 1.10),
    # 2.5 µs on the machine where it adds 7.3 to Envoy.
    Bar("wasm", "portolan", "envoy", 0.34, Measure.ADDED),
]


@dataclass(frozen=True)
class Verdict:
    """A bar and what became of it; `held` is None where it was not measured."""

    what: str
    value: float | None
    limit: float
    held: bool | None

    @classmethod
    def of(cls, what: str, value: float | None, limit: float) -> "Verdict":
        return cls(what, value, limit, None if value is None else value <= limit)


def verdicts(results: dict[str, RowResult]) -> list[Verdict]:
    """All bars of the rows that were measured."""
    found = []
    for bar in BARS:
        if bar.row in results:
            found.append(Verdict.of(bar.what, bar.value(results), bar.limit))
    for result in results.values():
        ours = [name for name in result.samples if name.startswith("portolan")]
        for name in ours:
            failed = None if name in result.errors else float(failures(result.samples[name]))
            found.append(Verdict.of(f"{result.row.key}: failed requests of {name}", failed, 0.0))
    return found


def exit_code(found: list[Verdict], strict: bool) -> int:
    """1 if all bars were to hold and one does not, or was not measured."""
    return 1 if strict and any(verdict.held is not True for verdict in found) else 0
