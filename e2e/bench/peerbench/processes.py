"""Starts processes on cores of their own and ends exactly those again."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Iterator

from . import places

STOP_SECONDS_MAX = 5
START_SECONDS_MAX = 60
NICENESS = -10


class ProcessError(Exception):
    """A process did not do its part; says what its log holds."""


@dataclass(frozen=True)
class Cores:
    """One core for the proxy, one for load and backend, as taskset takes them; and both."""

    proxy: str
    load: str

    @property
    def both(self) -> str:
        return f"{self.proxy},{self.load}"


@dataclass(frozen=True)
class Command:
    """A command with what it needs of its environment."""

    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None


def end_in_order() -> None:
    """Makes SIGTERM an exception, so that everything started is ended on the way out."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def choose_cores() -> Cores:
    """The first two cores that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise ProcessError("the benchmark takes two cores: one for the proxy, one for load and backend")
    return Cores(str(allowed[0]), str(allowed[1]))


def start(cores: str, command: Command, output: IO[bytes] | int) -> subprocess.Popen:
    """Starts a process on these cores, ahead of what else the machine does where this user may say so."""
    process = subprocess.Popen(
        ["taskset", "-c", cores, *command.words], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        env=environment(command.environment), cwd=command.folder, start_new_session=True,
    )
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    with contextlib.suppress(OSError):
        # Where the kernel groups processes by session, niceness counts within a group alone, and groups have their own.
        Path(f"/proc/{process.pid}/autogroup").write_text(str(NICENESS))
    return process


def output_of(cores: str, command: Command, seconds_max: float) -> str | None:
    """All that a command prints until it ends; None if it does not in time."""
    process = start(cores, command, subprocess.PIPE)
    try:
        printed, _ = process.communicate(timeout=seconds_max)
        return printed.decode(errors="replace")
    except subprocess.TimeoutExpired:
        return None
    finally:
        _stop(process)


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of unpacked packages: their libraries are found beside them."""
    return {**os.environ, "LD_LIBRARY_PATH": str(places.LIBRARIES), **(extra or {})}


@contextlib.contextmanager
def running(name: str, cores: str, command: Command) -> Iterator[subprocess.Popen]:
    """Runs a process for as long as the block; its output goes to a log of its name."""
    places.LOGS.mkdir(parents=True, exist_ok=True)
    path = places.LOGS / f"{name}.log"
    with path.open("wb") as log:
        process = start(cores, command, log)
        try:
            yield process
        finally:
            _stop(process)


def log_tail(name: str) -> str:
    """The end of what a process printed."""
    path = places.LOGS / f"{name}.log"
    return path.read_text(errors="replace")[-500:] if path.exists() else ""


def await_port(name: str, process: subprocess.Popen, port: int) -> None:
    """Waits until the process listens."""
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ProcessError(f"{name} ended with {process.returncode}: {log_tail(name)}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise ProcessError(f"{name} does not listen on port {port}: {log_tail(name)}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
