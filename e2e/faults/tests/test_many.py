"""Many routes at once, and one that changes all the time."""

import time
from collections import Counter

from harness.api import Api
from harness.kube import until
from harness.load import Load
from harness.world import World, status_of, versioned

ROUTES = 1000


class Many(World):
    namespace = "faults-many"

    def statuses(self) -> Counter:
        """How many routes of the test are accepted, by generation seen and not."""
        def state(route: dict) -> str:
            parents = route.get("status", {}).get("parents", [])
            conditions = [one for parent in parents for one in parent["conditions"] if one["type"] == "Accepted"]
            current = [one for one in conditions if one["observedGeneration"] == route["metadata"]["generation"]]
            return "accepted" if current and current[0]["status"] == "True" else "waiting"

        return Counter(map(state, self.kube.list("httproutes", "--selector", "!x")))

    def test_a_thousand_routes_at_once_and_one_that_flaps(self):
        api = Api(self.cluster)
        began = time.monotonic()
        with Load(self.address, per_second=100) as load:
            for at in range(ROUTES):
                api.apply_route(self.namespace, f"many-{at}", versioned(f"many-{at}.example"))
            created = time.monotonic() - began
            until("the last route", lambda: status_of(self.address, "/", f"many-{ROUTES - 1}.example") == 200, 60)
            served = time.monotonic() - began
            until("all statuses", lambda: self.statuses()["waiting"] == 0, 120, lambda: str(self.statuses()))
            told = time.monotonic() - began
        print(f"{ROUTES} routes: created in {created:.1f} s, served after {served:.1f} s, all statuses after {told:.1f} s")
        self.assert_all_answered(load)
        with Load(self.address, host="many-7.example", per_second=100) as load:
            for version in range(100):
                api.apply_route(self.namespace, "many-7", versioned("many-7.example", version))
                time.sleep(0.1)
            until("its last status", lambda: self.statuses()["waiting"] == 0, 30)
        self.assert_all_answered(load)
