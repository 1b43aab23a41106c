"""h2spec: RFC 7540 and RFC 7541 against a server, over prior knowledge and over TLS, strict cases included."""

import subprocess
import tempfile
from pathlib import Path

from .. import places, versions
from ..junit import parse
from ..outcome import Case, SuiteResult
from ..world import HOST, World

SECONDS_MAX = 300
MODULE = "github.com/summerwind/h2spec"


def run(world: World) -> list[SuiteResult]:
    """Both kinds of connection."""
    version = f"h2spec {versions.go(MODULE)}"
    return [
        SuiteResult("h2spec-h2c", "HTTP/2, prior knowledge", version, _cases(world.ports.http, [])),
        SuiteResult("h2spec-tls", "HTTP/2 over TLS", version, _cases(world.ports.https, ["--tls", "--insecure"])),
    ]


def _cases(port: int, options: list[str]) -> list[Case]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [places.H2SPEC, "--host", HOST, "--port", str(port), "--strict", "--junit-report", report, *options]
        # Its exit code says only that some case failed; the report says which.
        subprocess.run(command, capture_output=True, timeout=SECONDS_MAX)
        return parse(report.read_text()) if report.exists() else []
