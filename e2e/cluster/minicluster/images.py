"""The images that every cluster has, packed from what was built: they are imported on each node, never pulled."""

import shutil
import tempfile
from pathlib import Path

from minicluster.archive import Image, write
from minicluster.places import FILES
from minicluster.programs import home, metallb_source
from minicluster.run import Failure, Progress, run


def pack(programs: Path, progress: Progress) -> list[Path]:
    """Packs what the cache lacks. Returns the archives."""
    folder = home() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    recipes = {"pause": pause, "busybox": busybox, "coredns": of_program, "metallb-controller": of_program,
               "metallb-speaker": of_program}
    archives = []
    for name, recipe in recipes.items():
        archive = folder / f"{name}.tar"
        if not archive.exists():
            with tempfile.TemporaryDirectory() as scratch:
                write(recipe(name, programs, Path(scratch)), archive)
            progress(f"packed image {tag(name)}")
        archives.append(archive)
    return archives


def tag(name: str) -> str:
    """The name that manifests use for one of our images."""
    return f"localhost/{name}:1"


def pause(name: str, _programs: Path, scratch: Path) -> Image:
    run("cc", "-O2", "-static", "-s", "-o", scratch / name, FILES / "pause.c")
    return Image((tag(name),), (f"/{name}",), {f"/{name}": scratch / name})


def busybox(name: str, _programs: Path, _scratch: Path) -> Image:
    binary = shutil.which("busybox")
    if not binary:
        raise Failure("busybox is missing (Debian: busybox-static): e2e/cluster/setup installs it")
    applets = run(binary, "--list").split()
    links = {f"/bin/{applet}": "/bin/busybox" for applet in applets if applet != "busybox"}
    return Image((tag(name),), ("/bin/sh",), {"/bin/busybox": Path(binary)}, links)


def of_program(name: str, programs: Path, _scratch: Path) -> Image:
    return Image((tag(name),), (f"/{name}",), {f"/{name}": programs / name})


def metallb_manifests() -> Path:
    """MetalLB's own manifests, of its module, with our images' names and quicker probes."""
    out = home() / "metallb.yaml"
    if not out.exists():
        text = (metallb_source() / "config/manifests/metallb-native.yaml").read_text()
        part = out.with_suffix(".part")
        part.write_text(with_our_images(text))
        part.rename(out)
    return out


def with_our_images(manifests: str) -> str:
    """MetalLB's manifests for images that are on the nodes already, probed often: a start-up is waited for."""
    lines = []
    for line in manifests.splitlines():
        indent, found, image = line.partition("image: ")
        if found:
            program = image.rpartition("/")[2].partition(":")[0]
            line = f"{indent}image: {tag('metallb-' + program)}"
        line = line.replace("initialDelaySeconds: 10", "initialDelaySeconds: 1")
        lines.append(line.replace("periodSeconds: 10", "periodSeconds: 2"))
    return "\n".join(lines) + "\n"
