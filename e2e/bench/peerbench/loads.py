"""The load generators: their command lines and what they print. It runs none of them."""

import re
from dataclasses import dataclass
from enum import Enum

from . import places


class Tool(Enum):
    """A load generator."""

    WRK = "wrk"
    H2LOAD = "h2load"


@dataclass(frozen=True)
class Load:
    """What a load generator does."""

    tool: Tool
    connections: int
    streams: int = 1
    path: str = "/"
    tls: bool = False
    close: bool = False
    host: str = "svc8.example.test"

    def command(self, port: int, seconds: int, log: str | None = None) -> list[str]:
        """The command line; h2load writes one line per request to `log`."""
        if self.tool is Tool.WRK:
            return self._wrk(port, seconds)
        return self._h2load(port, seconds, log)

    def _scheme(self) -> str:
        return "https" if self.tls else "http"

    def _wrk(self, port: int, seconds: int) -> list[str]:
        headers = ["-H", f"Host: {self.host}"]
        if self.close:
            headers += ["-H", "Connection: close"]
        url = f"{self._scheme()}://127.0.0.1:{port}{self.path}"
        return [str(places.WRK), "-t1", f"-c{self.connections}", f"-d{seconds}s", "--latency", *headers, url]

    def _h2load(self, port: int, seconds: int, log: str | None) -> list[str]:
        logging = [f"--log-file={log}"] if log else []
        url = f"{self._scheme()}://{self.host}{self.path}"
        return [
            str(places.H2LOAD), "-t1", f"-c{self.connections}", f"-m{self.streams}", f"-D{seconds}",
            f"--connect-to=127.0.0.1:{port}", *logging, url,
        ]


@dataclass(frozen=True)
class Result:
    """What a load generator saw; times in milliseconds, absent where it does not print them."""

    requests: int
    failures: int
    rate: float
    p50_ms: float | None = None
    p99_ms: float | None = None


class OddOutput(Exception):
    """A load generator printed something else than results."""


_UNITS_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def parse_wrk(text: str) -> Result:
    """The results in wrk's output with `--latency`."""
    requests = _number(r"^\s*(\d+) requests in ", text)
    rate = _number(r"^Requests/sec:\s+([\d.]+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failures = sum(int(count) for count in errors.groups()) if errors else 0
    odd = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failures += int(odd[1]) if odd else 0
    return Result(int(requests), failures, rate, _wrk_percentile("50", text), _wrk_percentile("99", text))


def _wrk_percentile(percent: str, text: str) -> float:
    match = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m) *$", text, re.MULTILINE)
    if not match:
        raise OddOutput(f"no {percent} % in: {text[-500:]}")
    return float(match[1]) * _UNITS_MS[match[2]]


def parse_h2load(text: str) -> Result:
    """The results in h2load's output; it prints no percentiles."""
    rate = _number(r"^finished in [\d.]+\w+, ([\d.]+) req/s", text)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    if not counts:
        raise OddOutput(f"no counts of requests in: {text[-500:]}")
    succeeded, failed, errored, timeout = (int(count) for count in counts.groups())
    # h2load counts errored requests among the failed ones.
    return Result(succeeded, max(failed, errored) + timeout, rate)


def parse_h2load_log(text: str) -> tuple[float, float]:
    """The 50th and 99th percentile in milliseconds, from a log of start, status and microseconds."""
    times = sorted(int(line.split("\t")[2]) for line in text.splitlines() if line.count("\t") >= 2)
    if not times:
        raise OddOutput("h2load logged no request")
    return tuple(times[min(len(times) - 1, len(times) * percent // 100)] / 1e3 for percent in (50, 99))


def _number(pattern: str, text: str) -> float:
    match = re.search(pattern, text, re.MULTILINE)
    if not match:
        raise OddOutput(f"no {pattern} in: {text[-500:]}")
    return float(match[1])
