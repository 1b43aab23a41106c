"""The command line of the benchmark: installs, measures, prints, writes JSON and a plot."""

import argparse
import datetime
import json
import os
import platform
import sys
from pathlib import Path

from . import install, places, plot, report
from .figures import exit_code, verdicts
from .measure import Plan, RowResult, measure_row
from .processes import ProcessError, choose_cores, end_in_order
from .rows import PEERS, ROWS

LOAD_AVERAGE_QUIET = 1.0
"""Up to this load before the start, a machine counts as quiet."""


def _arguments(words: list[str] | None) -> argparse.Namespace:
    keys = [row.key for row in ROWS]
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    parser.add_argument("--rows", type=_some_of(keys), default=keys, help=f"some of {','.join(keys)}")
    parser.add_argument("--peers", type=_some_of(list(PEERS)), default=list(PEERS), help=f"some of {','.join(PEERS)}")
    parser.add_argument("--rounds", type=positive, default=5, help="samples of each contender (default 5)")
    parser.add_argument("--seconds", type=positive, default=2, help="length of a sample (default 2)")
    parser.add_argument("--no-build", action="store_true", help="measure the binary that is there, however old")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar does not hold")
    return parser.parse_args(words)


def _some_of(known: list[str]):
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
        return [name for name in known if name in names]
    return parse


def positive(text: str) -> int:
    """A positive whole number of the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no positive whole number")
    return int(text)


def main(words: list[str] | None = None) -> int:
    """Runs the benchmark; the exit code."""
    options = _arguments(words)
    end_in_order()
    try:
        cores = choose_cores()
        install.install(options.peers)
        if "portolan" in options.peers and not options.no_build:
            install.build_portolan()
        about = _about(options)
        plan = Plan(options.rounds, options.seconds, cores)
        results = []
        for row in (row for row in ROWS if row.key in options.rows):
            results.append(measure_row(row, options.peers, plan))
            print(report.row(results[-1]) + "\n", flush=True)
    except (install.InstallError, ProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return _publish(results, about, options.strict)


def _about(options: argparse.Namespace) -> dict:
    """What a reader of the figures must know of how they came about."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "kernel": platform.release(),
        "processor": _processor(),
        "load_average": os.getloadavg()[0],
        "versions": {name: PEERS[name].version() for name in options.peers},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _publish(results: list[RowResult], about: dict, strict: bool) -> int:
    found = verdicts({result.row.key: result for result in results})
    versions = ", ".join(about["versions"].values())
    caption = f"{versions}; {about['rounds']} × {about['seconds']} s; {about['processor']}"
    print(report.bars(found))
    print(f"\n{caption}")
    if about["load_average"] > LOAD_AVERAGE_QUIET:
        print(f"the machine was busy (load {about['load_average']:.1f}): trust CPU time, not rates and latencies")
    table, picture = places.TARGET / "results.json", places.TARGET / "results.svg"
    table.write_text(json.dumps(report.as_json(about, results, found), indent=1, ensure_ascii=False) + "\n")
    picture.write_text(plot.svg(results, caption))
    print(f"written: {table}, {picture}")
    return exit_code(found, strict)
