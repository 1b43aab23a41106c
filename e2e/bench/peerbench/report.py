"""The table and the JSON. It measures nothing."""

from typing import Iterable

from .figures import Verdict, added, failures, middle, ratio
from .measure import RowResult

_FIGURES = [
    ("rate", 0), ("cpu_us", 2), ("user_us", 2), ("system_us", 2), ("p50_ms", 3), ("p99_ms", 3), ("peak_mib", 1),
    ("busy", 2),
]
_HEAD = [
    "", "req/s", "CPU µs", "user", "system", "p50 ms", "p99 ms", "peak MiB", "busy", "failed", "÷ nginx", "÷ envoy",
]


def row(result: RowResult) -> str:
    """A row with all of its contenders, for people."""
    cells = [_HEAD] + [_cells(result, name) for name in result.samples]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEAD))]
    lines = [f"{result.row.key}: {result.row.title} (CPU per {result.row.per})"]
    for line in cells:
        aligned = [line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])]
        lines.append("  " + "  ".join(aligned).rstrip())
    lines += _within_peers(result)
    lines += [f"  {name} was not measured: {why}" for name, why in result.errors.items()]
    if len(set(result.tls.values())) > 1:
        lines.append(f"  TLS differs: {result.tls}")
    elif result.tls:
        lines.append(f"  all with {next(iter(result.tls.values()))}")
    return "\n".join(lines)


def _within_peers(result: RowResult) -> list[str]:
    """What the second configuration of each peer costs over its first."""
    names = list(result.samples)
    if len(result.row.scenarios) < 2:
        return []
    lines = []
    for base, other in zip(names[::2], names[1::2]):
        more, times = added(result, other, base), ratio(result, other, base)
        lines.append(f"  {other} over {base}: {_number(more, 2)} µs more, × {_number(times, 2)}")
    return lines


def _cells(result: RowResult, name: str) -> list[str]:
    samples = result.samples[name]
    figures = [_number(middle(samples, figure), digits) for figure, digits in _FIGURES]
    ratios = [_number(ratio(result, name, _base(result, peer)), 2) for peer in ("nginx", "envoy")]
    return [name, *figures, str(failures(samples)), *ratios]


def _base(result: RowResult, peer: str) -> str:
    """The peer's own name in this row: its first configuration is what all are compared with."""
    return next((name for name in result.samples if name.startswith(peer)), peer)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def bars(found: list[Verdict]) -> str:
    """The bars, for people."""
    words = {True: "pass", False: "FAIL", None: "not measured"}
    width = max((len(verdict.what) for verdict in found), default=0)
    lines = [
        f"  {words[verdict.held]:12}  {verdict.what.ljust(width)}  {_number(verdict.value, 2):>8}  ≤ {verdict.limit:g}"
        for verdict in found
    ]
    return "\n".join(["bars", *lines])


def as_json(about: dict, results: Iterable[RowResult], found: list[Verdict]) -> dict:
    """Everything, for programs."""
    judged = [{"what": v.what, "value": v.value, "limit": v.limit, "held": v.held} for v in found]
    return {"about": about, "rows": {result.row.key: _row_json(result) for result in results}, "bars": judged}


def _row_json(result: RowResult) -> dict:
    medians = {
        name: {
            **{figure: middle(samples, figure) for figure, _ in _FIGURES},
            "failures": failures(samples),
            **{f"ratio_to_{peer}": ratio(result, name, _base(result, peer)) for peer in ("nginx", "envoy")},
        }
        for name, samples in result.samples.items()
    }
    return {**result.as_json(), "medians": medians}
