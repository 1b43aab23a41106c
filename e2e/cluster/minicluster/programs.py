"""Builds the cluster's programs from their Go modules into the cache, once for each set of versions."""

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from minicluster.places import FILES, METALLB, PROGRAMS, cache
from minicluster.run import Failure, Progress, run

# One binary holds them all, and runs as the one that it is called by: linked apart they are four times as large.
KUBERNETES = ("containerd", "ctr", "etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler",
              "kubectl", "kubelet")
TAGS = "urfave_cli_no_docs,no_btrfs,no_zfs,no_devmapper"
ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off"}
KEPT = 2


@dataclass(frozen=True)
class Program:
    name: str
    package: str
    module: Path = PROGRAMS


BUILT = (
    Program("kubernetes", "./kubernetes"),
    Program("containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"),
    Program("coredns", "./coredns"),
    Program("helm", "helm.sh/helm/v4/cmd/helm"),
    Program("metallb-controller", "go.universe.tf/metallb/controller", METALLB),
    Program("metallb-speaker", "go.universe.tf/metallb/speaker", METALLB),
)


def key(sources: list[Path], *words: str) -> str:
    """A name for what is built of these sources: other bytes, another name."""
    digest = hashlib.sha256()
    for part in (*words, *(f"{path.name}\0{path.read_text()}" for path in sorted(sources))):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def home() -> Path:
    """The folder in the cache for the programs of the versions that this tree names."""
    sources = [path for folder in (PROGRAMS, METALLB, FILES) for path in folder.rglob("*") if path.is_file()]
    return cache() / key(sources, go("env", "GOVERSION").strip(), TAGS, *(program.package for program in BUILT))


def go(*arguments: str, module: Path = PROGRAMS, log: Path | None = None) -> str:
    """Runs Go inside a module."""
    if not shutil.which("go"):
        raise Failure("Go is missing: the cluster's programs are built from Go modules (https://go.dev/dl)")
    return run("go", *arguments, log=log, cwd=module, env={**os.environ, **ENVIRONMENT})


def build(progress: Progress) -> Path:
    """Builds what the cache lacks. Returns the folder that the programs are in."""
    folder = home() / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    missing = [program for program in BUILT if not (folder / program.name).exists()]
    if missing:
        progress(f"building {len(missing)} of {len(BUILT)} programs: some 20 minutes the first time, then never again")
        flags = linker_flags()
    for program in missing:
        part = folder / f"{program.name}.part"
        go("build", "-trimpath", "-tags", TAGS, "-ldflags", flags, "-o", str(part), program.package,
           module=program.module, log=home() / f"{program.name}.log")
        part.rename(folder / program.name)
        progress(f"built {program.name}")
    for name in KUBERNETES:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to("kubernetes")
    if missing:
        forget_old(home())
    return folder


def linker_flags() -> str:
    """No debugging data, and the versions that the programs tell each other: without them the API server calls itself
    v0.0.0-master, which the kubelet and kubectl then measure their own version against."""
    kubernetes = version("k8s.io/kubernetes")
    minor = re.fullmatch(r"v1\.(\d+)\..*", kubernetes)
    if not minor:
        raise Failure(f"{PROGRAMS / 'go.mod'}: {kubernetes} is no version of Kubernetes")
    words = ["-buildid=", "-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        words += [f"-X {package}.gitVersion={kubernetes}", f"-X {package}.gitMajor=1",
                  f"-X {package}.gitMinor={minor[1]}", f"-X {package}.gitTreeState=clean"]
    words.append(f"-X github.com/containerd/containerd/v2/version.Version={version('github.com/containerd/containerd/v2')}")
    return " ".join(words)


def version(module: str) -> str:
    """The version that the build takes of a module."""
    return go("list", "-m", "-f", "{{.Version}}", module).strip()


def metallb_source() -> Path:
    """The folder that holds the files of MetalLB's module."""
    return Path(go("list", "-m", "-f", "{{.Dir}}", "go.universe.tf/metallb", module=METALLB).strip())


def forget_old(current: Path) -> None:
    """Removes what was built of other versions, but for the newest few."""
    others = [path for path in current.parent.iterdir() if path.is_dir() and path != current]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1:]:
        shutil.rmtree(path)
