"""How long a gateway takes from the start of its process until it says that it is ready."""

import ctypes
import http.client
import os
import threading
import time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
# CLONE_NEWNET of setns(2), for which Python has a name since 3.12.
NETWORK = 0x40000000
TICKS = os.sysconf("SC_CLK_TCK")


def gateways(name: str) -> set[int]:
    """Processes of the gateway of a name."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"/portolan", b"gateway"] and name.encode() in words:
            found.add(int(folder.name))
    return found


def seconds_to_ready(name: str, known: set[int], within: float = 60) -> float:
    """Waits for a process that is not known, then until it is ready; the time between the two."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        new = gateways(name) - known
        if new:
            return watch(new.pop(), end)
        time.sleep(0.002)
    raise AssertionError("no new gateway began")


def watch(pid: int, end: float) -> float:
    """Asks from inside the pod's network; only this thread enters it."""
    began = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]) / TICKS
    taken = []

    def ask() -> None:
        with open(f"/proc/{pid}/ns/net") as network:
            if LIBC.setns(network.fileno(), NETWORK):
                raise OSError(ctypes.get_errno(), "the network of the gateway's pod cannot be entered")
        while time.monotonic() < end:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", 15020, timeout=1)
                connection.request("GET", "/readyz")
                if connection.getresponse().status == 200:
                    return taken.append(time.clock_gettime(time.CLOCK_BOOTTIME) - began)
            except OSError:
                pass
            time.sleep(0.002)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    if not taken:
        raise AssertionError("the gateway did not get ready")
    return taken[0]
