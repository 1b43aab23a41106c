"""How long a route's change takes from the API server's answer to the first request that it decides."""

import http.client
import time
from dataclasses import dataclass

from harness.api import Api
from harness.world import versioned

ANSWER_LATEST = 10.0


@dataclass(frozen=True)
class Propagation:
    """Times in milliseconds, sorted, and answers that were errors meanwhile."""

    milliseconds: list[float]
    errors: int

    def percentile(self, part: float) -> float:
        return self.milliseconds[min(len(self.milliseconds) - 1, int(len(self.milliseconds) * part))]


def measure(api: Api, namespace: str, address: str, changes: int) -> Propagation:
    """Changes one route again and again, and asks without a pause until the change is seen."""
    connection = http.client.HTTPConnection(address, 80, timeout=10)
    times, errors = [], 0
    for version in range(1, changes + 1):
        api.apply_route(namespace, "probe", versioned("probe.example", version))
        accepted = time.monotonic()
        while True:
            connection.request("GET", "/", headers={"Host": "probe.example"})
            answer = connection.getresponse()
            answer.read()
            seen = time.monotonic() - accepted
            errors += answer.status >= 500
            if answer.headers.get("x-version") == str(version):
                break
            if seen > ANSWER_LATEST:
                raise AssertionError(f"change {version} is not seen after {seen:.0f} s")
        times.append(seen * 1000)
    return Propagation(sorted(times), errors)
