"""Writes of statuses, as the leading controller counts them."""

import re
import urllib.request

from harness.kube import Kube


def of_routes(system: Kube) -> int:
    """Writes of HTTPRoutes' statuses that the controller that leads has tried since it began, whatever came of them."""
    for pod in system.list("pods", "--field-selector", "status.phase=Running"):
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:15020/metrics", timeout=5) as answer:
            text = answer.read().decode()
        if re.search(r"^portolan_controller_leading 1$", text, re.M):
            counts = re.findall(r'^portolan_controller_writes_total\{portolan_kind="HTTPRoute",.*\} (\d+)', text, re.M)
            return sum(map(int, counts))
    raise AssertionError("no controller says that it leads")
