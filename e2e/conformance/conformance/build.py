"""Builds the suite's test binary and the images that its manifests name, from Go modules, into the cache."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from minicluster import programs
from minicluster.archive import Image, write
from minicluster.places import cache
from minicluster.run import Failure, Progress, run

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
SUITE = "sigs.k8s.io/gateway-api/conformance"
FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags=-buildid= -s -w")
IMAGE = re.compile(r'^\s*(?:-\s*)?image:\s*["\']?([^\s"\'#]+)', re.MULTILINE)
# For the mesh alone: without a mesh no test needs them.
NOT_BUILT = ("echo-advanced",)


def go(*arguments: str, log: Path | None = None) -> str:
    """Runs Go inside the module of the suite."""
    return run("go", *arguments, cwd=HERE, log=log, env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"})


def home() -> Path:
    """The folder in the cache for the suite of the version that this tree names."""
    own = [path for path in (HERE / "own").rglob("*") if path.is_file()]
    sources = [HERE / "go.mod", HERE / "go.sum", HERE / "conformance_test.go", *own]
    return cache().parent / "conformance" / programs.key(sources, go("env", "GOVERSION").strip())


def source(module: str) -> Path:
    """The folder that holds a module's files."""
    go("mod", "download", module)
    return Path(go("list", "-m", "-f", "{{.Dir}}", module).strip())


def suite(progress: Progress) -> Path:
    """The test binary."""
    binary = home() / "conformance.test"
    if not binary.exists():
        home().mkdir(parents=True, exist_ok=True)
        part = binary.with_suffix(".part")
        go("test", "-c", *FLAGS, "-o", str(part), ".", log=home() / "build.log")
        part.rename(binary)
        programs.forget_old(home())
        progress("built the conformance suite")
    return binary


def tests() -> list[dict]:
    """What the test binary tells of each test, the suite's and our own."""
    with tempfile.TemporaryDirectory() as scratch:
        listed = Path(scratch) / "tests.json"
        ran = subprocess.run([home() / "conformance.test", "-test.run=^TestList$", f"-list-tests={listed}"],
                             capture_output=True, text=True, check=False)
        if ran.returncode:
            raise Failure(f"the test binary does not list its tests:\n{ran.stdout}{ran.stderr}")
        return json.loads(listed.read_text())


def images(binaries: Path, progress: Progress) -> list[Path]:
    """The archives of all images that the suite's manifests name, under the names that they give them."""
    archives = []
    recipes = {"echo-basic": echo_basic, "coredns": coredns}
    for name, names in named_images(source(SUITE)).items():
        if name in NOT_BUILT:
            continue
        if name not in recipes:
            raise Failure(f"the suite names an image {names[0]} that nobody knows how to build: did its version change?")
        archive = home() / f"{name}.tar"
        if not archive.exists():
            write(recipes[name](tuple(names), binaries), archive)
            progress(f"packed image {name}")
        archives.append(archive)
    return archives


def named_images(folder: Path) -> dict[str, list[str]]:
    """Full names of images by the last part of the name, without a tag."""
    found = {name for part in ("base", "mesh", "tests") for file in (folder / part).rglob("*.yaml")
             for name in IMAGE.findall(file.read_text())}
    wanted: dict[str, list[str]] = {}
    for name in sorted(found):
        wanted.setdefault(name.rpartition("/")[2].partition(":")[0], []).append(name)
    return wanted


def echo_basic(names: tuple[str, ...], _binaries: Path) -> Image:
    binary = home() / "echo-basic"
    go("build", *FLAGS, "-o", str(binary), f"{SUITE}/echo-basic", log=home() / "echo-basic.log")
    return Image(names, ("/echo-basic",), {"/echo-basic": binary}, user="65532:65532")


def coredns(names: tuple[str, ...], binaries: Path) -> Image:
    # Root: the manifest drops all capabilities but the one for port 53, which others get only from a file capability.
    return Image(names, ("/coredns",), {"/coredns": binaries / "coredns"})


def crds() -> Path:
    """The folder with the experimental channel's CRDs."""
    return source("sigs.k8s.io/gateway-api") / "config/crd/experimental"


def suite_version() -> str:
    """The suite's version."""
    return go("list", "-m", "-f", "{{.Version}}", SUITE).strip()


def version() -> str:
    """Portolan's version."""
    found = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    if not found:
        raise Failure(f"{ROOT / 'Cargo.toml'} names no version")
    return found[1]


def need_go() -> None:
    """Fails where there is no Go."""
    if not shutil.which("go"):
        raise Failure("Go is missing: the suite is built from its Go module (https://go.dev/dl)")
