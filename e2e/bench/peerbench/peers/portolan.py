"""Portolan: the binary that ships, one worker, on manifests written for the job."""

import os
import shutil
import subprocess
from itertools import groupby
from pathlib import Path

from .. import manifests, places, wasm, yaml
from ..processes import Command
from ..rules import Scenario, rules
from . import Job, Peer

BINARY_VARIABLE = "PORTOLAN_BINARY"
"""Names another binary to measure."""

SETTLE_MS = 15
"""How long the watch of a directory waits before it reads a second time, to see that a save is complete."""


def binary() -> Path:
    """The binary that is measured."""
    return Path(os.environ.get(BINARY_VARIABLE, places.PORTOLAN))


def command(directory: Path, state: Path, admin: int) -> Command:
    """How it is started; the one place that knows its options."""
    words = ["dev", str(directory), "--state-dir", str(state), "--workers", "1", "--access-log", "off"]
    words += ["--admin", f"127.0.0.1:{admin}"]
    return Command([str(binary()), *words])


def write(directory: Path, name: str, objects: list[dict]) -> None:
    """Saves objects as one file, the way editors do: whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    draft = directory / f".{name}.draft"
    draft.write_text(yaml.documents(objects))
    draft.rename(directory / f"{name}.yaml")


def _prepare(job: Job) -> Command:
    directory = job.folder / "manifests"
    filtered = job.scenario is Scenario.FILTER
    write(directory, "gateway", [
        manifests.gateway(job.ports.http, job.ports.https),
        manifests.certificate(places.CERTIFICATE, places.KEY),
    ])
    write(directory, "backend", [manifests.service(), manifests.endpoints(["127.0.0.1"], job.backend)])
    write(directory, "routes", _routes(job.scenario))
    if filtered:
        shutil.copyfile(places.WASM_FILTER, directory / "filter.wasm")
        write(directory, "filter", [manifests.wasm_filter("filter.wasm", wasm.CONFIGURATION)])
    return command(directory, job.folder / "state", job.ports.admin)


def _routes(scenario: Scenario) -> list[dict]:
    """One route a host with its rules; in the mix, one route a rule."""
    if scenario in (Scenario.ONE_RULE, Scenario.THOUSAND_RULES):
        return [manifests.route(f"route-{n}", [rule]) for n, rule in enumerate(rules(scenario))]
    groups = groupby(rules(scenario), key=lambda rule: rule.host)
    filtered = scenario is Scenario.FILTER
    return [manifests.route(host.replace(".", "-"), list(group), filtered) for host, group in groups]


def _version() -> str:
    shown = subprocess.run([str(binary()), "--version"], capture_output=True, text=True)
    return shown.stdout.strip() or str(binary())


PORTOLAN = Peer("portolan", frozenset(Scenario), one_port=True, prepare=_prepare, version=_version)
