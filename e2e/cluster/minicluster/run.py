"""Runs commands. A failure names the command and the log, and shows how the log ends."""

import subprocess
import sys
import time
from pathlib import Path

LINES_SHOWN = 20


class Failure(Exception):
    """What went wrong, as a person reads it."""


def run(*command: object, log: Path | None = None, quiet: bool = False, **options) -> str:
    """Runs a command to its end and returns what it printed; with `log`, it prints there."""
    words = [str(word) for word in command]
    if log is None:
        done = subprocess.run(words, text=True, capture_output=True, **options)
        if done.returncode and not quiet:
            raise Failure(f"{' '.join(words)}\nexited with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as out:
        done = subprocess.run(words, text=True, stdout=out, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise Failure(f"{' '.join(words)}\nexited with {done.returncode}\n{end_of(log)}")
    return ""


def end_of(log: Path) -> str:
    """The log's name and its last lines."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return f"{log}: not written"
    return "\n".join([f"the log: {log}, which ends:", *(f"    {line}" for line in lines[-LINES_SHOWN:])])


def within(seconds: float, what: str, log: Path, attempt) -> None:
    """Calls `attempt` until it does not fail; a failure after `seconds` names `log`."""
    end = time.monotonic() + seconds
    while True:
        try:
            attempt()
            return
        except (Failure, subprocess.SubprocessError) as error:
            if time.monotonic() > end:
                raise Failure(f"{what}: not within {seconds:.0f} s: {error}\n{end_of(log)}") from error
        time.sleep(0.2)


class Progress:
    """Says what was reached, and when."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self, text: str) -> None:
        print(f"{time.monotonic() - self.start:7.1f} s  {text}", file=sys.stderr, flush=True)
