"""kubectl, as tests use it."""

import json
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from minicluster import lifecycle
from minicluster.places import Cluster
from minicluster.run import Failure


class Kube:
    """A cluster's objects."""

    def __init__(self, cluster: Cluster, namespace: str = "default"):
        self.cluster = cluster
        self.namespace = namespace

    def run(self, *words: object, **options) -> str:
        """Runs kubectl in the namespace and returns what it printed."""
        return lifecycle.kubectl(self.cluster, "--namespace", self.namespace, *words, **options)

    def apply(self, manifests: str) -> None:
        self.run("apply", "--server-side", "--force-conflicts", "--filename", "-", input=manifests)

    def delete(self, *words: object) -> None:
        self.run("delete", "--ignore-not-found", *words)

    def get(self, kind: str, name: str) -> dict | None:
        """An object, or None if there is none of the name."""
        text = self.run("get", kind, name, "--output", "json", "--ignore-not-found")
        return json.loads(text) if text else None

    def list(self, kind: str, *words: object) -> list[dict]:
        return json.loads(self.run("get", kind, *words, "--output", "json"))["items"]

    def answer_to(self, token: str, path: str) -> int:
        """The status with which the API server answers who has a token and nothing else."""
        server = re.search(r"server: (\S+)", self.cluster.kubeconfig.read_text())[1]
        request = urllib.request.Request(server + path, headers={"Authorization": f"Bearer {token}"})
        context = ssl.create_default_context(cafile=str(self.cluster.pki / "ca.crt"))
        try:
            with urllib.request.urlopen(request, timeout=10, context=context) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def condition(self, kind: str, name: str, of: str) -> tuple[str, str, str] | None:
        """Status, reason and message of a condition; of a route, under its first parent of ours."""
        status = (self.get(kind, name) or {}).get("status", {})
        ours = [one for one in status.get("parents", []) if one["controllerName"] == "portolan.dev/gateway-controller"]
        conditions = ours[0]["conditions"] if ours else status.get("conditions", [])
        for one in conditions:
            if one["type"] == of:
                return one["status"], one["reason"], one["message"]
        return None

    def wait_for_condition(self, kind: str, name: str, of: str, status: str, seconds: float = 30) -> tuple[str, str]:
        """Waits until a condition has a status; returns its reason and message."""
        def has() -> tuple[str, str] | None:
            found = self.condition(kind, name, of)
            return found[1:] if found and found[0] == status else None

        return until(f"{kind} {name}: {of}={status}", has, seconds, lambda: str(self.condition(kind, name, of)))

    def address(self, gateway: str, seconds: float = 30) -> str:
        """A Gateway's first IPv4 address, once it is programmed."""
        self.wait_for_condition("gateway", gateway, "Programmed", "True", seconds)
        addresses = [one["value"] for one in self.get("gateway", gateway)["status"]["addresses"]]
        return next(one for one in addresses if "." in one)


def until(what: str, attempt: Callable[[], object], seconds: float = 30, tell: Callable[[], str] = str):
    """Calls until the answer is neither false nor an error, and returns it."""
    end = time.monotonic() + seconds
    last = ""
    while time.monotonic() < end:
        try:
            answer = attempt()
            if answer:
                return answer
            last = tell()
        except (Failure, OSError, subprocess.SubprocessError) as error:
            last = str(error)
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:.0f} s; last: {last}")
