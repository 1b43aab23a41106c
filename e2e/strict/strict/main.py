"""The command line: runs suites, compares with what is expected and with the page, and says so."""

import argparse
import sys
import time

from . import places, report
from .outcome import Judgement, judge, read_expectations
from .processes import ProcessError, end_in_order
from .suites import SUITES
from .world import world


def _arguments(words: list[str] | None) -> argparse.Namespace:
    names = [suite.name for suite in SUITES]
    parser = argparse.ArgumentParser(
        prog="run", description="Runs protocol suites against Portolan.",
        epilog=f"{places.BINARY_VARIABLE} names another binary than target/debug/portolan. Exit codes: 0 all as "
               "expected; 1 something differs; 2 it could not run.",
    )
    parser.add_argument("--suites", type=_some_of(names), default=names, help=f"some of {','.join(names)}")
    parser.add_argument("--write", action="store_true", help="write the results of all suites into docs/strictness.md")
    return parser.parse_args(words)


def _some_of(known: list[str]):
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return names
    return parse


def main(words: list[str] | None = None) -> int:
    """Runs the suites; the exit code."""
    options = _arguments(words)
    end_in_order()
    chosen = [suite for suite in SUITES if suite.name in options.suites]
    if options.write and len(chosen) < len(SUITES):
        print("strict: --write takes all suites", file=sys.stderr)
        return 2
    if not places.portolan().exists():
        print(f"strict: {places.portolan()} is missing: cargo build -p portolan", file=sys.stderr)
        return 2
    try:
        judgements = _run(chosen)
    except (ProcessError, OSError) as error:
        print(f"strict: {error}", file=sys.stderr)
        return 2
    return _publish(judgements, options.write)


def _run(chosen) -> list[Judgement]:
    expectations, judgements = read_expectations(places.EXPECTED), []
    with world() as served:
        for suite in chosen:
            begun = time.monotonic()
            found = [judge(result, expectations) for result in suite.run(served)]
            judgements += found
            print(f"{suite.name} ({time.monotonic() - begun:.0f} s)")
            print("\n".join(report.words(one) for one in found), flush=True)
    return judgements


def _publish(judgements: list[Judgement], write: bool) -> int:
    if any(one.surprises for one in judgements):
        print("strict: not as expected; see UNEXPECTED above, and expected.toml")
        return 1
    if write:
        report.write(places.PAGE, judgements)
        print(f"strict: wrote {places.PAGE}")
        return 0
    if stale := report.stale_lines(places.PAGE.read_text(), judgements):
        print("strict: docs/strictness.md does not say so; run with --write:", *stale, sep="\n  ")
        return 1
    print("strict: all as expected, and as docs/strictness.md says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
