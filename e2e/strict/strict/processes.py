"""Starts processes and ends exactly those again."""

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Iterator

from . import places

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 5


class ProcessError(Exception):
    """A process did not do its part; says what its log holds."""


def end_in_order() -> None:
    """Makes SIGTERM an exception, so that everything started is ended on the way out."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@contextlib.contextmanager
def running(name: str, command: list[str | Path], port: int) -> Iterator[subprocess.Popen]:
    """Runs a process for as long as the block, from when it listens; its output goes to a log of its name."""
    places.LOGS.mkdir(parents=True, exist_ok=True)
    log = places.LOGS / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _await_port(name, process, port, log)
        yield process
        if process.poll() is not None:
            raise ProcessError(f"{name} ended with {process.returncode}: {_tail(log)}")
    finally:
        _stop(process)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different, over TCP and UDP."""
    sockets = []
    while len(sockets) < 2 * count:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
            sockets += [tcp, udp]
        except OSError:
            tcp.close()
            udp.close()
    ports = [one.getsockname()[1] for one in sockets[::2]]
    for one in sockets:
        one.close()
    return ports


def resident_bytes(process: subprocess.Popen) -> int:
    """Memory that a process has in use."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def _await_port(name: str, process: subprocess.Popen, port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end:
        if process.poll() is not None:
            raise ProcessError(f"{name} ended with {process.returncode}: {_tail(log)}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise ProcessError(f"{name} does not listen on port {port}: {_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-1000:]


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS_MAX)
            return
        process.kill()
    process.wait()
