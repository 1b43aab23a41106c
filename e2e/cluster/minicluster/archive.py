"""Writes container images as OCI archives of one layer. Equal files give equal bytes."""

import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Image:
    """What a container image is made of."""

    names: tuple[str, ...]
    command: tuple[str, ...]
    files: dict[str, Path]
    links: dict[str, str] = field(default_factory=dict)
    user: str = ""


def write(image: Image, out: Path) -> None:
    """Writes `image` to `out`, whole or not at all."""
    machine = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    blobs: dict[str, bytes] = {}

    def blob(kind: str, data: bytes) -> dict:
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    layer = blob("layer.v1.tar", _layer(image))
    settings = {"Entrypoint": list(image.command), "Env": ["PATH=/usr/bin:/bin"], "User": image.user}
    config = blob("config.v1+json", _json({
        **machine, "config": settings, "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}))
    manifest = blob("manifest.v1+json", _json({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": [layer]}))
    index = _json({"schemaVersion": 2, "manifests": [
        {**manifest, "platform": machine, "annotations": {"io.containerd.image.name": name}} for name in image.names]})
    part = out.with_suffix(".part")
    with tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", index)
        for digest, data in sorted(blobs.items()):
            _add(tar, f"blobs/sha256/{digest}", data)
    part.rename(out)


def _layer(image: Image) -> bytes:
    """All belongs to root and is of no date; folders come before what lies in them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted({"etc", "tmp"} | _folders([*image.files, *image.links])):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for name, source in sorted(image.files.items()):
            _add(tar, name.lstrip("/"), source.read_bytes(), 0o755 if source.stat().st_mode & 0o100 else 0o644)
        for name, target in sorted(image.links.items()):
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return out.getvalue()


def _folders(names: list[str]) -> set[str]:
    return {str(parent) for name in names for parent in Path(name.lstrip("/")).parents if str(parent) != "."}


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), mode
    tar.addfile(entry, io.BytesIO(data))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
