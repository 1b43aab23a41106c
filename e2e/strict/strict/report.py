"""The table of results, for the terminal and for docs/strictness.md. It holds nothing that differs between runs."""

import textwrap
from pathlib import Path

from .outcome import Judgement, Outcome

BEGIN = "<!-- results: written by e2e/strict/run --write -->"
END = "<!-- end of results -->"
WIDTH = 120
HEADING = ["suite", "by", "passed", "expected to fail", "not offered"]


def row(judgement: Judgement) -> str:
    """One suite's line."""
    result = judgement.result
    if result.not_served:
        return _line([result.title, result.version, "**not served**", "", ""])
    skipped = result.count(Outcome.SKIPPED)
    passed = f"{judgement.passed()} of {len(result.cases) - skipped}"
    return _line([result.title, result.version, passed, len(judgement.known) or "", skipped or ""])


def table(judgements: list[Judgement]) -> str:
    """All suites, and the reason of each failure that is expected."""
    lines = [_line(HEADING), _line(["---"] * len(HEADING)), *map(row, judgements)]
    if any(one.known for one in judgements):
        lines += ["", "Expected to fail:", ""]
        lines += [line for one in judgements for line in _reasons(one)]
    return "\n".join(lines)


def _reasons(judgement: Judgement) -> list[str]:
    """The failures that are expected of a suite, one entry a reason."""
    reasons: dict[str, list[str]] = {}
    for failure in judgement.known:
        reasons.setdefault(failure.why, []).append(f"`{failure.case}`")
    return [
        line for why, cases in reasons.items()
        for line in textwrap.wrap(
            f"{judgement.result.title}: {', '.join(cases)}. {why}", WIDTH, initial_indent="- ", subsequent_indent="  ",
            break_long_words=False, break_on_hyphens=False,
        )
    ]


def words(judgement: Judgement) -> str:
    """One suite, for the terminal."""
    return "\n".join([row(judgement).strip("| "), *(f"  UNEXPECTED {surprise}" for surprise in judgement.surprises)])


def stale_lines(page: str, judgements: list[Judgement]) -> list[str]:
    """Lines of a run's table that the page does not have."""
    kept = set(page.splitlines())
    return [line for line in table(judgements).splitlines() if line and line not in kept]


def write(page: Path, judgements: list[Judgement]) -> None:
    """Puts the table into the page, between its marks."""
    text = page.read_text()
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    page.write_text(f"{before}{BEGIN}\n{table(judgements)}\n{END}{after}")


def _line(cells: list) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
