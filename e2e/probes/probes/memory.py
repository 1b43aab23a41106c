"""Resident memory of Portolan's processes on the nodes."""

from pathlib import Path


def of_portolan() -> list[tuple[str, float]]:
    """Each process that runs in a pod, with its resident memory in MiB."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            words = (status.parent / "cmdline").read_bytes().split(b"\0")
            lines = status.read_text().splitlines()
        except OSError:
            continue
        if words[0] != b"/portolan":
            continue
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
        names = [words[at + 1].decode() for at, word in enumerate(words) if word in (b"--namespace", b"--name")]
        found.append((f"{words[1].decode()} {'/'.join(names)}".strip(), kib / 1024))
    return sorted(found)
