"""Writes of statuses, as the leading controller counts them."""

import re
import urllib.request

from harness.kube import Kube


def of_routes(system: Kube) -> int:
    """Statuses of HTTPRoutes that the controller that leads has written since it began."""
    for pod in system.list("pods", "--field-selector", "status.phase=Running"):
        with urllib.request.urlopen(f"http://{pod['status']['podIP']}:15020/metrics", timeout=5) as answer:
            text = answer.read().decode()
        if re.search(r"^portolan_controller_leading 1$", text, re.M):
            found = re.search(r'^portolan_controller_writes_total\{portolan_kind="HTTPRoute",portolan_outcome="written"\} (\d+)', text, re.M)
            return int(found[1]) if found else 0
    raise AssertionError("no controller says that it leads")
