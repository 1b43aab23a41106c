"""Reads what processes cost from /proc. It starts and ends none."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """CPU time in seconds."""

    user: float
    system: float

    @property
    def total(self) -> float:
        return self.user + self.system

    def __add__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user + other.user, self.system + other.system)

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(self.user - other.user, self.system - other.system)


def parse_stat(text: str) -> tuple[int, Cpu]:
    """The parent and the CPU time, with that of ended threads and children, in `/proc/PID/stat`."""
    # The name in parentheses may itself hold blanks and parentheses; what follows the last one are numbers.
    fields = text.rsplit(")", 1)[1].split()
    parent = int(fields[1])
    user, system, children_user, children_system = (int(field) / TICKS_PER_SECOND for field in fields[11:15])
    return parent, Cpu(user + children_user, system + children_system)


def parse_memory(text: str, field: str) -> int:
    """A field of `/proc/PID/status` (VmRSS, VmHWM), in KiB; 0 where it is missing."""
    match = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(match[1]) if match else 0


def tree(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (text := _read(int(entry.name), "stat")):
            children.setdefault(parse_stat(text)[0], []).append(int(entry.name))
    found, ahead = [], [root]
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead.extend(children.get(pid, []))
    return found


def cpu(root: int) -> Cpu:
    """CPU time of a process and its descendants so far."""
    times = (parse_stat(text)[1] for pid in tree(root) if (text := _read(pid, "stat")))
    return sum(times, Cpu(0.0, 0.0))


def memory_kib(root: int, field: str) -> int:
    """Memory of a process and its descendants: VmRSS now, VmHWM at its peak."""
    return sum(parse_memory(_read(pid, "status"), field) for pid in tree(root))


def _read(pid: int, name: str) -> str:
    try:
        return (PROC / str(pid) / name).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # It ended since it was listed.
