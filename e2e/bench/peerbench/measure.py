"""Measures rows: every round starts each contender anew, in an order that moves, and takes one sample of it."""

import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import checks, loads, places, procfs
from .loads import Load, OddOutput, Result, Tool
from .peers import Job, Ports
from .processes import Command, Cores, ProcessError, await_port, free_ports, output_of, running
from .rows import PEERS, Contender, Row

WARM_SECONDS = 1
LATENCY_SECONDS = 1
LATE_SECONDS_MAX = 30
ERROR_LENGTH_MAX = 600


@dataclass(frozen=True)
class Plan:
    """How long to measure, and where."""

    rounds: int
    seconds: int
    cores: Cores


@dataclass(frozen=True)
class Sample:
    """One contender in one round; microseconds are of CPU time per request, `busy` the share of its core."""

    requests: int
    failures: int
    rate: float
    cpu_us: float
    user_us: float
    system_us: float
    p50_ms: float
    p99_ms: float
    peak_mib: float
    busy: float


@dataclass
class RowResult:
    """The samples of a row by contender and round; None where a round has none, and then the reason."""

    row: Row
    samples: dict[str, list[Sample | None]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    tls: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict:
        samples = {name: [sample and asdict(sample) for sample in of] for name, of in self.samples.items()}
        about = {"title": self.row.title, "per": self.row.per}
        return {**about, "samples": samples, "errors": self.errors, "tls": self.tls}


def measure_row(row: Row, peers: list[str], plan: Plan) -> RowResult:
    """All rounds of a row."""
    contenders = row.contenders(peers)
    result = RowResult(row, {contender.name: [] for contender in contenders})
    port = free_ports(1)[0]
    backend = Command([str(places.BACKEND), f"127.0.0.1:{port}"])
    with running("backend", plan.cores.load, backend) as process:
        await_port("backend", process, port)
        for number in range(plan.rounds):
            shift = number % max(1, len(contenders))
            for contender in contenders[shift:] + contenders[:shift]:
                _one_round(result, contender, port, plan)
    return result


def _one_round(result: RowResult, contender: Contender, backend: int, plan: Plan) -> None:
    name = contender.name
    if name in result.errors:
        return  # It failed before and will not do better.
    print(f"  {result.row.key}: round {len(result.samples[name]) + 1} of {plan.rounds}, {name}", file=sys.stderr)
    try:
        result.samples[name].append(_sample(result, contender, backend, plan))
    except (ProcessError, checks.CheckFailed, OddOutput, OSError) as error:
        result.errors[name] = " ".join(str(error).split())[:ERROR_LENGTH_MAX]
        result.samples[name].append(None)


def _sample(result: RowResult, contender: Contender, backend: int, plan: Plan) -> Sample:
    peer, load = PEERS[contender.peer], result.row.load
    name = contender.name.replace("/", "-")
    ports = _ports(peer.one_port)
    command = peer.prepare(Job(contender.scenario, ports, backend, _fresh_folder(name)))
    with running(name, plan.cores.proxy, command) as process:
        await_port(name, process, ports.http)
        checks.await_answer(ports.http, load)
        checks.whole_job(ports.http, load, contender.scenario)
        if load.tls:
            await_port(name, process, ports.https)
            result.tls[contender.name] = checks.agreed_tls(ports)
        return _measured(process.pid, load, _load_port(load, ports), plan)


def _measured(pid: int, load: Load, port: int, plan: Plan) -> Sample:
    _run_load(load, port, WARM_SECONDS, plan.cores)
    cpu, start = procfs.cpu(pid), time.monotonic()
    seen = _run_load(load, port, plan.seconds, plan.cores)
    cpu, elapsed = procfs.cpu(pid) - cpu, time.monotonic() - start
    if not seen.requests:
        raise OddOutput(f"no request was answered, {seen.failures} failed")
    p50, p99 = _latency(seen, load, port, plan.cores)
    per_request = 1e6 / seen.requests
    return Sample(
        seen.requests, seen.failures, seen.rate, cpu.total * per_request, cpu.user * per_request,
        cpu.system * per_request, p50, p99, procfs.memory_kib(pid, "VmHWM") / 1024, cpu.total / elapsed,
    )


def _run_load(load: Load, port: int, seconds: int, cores: Cores, log: Path | None = None) -> Result:
    command = Command(load.command(port, seconds, str(log) if log else None))
    printed = output_of(cores.load, command, seconds + LATE_SECONDS_MAX)
    if printed is None:
        raise OddOutput(f"{load.tool.value} did not end")
    return (loads.parse_wrk if load.tool is Tool.WRK else loads.parse_h2load)(printed)


def _latency(seen: Result, load: Load, port: int, cores: Cores) -> tuple[float, float]:
    """h2load tells percentiles by a log alone, which costs its core a write per request: so in a run of its own."""
    if seen.p50_ms is not None and seen.p99_ms is not None:
        return seen.p50_ms, seen.p99_ms
    log = places.CONFIGS / "h2load.tsv"
    log.unlink(missing_ok=True)  # h2load appends.
    _run_load(load, port, LATENCY_SECONDS, cores, log)
    return loads.parse_h2load_log(log.read_text())


def _load_port(load: Load, ports: Ports) -> int:
    if load.tls:
        return ports.https
    return ports.h2c if load.tool is Tool.H2LOAD else ports.http


def _ports(one_port: bool) -> Ports:
    http, h2c, https, admin = free_ports(4)
    return Ports(http, http if one_port else h2c, https, admin)


def _fresh_folder(name: str) -> Path:
    folder = places.CONFIGS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
