"""The mix of rules is what it claims to be, and manifests say the same as rules."""

import re
import unittest
from collections import Counter

from peerbench import manifests
from peerbench.peers.envoy import virtual_hosts
from peerbench.rules import HOSTS, LAST, MIX_HOST, MIX_PATH, Match, Rule, Scenario, rules, thousand


def matches(rule: Rule, host: str, path: str) -> bool:
    """A naive reading, for a request without headers."""
    on_path = {
        Match.EXACT: path == rule.path,
        Match.REGEX: re.fullmatch(rule.path, path) is not None,
        Match.PREFIX: path.startswith(rule.path),
    }[rule.match]
    return rule.host == host and rule.header is None and on_path


class Mix(unittest.TestCase):
    def test_there_are_a_thousand_and_all_differ(self):
        self.assertEqual(len(set(thousand())), 1000)

    def test_every_kind_has_its_share(self):
        kinds = Counter(
            "header" if rule.header else "wildcard" if rule.host.startswith("*") else rule.match.value
            for rule in thousand()
        )
        expected = {"Exact": 200, "RegularExpression": 200, "PathPrefix": 201, "header": 200, "wildcard": 199}
        self.assertEqual(kinds, expected)

    def test_only_the_last_matches_what_is_asked_for(self):
        self.assertEqual([rule for rule in thousand() if matches(rule, MIX_HOST, MIX_PATH)], [LAST])
        self.assertEqual(thousand()[-1], LAST)

    def test_some_rules_differ_from_the_last_in_a_header_alone(self):
        self.assertEqual(sum(rule.path == "/" and rule.host == MIX_HOST for rule in thousand()), 11)

    def test_the_job_is_nine_hosts_of_four_prefixes(self):
        self.assertEqual(len(rules(Scenario.SERVE)), 36)


class Manifests(unittest.TestCase):
    def test_a_prefix_loses_its_slash_and_an_exact_path_keeps_it(self):
        made = manifests.route("r", [Rule("h", match, "/a/") for match in (Match.PREFIX, Match.EXACT)])
        paths = [rule["matches"][0]["path"]["value"] for rule in made["spec"]["rules"]]
        self.assertEqual(paths, ["/a", "/a/"])

    def test_the_root_prefix_stays(self):
        made = manifests.route("r", [LAST])
        self.assertEqual(made["spec"]["rules"][0]["matches"][0]["path"]["value"], "/")

    def test_the_filter_is_on_every_rule_where_asked(self):
        both = [manifests.route("r", rules(Scenario.FILTER)[:4], filtered) for filtered in (False, True)]
        counts = [sum("filters" in rule for rule in route["spec"]["rules"]) for route in both]
        self.assertEqual(counts, [0, 4])


class Envoy(unittest.TestCase):
    def test_hosts_keep_the_order_of_their_rules(self):
        hosts = virtual_hosts(rules(Scenario.SERVE))
        self.assertEqual([host["name"] for host in hosts], HOSTS)
        self.assertEqual(hosts[0]["routes"][-1]["match"], {"prefix": "/"})
        shop = next(host for host in virtual_hosts(thousand()) if host["name"] == MIX_HOST)
        self.assertEqual((len(shop["routes"]), shop["routes"][-1]["match"]), (801, {"prefix": "/"}))


if __name__ == "__main__":
    unittest.main()
