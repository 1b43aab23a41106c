"""Sets up the suites below `target/e2e`, at pinned versions, once. It installs nothing outside."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from . import places


class InstallError(Exception):
    """What could not be set up, and what it takes."""


def install() -> None:
    """Brings what the suites need; quick when it is all there."""
    places.TARGET.mkdir(parents=True, exist_ok=True)
    _once("python", [places.REQUIREMENTS], places.PYTHON, _python_packages)
    _once("go", [places.GO_MODULE, places.GO_SUMS], places.H2SPEC, _go_tools)


def _once(name: str, inputs: list[Path], product: Path, make) -> None:
    """Makes something unless it was made of the same inputs."""
    stamp = places.TARGET / f"{name}.stamp"
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in inputs)).hexdigest()
    if product.exists() and stamp.exists() and stamp.read_text() == digest:
        return
    make()
    stamp.write_text(digest)


def _python_packages() -> None:
    _say(f"installing {places.REQUIREMENTS.name} into {places.VENV}")
    _run([sys.executable, "-m", "venv", "--clear", str(places.VENV)])
    pip = [str(places.PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-r", str(places.REQUIREMENTS)])


def _go_tools() -> None:
    if not shutil.which("go"):
        raise InstallError("h2spec and gRPC's interop programs are built with Go (see go.mod for the version): no `go`")
    _say("building the tools of go.mod (a minute at first)")
    _run(["go", "build", "-mod=readonly", "-buildvcs=false", "-o", f"{places.TOOLS}/", "tool"])


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def _run(command: list[str]) -> None:
    result = subprocess.run(command, cwd=places.STRICT, capture_output=True, text=True)
    if result.returncode != 0:
        raise InstallError(f"{' '.join(command)} failed: {(result.stderr or result.stdout).strip()[-2000:]}")
